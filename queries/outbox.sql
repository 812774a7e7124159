-- OutboxJobless takes deliveries of webhooks and messages to browsers that have no job yet. Their jobs are
-- inserted in the same transaction; what another instance is at is skipped.
-- name: OutboxJobless :many
SELECT 'webhook'::text AS kind, w.id, w.round FROM (
    SELECT d.id, d.round FROM webhook_deliveries d WHERE d.job_id IS NULL AND d.state = 'pending'
    ORDER BY d.seq LIMIT @count FOR UPDATE SKIP LOCKED
) AS w
UNION ALL
SELECT 'push'::text, p.id, 0 FROM (
    SELECT m.id FROM push_messages m WHERE m.job_id IS NULL
    ORDER BY m.seq LIMIT @count FOR UPDATE SKIP LOCKED
) AS p;
