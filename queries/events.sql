-- EventsPrune drops what nobody can still be waiting for.
-- name: EventsPrune :execrows
DELETE FROM events WHERE created_at < now() - interval '15 minutes';
