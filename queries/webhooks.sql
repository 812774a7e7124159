-- WebhookJobs notes the jobs of deliveries, in the order of their ids.
-- name: WebhookJobs :exec
UPDATE webhook_deliveries d SET job_id = given.job_id
FROM (SELECT unnest(@delivery_ids::uuid[]) AS id, unnest(@job_ids::bigint[]) AS job_id) AS given WHERE d.id = given.id;

-- WebhookOverdue takes from deliveries the jobs that should have run long ago: somebody may have
-- emptied River's tables. A job that is only late stays the only one.
-- name: WebhookOverdue :execrows
UPDATE webhook_deliveries SET job_id = NULL
WHERE state = 'pending' AND job_id IS NOT NULL AND next_try_at < now() - interval '10 minutes';

-- WebhookPing stores the delivery of a test.
-- name: WebhookPing :one
INSERT INTO webhook_deliveries (event, url) VALUES ('ping', @url) RETURNING id;

-- WebhookForJob is what a try needs to know. No row: it has ended, another round has begun, or its
-- generation was deleted.
-- name: WebhookForJob :one
SELECT id, generation_id, event, url, round, tries, created_at,
       extract(epoch FROM now() - round_at)::double precision AS age_seconds
FROM webhook_deliveries WHERE id = @id AND round = @round AND state = 'pending';

-- WebhookTried stores a try and what it means for the delivery: state pending goes on after
-- pause_seconds. A try of an earlier round, or of a delivery that has ended meanwhile, is kept in
-- the log and changes nothing else.
-- name: WebhookTried :exec
WITH delivery AS (
    SELECT d.id FROM webhook_deliveries d WHERE d.id = @id FOR UPDATE
), try AS (
    INSERT INTO webhook_tries (delivery_id, number, began_at, took_ms, status, error, response)
    SELECT delivery.id,
           (SELECT coalesce(max(t.number), 0) + 1 FROM webhook_tries t WHERE t.delivery_id = delivery.id),
           @began_at, @took_ms, @status, @error, @response
    FROM delivery
)
UPDATE webhook_deliveries d SET
    tries = d.tries + 1,
    state = @state,
    ended_at = CASE WHEN @state::text = 'pending' THEN NULL ELSE now() END,
    next_try_at = CASE WHEN @state::text = 'pending' THEN now() + interval '1 second' * @pause_seconds::float8 END
FROM delivery WHERE d.id = delivery.id AND d.state = 'pending' AND d.round = @round;

-- WebhookAgain begins another round of a delivery, at once. The job of the round before, if there
-- is one, finds nothing to do. No row: there is no such delivery.
-- name: WebhookAgain :one
UPDATE webhook_deliveries SET state = 'pending', round = round + 1, tries = 0, round_at = now(),
    next_try_at = now(), ended_at = NULL, job_id = NULL
WHERE id = @id RETURNING id;

-- WebhookList is one part of the log, newest first.
-- name: WebhookList :many
SELECT id, seq, generation_id, event, url, state, next_try_at, ended_at, created_at
FROM webhook_deliveries
WHERE (sqlc.narg(before)::bigint IS NULL OR seq < sqlc.narg(before)::bigint)
  AND (sqlc.narg(generation_id)::uuid IS NULL OR generation_id = sqlc.narg(generation_id)::uuid)
  AND (sqlc.narg(id)::uuid IS NULL OR id = sqlc.narg(id)::uuid)
ORDER BY seq DESC LIMIT @count;

-- WebhookTries is the latest tries of some deliveries, oldest first.
-- name: WebhookTries :many
SELECT latest.delivery_id, latest.number, latest.began_at, latest.took_ms, latest.status, latest.error, latest.response
FROM unnest(@delivery_ids::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT t.* FROM webhook_tries t WHERE t.delivery_id = wanted.id ORDER BY t.number DESC LIMIT @most
) AS latest
ORDER BY latest.delivery_id, latest.number;

-- WebhookPrune drops what ended long ago. created_at, which has an index, comes before ended_at; a
-- delivery of long ago that somebody asked for again today is kept.
-- name: WebhookPrune :execrows
DELETE FROM webhook_deliveries
WHERE created_at < now() - interval '30 days' AND ended_at < now() - interval '30 days';
