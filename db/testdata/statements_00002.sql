-- name: AttemptEnd :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = $4 AND s.owner = $3 AND s.fence = $5 AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id, g.cancel_requested_at FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = $6 FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = $7, finished_at = now(), loss_reason = $8,
        error_message = $2, error_detail = $9,
        steps_done = $10, steps_planned = $11
    FROM lease, generation
    WHERE a.prompt_id = $6 AND a.state IN ('submitting', 'submitted', 'running')
    RETURNING a.generation_id, a.image_index
), image AS (
    UPDATE images i SET
        status = CASE WHEN $12::text = 'pending' AND generation.cancel_requested_at IS NOT NULL
                      THEN 'cancelled' ELSE $12::text END,
        finished_at = CASE WHEN $12::text = 'pending' AND generation.cancel_requested_at IS NULL
                           THEN NULL ELSE now() END,
        started_at = CASE WHEN $12::text = 'pending' THEN NULL ELSE i.started_at END,
        error_message = $2
    FROM attempt, generation
    WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index AND i.status = 'generating'
    RETURNING i.generation_id, i.status, (i.status <> 'pending')::integer AS ended
)
UPDATE generations g SET
    images_left = g.images_left - image.ended,
    status = CASE WHEN g.images_left > image.ended THEN g.status
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > image.ended THEN NULL ELSE now() END,
    error_code = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN $1::text ELSE g.error_code END,
    error_message = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN $2 ELSE g.error_message END,
    origin = $3
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at, image.status AS image_status

-- name: AttemptFinalizing :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = $2 AND s.owner = $1 AND s.fence = $3 AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = $4 FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'finalizing', was_running = true, result = $5, finalizing_at = now(),
        submitted_at = coalesce(a.submitted_at, now()),
        running_at = coalesce(a.running_at, $6::timestamptz, now()),
        sampling_at = $7::timestamptz, steps_done = $8, steps_planned = $9,
        reused = $10
    FROM lease, generation
    WHERE a.prompt_id = $4 AND a.state IN ('submitting', 'submitted', 'running')
    RETURNING a.generation_id, a.image_index, a.running_at
), image AS (
    UPDATE images i SET started_at = attempt.running_at
    FROM attempt WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index
    RETURNING i.generation_id, i.started_at
)
UPDATE generations g SET origin = $1
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.updated_at, image.started_at

-- name: AttemptForJob :one
SELECT a.prompt_id, a.generation_id, a.image_index, a.state, a.result, a.server_id, s.url, s.enabled,
       (SELECT count(*) FROM attempts past
        WHERE past.generation_id = a.generation_id AND past.image_index = a.image_index
          AND past.loss_reason = 'outputs_missing')::integer AS missing_before
FROM attempts a JOIN servers s ON s.id = a.server_id
WHERE a.prompt_id = $1

-- name: AttemptGeneration :one
SELECT generation_id, image_index FROM attempts WHERE prompt_id = $1

-- name: AttemptGiveUp :one
WITH generation AS (
    SELECT g.id, g.cancel_requested_at FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = $4 FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = $5, finished_at = now(), loss_reason = $6,
        error_message = $2, error_detail = $7
    FROM generation WHERE a.prompt_id = $4 AND a.state = 'finalizing'
    RETURNING a.generation_id, a.image_index
), image AS (
    UPDATE images i SET
        status = CASE WHEN $8::text = 'pending' AND generation.cancel_requested_at IS NOT NULL
                      THEN 'cancelled' ELSE $8::text END,
        finished_at = CASE WHEN $8::text = 'pending' AND generation.cancel_requested_at IS NULL
                           THEN NULL ELSE now() END,
        started_at = CASE WHEN $8::text = 'pending' THEN NULL ELSE i.started_at END,
        error_message = $2
    FROM attempt, generation
    WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index AND i.status = 'generating'
    RETURNING i.generation_id, i.status, (i.status <> 'pending')::integer AS ended
)
UPDATE generations g SET
    images_left = g.images_left - image.ended,
    status = CASE WHEN g.images_left > image.ended THEN g.status
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > image.ended THEN NULL ELSE now() END,
    error_code = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN $1::text ELSE g.error_code END,
    error_message = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN $2 ELSE g.error_message END,
    origin = $3
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at, image.status AS image_status

-- name: AttemptInsert :one

WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = $2 AND s.owner = $1 AND s.fence = $3 AND s.lease_until > now()
    FOR SHARE
), image AS (
    UPDATE images i SET status = 'generating'
    FROM lease WHERE i.generation_id = $4 AND i.index = $5 AND i.status = 'pending'
    RETURNING i.generation_id, i.index
), attempt AS (
    INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, graph)
    SELECT $6, image.generation_id, image.index, $7, $2, $3, $8 FROM image
    RETURNING generation_id
), served AS (
    UPDATE users u SET served_at = clock_timestamp() FROM attempt WHERE u.id = $9
)
UPDATE generations g SET status = 'generating', origin = $1
FROM attempt WHERE g.id = attempt.generation_id
RETURNING g.rev, g.updated_at

-- name: AttemptRunning :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = $2 AND s.owner = $1 AND s.fence = $3 AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = $4 FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'running', was_running = true, running_at = now(),
        submitted_at = coalesce(a.submitted_at, now())
    FROM lease, generation WHERE a.prompt_id = $4 AND a.state IN ('submitting', 'submitted')
    RETURNING a.generation_id, a.image_index, a.running_at
), image AS (
    UPDATE images i SET started_at = attempt.running_at
    FROM attempt WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index
    RETURNING i.generation_id, i.started_at
)
UPDATE generations g SET origin = $1
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.updated_at, image.started_at

-- name: AttemptSubmitted :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = $3 AND s.owner = $2 AND s.fence = $4 AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = $5 FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'submitted', submitted_at = now()
    FROM lease, generation WHERE a.prompt_id = $5 AND a.state = 'submitting'
    RETURNING a.generation_id
)
UPDATE generations g SET warnings = g.warnings || $1::text[], origin = $2
FROM attempt WHERE g.id = attempt.generation_id
RETURNING g.rev, g.updated_at

-- name: AttemptSucceed :one
WITH generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = $2 FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'succeeded', finished_at = now()
    FROM generation WHERE a.prompt_id = $2 AND a.state = 'finalizing'
    RETURNING a.prompt_id, a.generation_id, a.image_index
), file AS (
    SELECT unnest($3::text[]) AS node_id, unnest($4::integer[]) AS idx,
           unnest($5::integer[]) AS position, unnest($6::text[]) AS kind,
           unnest($7::text[]) AS sha256, unnest($8::text[]) AS thumbnail,
           unnest($9::text[]) AS mime, unnest($10::bigint[]) AS size,
           unnest($11::integer[]) AS width, unnest($12::integer[]) AS height,
           unnest($13::text[]) AS color
), stored AS (
    INSERT INTO outputs (prompt_id, generation_id, image_index, node_id, idx, position, kind,
                         sha256, thumbnail, mime, size, width, height, color)
    SELECT attempt.prompt_id, attempt.generation_id, attempt.image_index, file.node_id, file.idx, file.position,
           file.kind, file.sha256, file.thumbnail, file.mime, file.size, file.width, file.height, file.color
    FROM attempt, file
), image AS (
    UPDATE images i SET status = 'complete', finished_at = now(), error_message = ''
    FROM attempt WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index
    RETURNING i.generation_id, i.finished_at
)
UPDATE generations g SET
    images_left = g.images_left - 1,
    images_complete = g.images_complete + 1,
    status = CASE WHEN g.images_left > 1 THEN g.status
                  WHEN g.images_complete + 1 = g.total_images THEN 'complete'
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > 1 THEN NULL ELSE now() END,
    origin = $1
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at

-- name: AttemptsInside :many
SELECT a.prompt_id, a.generation_id, a.image_index, a.number, a.state, a.graph, a.running_at,
       extract(epoch FROM now() - a.created_at)::double precision AS age_seconds,
       coalesce(past.losses, 0)::integer AS losses,
       coalesce(past.crashes, 0)::integer AS crashes
FROM attempts a
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE p.loss_reason = 'absent') AS losses,
           count(*) FILTER (WHERE p.loss_reason = 'absent' AND p.was_running) AS crashes
    FROM attempts p WHERE p.generation_id = a.generation_id AND p.image_index = a.image_index
) past ON true
WHERE a.server_id = $1 AND a.state IN ('submitting', 'submitted', 'running')
ORDER BY a.created_at

-- name: AttemptsOf :many
SELECT a.prompt_id, a.image_index, a.number, s.name AS server, a.state, a.loss_reason, a.error_message, a.error_detail,
       a.graph, a.created_at, a.submitted_at, a.running_at, a.sampling_at, a.finalizing_at, a.finished_at
FROM attempts a JOIN servers s ON s.id = a.server_id
WHERE a.generation_id = $1
ORDER BY a.created_at, a.image_index, a.number

-- name: AttemptsOfDisabled :many
SELECT a.prompt_id, a.server_id FROM attempts a JOIN servers s ON s.id = a.server_id
WHERE NOT s.enabled AND a.state IN ('submitting', 'submitted', 'running')

-- name: AttemptsUnfinished :many
SELECT prompt_id FROM attempts WHERE state = 'finalizing' AND finalizing_at < now() - interval '1 minute'

-- name: EventsPrune :execrows
DELETE FROM events WHERE created_at < now() - interval '15 minutes'

-- name: TablesReady :one
SELECT (to_regclass('events') IS NOT NULL AND to_regclass('river.river_job') IS NOT NULL)::boolean AS ready

-- name: GenerationByKey :one
SELECT id, body_hash FROM generations WHERE user_id = $1 AND idempotency_key = $2::text

-- name: GenerationCancel :one
WITH generation AS (
    SELECT g.id FROM generations g
    WHERE g.id = $2 AND g.status IN ('pending', 'generating') AND g.cancel_requested_at IS NULL
    FOR UPDATE
), image AS (
    UPDATE images i SET status = 'cancelled', finished_at = now()
    FROM generation WHERE i.generation_id = generation.id AND i.status = 'pending'
    RETURNING i.index
), ended AS (
    SELECT count(*)::integer AS n, coalesce(array_agg(index), '{}')::integer[] AS indexes FROM image
)
UPDATE generations g SET
    cancel_requested_at = now(),
    images_left = g.images_left - ended.n,
    status = CASE WHEN g.images_left = ended.n THEN 'cancelled' ELSE g.status END,
    finished_at = CASE WHEN g.images_left = ended.n THEN now() END,
    origin = $1
FROM generation, ended WHERE g.id = generation.id
RETURNING g.rev, g.status, g.cancel_requested_at, g.updated_at, ended.indexes

-- name: GenerationDelete :many
WITH gone AS (
    DELETE FROM generations g WHERE g.id = $1 AND g.status IN ('complete', 'failed', 'cancelled')
    RETURNING g.id
), blobs AS (
    SELECT o.sha256 AS blob FROM outputs o WHERE o.generation_id = $1
    UNION
    SELECT o.thumbnail FROM outputs o WHERE o.generation_id = $1 AND o.thumbnail <> ''
), unused AS (
    SELECT blob FROM blobs
    WHERE NOT EXISTS (SELECT FROM outputs other WHERE other.generation_id <> $1 AND other.sha256 = blobs.blob)
      AND NOT EXISTS (SELECT FROM outputs other WHERE other.generation_id <> $1
                      AND other.thumbnail = blobs.blob AND other.thumbnail <> '')
)
SELECT coalesce(unused.blob, '')::text AS blob FROM gone LEFT JOIN unused ON true

-- name: GenerationInsert :one
WITH waiting AS (
    SELECT count(*) AS n FROM (
        SELECT FROM generations w WHERE w.user_id = $1 AND w.status = 'pending' LIMIT $2::integer
    ) AS capped
), generation AS (
    INSERT INTO generations (id, user_id, prompt, negative_prompt, workflow, settings, request,
                             idempotency_key, body_hash, priority, retry_of, total_images, images_left, origin)
    SELECT $3, $1, $4, $5, $6, $7, $8,
           $9, $10, $11, $12::uuid,
           cardinality($13::text[]), cardinality($13::text[]), $14
    FROM waiting WHERE waiting.n < $2::integer
    ON CONFLICT ON CONSTRAINT generations_idempotency DO NOTHING
    RETURNING id, rev, created_at
), image AS (
    INSERT INTO images (generation_id, index, seed, width, height)
    SELECT generation.id, seeds.index, seeds.seed, $15, $16
    FROM generation, (SELECT unnest($13::text[])::numeric AS seed,
                             generate_series(1, cardinality($13::text[])) AS index) AS seeds
)
SELECT rev, created_at FROM generation

-- name: GenerationNeighbours :one
SELECT
    coalesce((SELECT n.id FROM generations n WHERE n.id > $1 ORDER BY n.id LIMIT 1),
             '00000000-0000-0000-0000-000000000000')::uuid AS newer,
    coalesce((SELECT o.id FROM generations o WHERE o.id < $1 ORDER BY o.id DESC LIMIT 1),
             '00000000-0000-0000-0000-000000000000')::uuid AS older

-- name: GenerationPage :many
SELECT id FROM generations
WHERE ($1::uuid IS NULL OR id < $1::uuid)
  AND ($2::text IS NULL OR status = $2::text)
  AND ($3::text IS NULL OR settings ->> 'model' = $3::text)
  AND ($4::text IS NULL OR workflow = $4::text)
  AND ($5::timestamptz IS NULL OR created_at >= $5::timestamptz)
  AND ($6::timestamptz IS NULL OR created_at < $6::timestamptz)
  AND (NOT $7::boolean OR images_complete > 0 OR images_left > 0)
ORDER BY id DESC LIMIT $8

-- name: GenerationSearch :many
WITH found AS MATERIALIZED (
    SELECT id FROM generations
    WHERE search @@ to_tsquery('simple', $2::text)
      AND ($3::uuid IS NULL OR id < $3::uuid)
    AND ($4::text IS NULL OR status = $4::text)
    AND ($5::text IS NULL OR settings ->> 'model' = $5::text)
    AND ($6::text IS NULL OR workflow = $6::text)
    AND ($7::timestamptz IS NULL OR created_at >= $7::timestamptz)
    AND ($8::timestamptz IS NULL OR created_at < $8::timestamptz)
    AND (NOT $9::boolean OR images_complete > 0 OR images_left > 0)
)
SELECT id FROM found ORDER BY id DESC LIMIT $1

-- name: GenerationSearchNear :many
SELECT near.id FROM (
    SELECT id, user_id, prompt, negative_prompt, workflow, settings, request, idempotency_key, body_hash, priority, retry_of, status, total_images, images_left, images_complete, cancel_requested_at, error_code, error_message, warnings, rev, origin, created_at, updated_at, finished_at, search FROM generations
    WHERE $1::uuid IS NULL OR id < $1::uuid
    ORDER BY id DESC LIMIT $2
) near
WHERE search @@ to_tsquery('simple', $3::text)
  AND ($4::text IS NULL OR status = $4::text)
  AND ($5::text IS NULL OR settings ->> 'model' = $5::text)
  AND ($6::text IS NULL OR workflow = $6::text)
  AND ($7::timestamptz IS NULL OR created_at >= $7::timestamptz)
  AND ($8::timestamptz IS NULL OR created_at < $8::timestamptz)
  AND (NOT $9::boolean OR images_complete > 0 OR images_left > 0)
ORDER BY near.id DESC LIMIT $10

-- name: GenerationsByID :many
SELECT id, user_id, prompt, negative_prompt, workflow, settings, status, error_code, error_message,
       warnings, priority, retry_of, cancel_requested_at, created_at, updated_at, finished_at, rev
FROM generations WHERE id = ANY($1::uuid[])

-- name: GenerationsLive :many
SELECT id FROM generations WHERE status IN ('pending', 'generating')

-- name: GenerationsRecent :many
SELECT id FROM generations
WHERE images_complete > 0 AND images_left = 0
ORDER BY id DESC LIMIT $1

-- name: ImageFail :one
WITH generation AS (
    SELECT locked.id FROM generations locked WHERE locked.id = $4 FOR UPDATE
), image AS (
    UPDATE images i SET status = 'failed', finished_at = now(), error_message = $2
    FROM generation WHERE i.generation_id = generation.id AND i.index = $5 AND i.status = 'pending'
    RETURNING i.generation_id
)
UPDATE generations g SET
    images_left = g.images_left - 1,
    status = CASE WHEN g.images_left > 1 THEN g.status
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > 1 THEN NULL ELSE now() END,
    error_code = CASE WHEN g.error_code = '' THEN $1::text ELSE g.error_code END,
    error_message = CASE WHEN g.error_code = '' THEN $2 ELSE g.error_message END,
    origin = $3
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at

-- name: ImagePick :one
WITH next AS (
    SELECT g.id AS generation_id, g.user_id, g.prompt, g.negative_prompt, g.workflow, g.settings, i.index
    FROM images i
    JOIN generations g ON g.id = i.generation_id
    JOIN users u ON u.id = g.user_id
    WHERE i.status = 'pending' AND g.cancel_requested_at IS NULL
    ORDER BY g.priority DESC, u.served_at, g.id, i.index
    LIMIT 1
    FOR UPDATE OF g, i SKIP LOCKED
)
SELECT next.generation_id, next.user_id, next.prompt, next.negative_prompt, next.workflow, next.settings,
       next.index,
       coalesce(past.attempts, 0)::integer AS attempts,
       coalesce(past.losses, 0)::integer AS losses,
       coalesce(past.crashes, 0)::integer AS crashes
FROM next
LEFT JOIN LATERAL (
    SELECT max(a.number) AS attempts,
           count(*) FILTER (WHERE a.loss_reason = 'absent') AS losses,
           count(*) FILTER (WHERE a.loss_reason = 'absent' AND a.was_running) AS crashes
    FROM attempts a WHERE a.generation_id = next.generation_id AND a.image_index = next.index
) past ON true

-- name: ImagesOf :many
SELECT i.generation_id, i.index, i.seed, i.width, i.height, i.status, i.error_message, i.started_at, i.finished_at,
       coalesce(a.prompt_id::text, '')::text AS prompt_id,
       coalesce(a.number, 0)::integer AS attempts,
       coalesce(a.state, '')::text AS attempt_state,
       coalesce(a.steps_done, 0)::integer AS steps_done,
       coalesce(a.steps_planned, 0)::integer AS steps_planned,
       coalesce(a.reused, false)::boolean AS reused,
       coalesce(s.name, '')::text AS server
FROM images i
LEFT JOIN LATERAL (
    SELECT prompt_id, generation_id, image_index, number, server_id, fence, state, graph, result, was_running, loss_reason, error_message, error_detail, steps_done, steps_planned, created_at, submitted_at, running_at, sampling_at, finalizing_at, finished_at, reused FROM attempts WHERE attempts.generation_id = i.generation_id AND attempts.image_index = i.index
    ORDER BY number DESC LIMIT 1
) a ON true
LEFT JOIN servers s ON s.id = a.server_id
WHERE i.generation_id = ANY($1::uuid[])
ORDER BY i.generation_id, i.index

-- name: BlobUsed :one
SELECT (EXISTS (SELECT FROM outputs WHERE sha256 = $1::text)
     OR EXISTS (SELECT FROM outputs WHERE thumbnail = $1::text AND thumbnail <> ''))::boolean AS used

-- name: OutputOne :one
SELECT sha256, thumbnail, mime, size, created_at FROM outputs
WHERE generation_id = $1 AND image_index = $2 AND position = $3

-- name: OutputsOf :many
SELECT generation_id, image_index, position, node_id, kind, sha256, thumbnail, mime, size, width, height, color
FROM outputs WHERE generation_id = ANY($1::uuid[])
ORDER BY generation_id, image_index, position

-- name: ServerConfigure :one
INSERT INTO servers (id, key, name, url, kind, client_id)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (key) DO UPDATE SET
    name = excluded.name, url = excluded.url, kind = excluded.kind, enabled = true,
    config_rev = servers.config_rev + (servers.url <> excluded.url OR NOT servers.enabled)::integer
RETURNING id

-- name: ServerObjectInfo :exec
UPDATE servers SET object_info = $1
WHERE id = $2 AND owner = $3::uuid AND fence = $4 AND object_info IS DISTINCT FROM $1

-- name: ServerObserve :exec
UPDATE servers SET state = $1, version = $2, device = $3, vram_total = $4,
    last_error = $5, last_seen = $6
WHERE id = $7 AND owner = $8::uuid AND fence = $9

-- name: ServerRelease :exec
UPDATE servers SET owner = NULL, lease_until = 'epoch' WHERE id = $1 AND owner = $2::uuid AND fence = $3

-- name: ServerRenew :execrows
UPDATE servers SET lease_until = now() + interval '1 second' * $1::float8
WHERE id = $2 AND owner = $3::uuid AND fence = $4 AND enabled

-- name: ServerTake :one
UPDATE servers SET owner = $1::uuid, fence = fence + 1, lease_until = now() + interval '1 second' * $2::float8
WHERE id = $3 AND (lease_until < now() OR owner = $1::uuid OR $4::boolean)
RETURNING fence

-- name: ServersDisableOthers :exec
UPDATE servers SET enabled = false, config_rev = config_rev + 1 WHERE enabled AND NOT (id = ANY($1::uuid[]))

-- name: ServersEnabled :many
SELECT id, name, url, kind, config_rev, client_id, max_inflight, state, version, device, vram_total,
       object_info, last_error, last_seen
FROM servers WHERE enabled ORDER BY kind, name, id
