-- EventsPrune drops what nobody can still be waiting for.
-- name: EventsPrune :execrows
DELETE FROM events WHERE created_at < now() - interval '15 minutes';

-- TablesReady tells whether the tables are there, River's too.
-- name: TablesReady :one
SELECT (to_regclass('events') IS NOT NULL AND to_regclass('river.river_job') IS NOT NULL)::boolean AS ready;
