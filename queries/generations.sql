-- GenerationInsert stores what was asked for, with its images, in one statement. No row comes
-- back when the key is taken, or when max_waiting generations of that user wait already.
-- name: GenerationInsert :one
WITH waiting AS (
    SELECT count(*) AS n FROM (
        SELECT FROM generations w WHERE w.user_id = @user_id AND w.status = 'pending' LIMIT @max_waiting::integer
    ) AS capped
), generation AS (
    INSERT INTO generations (id, user_id, prompt, negative_prompt, workflow, workflow_version, settings, request,
                             idempotency_key, body_hash, priority, retry_of, webhook, needs, total_images, images_left, origin)
    SELECT @id, @user_id, @prompt, @negative_prompt, @workflow, sqlc.narg(workflow_version)::integer, @settings, @request,
           sqlc.narg(idempotency_key), sqlc.narg(body_hash), @priority, sqlc.narg(retry_of)::uuid, @webhook, @needs::text[],
           cardinality(@seeds::text[]), cardinality(@seeds::text[]), @origin
    FROM waiting WHERE waiting.n < @max_waiting::integer
    ON CONFLICT ON CONSTRAINT generations_idempotency DO NOTHING
    RETURNING id, rev, created_at, rank
), image AS (
    INSERT INTO images (generation_id, index, seed, width, height)
    SELECT generation.id, seeds.index, seeds.seed, @width, @height
    FROM generation, (SELECT unnest(@seeds::text[])::numeric AS seed,
                             generate_series(1, cardinality(@seeds::text[])) AS index) AS seeds
), input AS (
    INSERT INTO generation_inputs (generation_id, user_id, sha256)
    SELECT generation.id, @user_id, given.sha256 FROM generation, unnest(@inputs::text[]) AS given (sha256)
)
SELECT rev, created_at, rank FROM generation;

-- GenerationByKey finds what an earlier request with the same key stored.
-- name: GenerationByKey :one
SELECT id, body_hash FROM generations WHERE user_id = @user_id AND idempotency_key = @idempotency_key::text;

-- GenerationsByID reads records; order is the caller's business.
-- name: GenerationsByID :many
SELECT g.id, user_id, prompt, negative_prompt, workflow, workflow_version, settings, status, error_code, error_message,
       warnings, priority, rank, held_at, u.served_at,
       retry_of, cancel_requested_at, g.created_at, updated_at, finished_at, rev, webhook, needs
FROM generations g JOIN users u ON u.id = g.user_id WHERE g.id = ANY(@ids::uuid[]);

-- GenerationsLive names everything that has not ended.
-- name: GenerationsLive :many
SELECT id FROM generations WHERE status IN ('pending', 'generating');

-- GenerationsRecent names the newest ended generations that have a picture.
-- name: GenerationsRecent :many
SELECT id FROM generations
WHERE images_complete > 0 AND images_left = 0
ORDER BY id DESC LIMIT @count;

-- GenerationPage is one part of a list, newest first: what is older than before. Run it without
-- a cached plan: which index serves depends on the filters that are given.
-- name: GenerationPage :many
SELECT id FROM generations
WHERE (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
  AND (sqlc.narg(status)::text IS NULL OR status = sqlc.narg(status)::text)
  AND (sqlc.narg(model)::text IS NULL OR settings ->> 'model' = sqlc.narg(model)::text)
  AND (sqlc.narg(workflow)::text IS NULL OR workflow = sqlc.narg(workflow)::text)
  AND (sqlc.narg(created_from)::timestamptz IS NULL OR created_at >= sqlc.narg(created_from)::timestamptz)
  AND (sqlc.narg(created_to)::timestamptz IS NULL OR created_at < sqlc.narg(created_to)::timestamptz)
  AND (NOT @pictures::boolean OR images_complete > 0 OR images_left > 0)
ORDER BY id DESC LIMIT @count;

-- GenerationNeighbours names the next newer and the next older generation; the zero UUID where
-- there is none. Two steps along the primary key, whatever the table's size.
-- name: GenerationNeighbours :one
SELECT
    coalesce((SELECT n.id FROM generations n WHERE n.id > @id ORDER BY n.id LIMIT 1),
             '00000000-0000-0000-0000-000000000000')::uuid AS newer,
    coalesce((SELECT o.id FROM generations o WHERE o.id < @id ORDER BY o.id DESC LIMIT 1),
             '00000000-0000-0000-0000-000000000000')::uuid AS older;

-- GenerationSearchNear looks for words among the newest generations before a place, however many
-- have them: what many have is found here, without collecting every match.
-- name: GenerationSearchNear :many
SELECT near.id FROM (
    SELECT * FROM generations
    WHERE sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid
    ORDER BY id DESC LIMIT @near
) near
WHERE search @@ to_tsquery('simple', @query::text)
  AND (sqlc.narg(status)::text IS NULL OR status = sqlc.narg(status)::text)
  AND (sqlc.narg(model)::text IS NULL OR settings ->> 'model' = sqlc.narg(model)::text)
  AND (sqlc.narg(workflow)::text IS NULL OR workflow = sqlc.narg(workflow)::text)
  AND (sqlc.narg(created_from)::timestamptz IS NULL OR created_at >= sqlc.narg(created_from)::timestamptz)
  AND (sqlc.narg(created_to)::timestamptz IS NULL OR created_at < sqlc.narg(created_to)::timestamptz)
  AND (NOT @pictures::boolean OR images_complete > 0 OR images_left > 0)
ORDER BY near.id DESC LIMIT @count;

-- GenerationSearch looks for words among all, through the index on them: for what few have. The
-- planner must not walk the list instead, hoping for a match soon: with none in 100,000 that
-- took 100 ms.
-- name: GenerationSearch :many
WITH found AS MATERIALIZED (
    SELECT id FROM generations
    WHERE search @@ to_tsquery('simple', @query::text)
      AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
    AND (sqlc.narg(status)::text IS NULL OR status = sqlc.narg(status)::text)
    AND (sqlc.narg(model)::text IS NULL OR settings ->> 'model' = sqlc.narg(model)::text)
    AND (sqlc.narg(workflow)::text IS NULL OR workflow = sqlc.narg(workflow)::text)
    AND (sqlc.narg(created_from)::timestamptz IS NULL OR created_at >= sqlc.narg(created_from)::timestamptz)
    AND (sqlc.narg(created_to)::timestamptz IS NULL OR created_at < sqlc.narg(created_to)::timestamptz)
    AND (NOT @pictures::boolean OR images_complete > 0 OR images_left > 0)
)
SELECT id FROM found ORDER BY id DESC LIMIT @count;

-- GenerationCancel asks for the end of a generation. Images that no server has are cancelled at
-- once; with none left the generation has ended. Asking again changes nothing, and gives no row.
-- name: GenerationCancel :one
WITH generation AS (
    SELECT g.id FROM generations g
    WHERE g.id = @id AND g.status IN ('pending', 'generating') AND g.cancel_requested_at IS NULL
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
    origin = @origin
FROM generation, ended WHERE g.id = generation.id
RETURNING g.rev, g.status, g.cancel_requested_at, g.updated_at, ended.indexes;

-- GenerationDelete removes an ended generation, and names the blobs that it had. Others may have
-- them too: whoever removes them looks. No row: it is not there or has not ended. One row at least
-- otherwise, with an empty blob when it had none.
-- name: GenerationDelete :many
WITH gone AS (
    DELETE FROM generations g WHERE g.id = @id AND g.status IN ('complete', 'failed', 'cancelled')
    RETURNING g.id
), blobs AS (
    SELECT o.sha256 AS blob FROM outputs o WHERE o.generation_id = @id
    UNION
    SELECT o.thumbnail FROM outputs o WHERE o.generation_id = @id AND o.thumbnail <> ''
)
SELECT coalesce(blobs.blob, '')::text AS blob FROM gone LEFT JOIN blobs ON true;
