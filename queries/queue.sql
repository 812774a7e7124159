-- QueueLock lets one at a time put the work of a user in order: until the end of its transaction
-- nobody else does. Two who move at the same time would each place theirs between neighbours that
-- the other has just moved.
-- name: QueueLock :exec
SELECT pg_advisory_xact_lock(@key);

-- QueueEntry locks a generation against being picked, and tells its place. What it says of images
-- must be asked after this, in a statement of its own: this one may have waited for a pick.
-- name: QueueEntry :one
SELECT status, priority, rank, held_at, extract(epoch FROM clock_timestamp())::float8 AS now
FROM generations WHERE id = @id AND user_id = @user_id
FOR UPDATE;

-- QueueImages counts the images of a generation that wait, and those that a server has or had.
-- name: QueueImages :one
SELECT count(*) FILTER (WHERE status = 'pending')::integer AS waiting,
       count(*) FILTER (WHERE status IN ('generating', 'complete'))::integer AS begun
FROM images WHERE generation_id = @generation_id;

-- QueueBefore finds the nearest in front of a place among what may run of one user and priority,
-- nearest first. What has begun counts where begun says so.
-- name: QueueBefore :many
SELECT g.id, g.rank FROM generations g
WHERE g.user_id = @user_id AND g.priority = @priority AND g.images_left > 0
  AND g.held_at IS NULL AND g.cancel_requested_at IS NULL
  AND (g.rank, g.id) < (@rank::float8, @id::uuid)
  AND EXISTS (SELECT FROM images i WHERE i.generation_id = g.id AND i.status = 'pending')
  AND (@begun::boolean OR NOT EXISTS (
      SELECT FROM images i WHERE i.generation_id = g.id AND i.status IN ('generating', 'complete')))
ORDER BY g.rank DESC, g.id DESC LIMIT 2;

-- QueueAfter is QueueBefore for what comes behind a place.
-- name: QueueAfter :many
SELECT g.id, g.rank FROM generations g
WHERE g.user_id = @user_id AND g.priority = @priority AND g.images_left > 0
  AND g.held_at IS NULL AND g.cancel_requested_at IS NULL
  AND (g.rank, g.id) > (@rank::float8, @id::uuid)
  AND EXISTS (SELECT FROM images i WHERE i.generation_id = g.id AND i.status = 'pending')
  AND (@begun::boolean OR NOT EXISTS (
      SELECT FROM images i WHERE i.generation_id = g.id AND i.status IN ('generating', 'complete')))
ORDER BY g.rank, g.id LIMIT 2;

-- QueueAll names the work of one user and priority in its order.
-- name: QueueAll :many
SELECT id FROM generations WHERE user_id = @user_id AND priority = @priority AND images_left > 0
ORDER BY rank, id;

-- QueueSpread gives many their places anew.
-- name: QueueSpread :many
UPDATE generations g SET rank = spread.rank, origin = @origin
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@ranks::float8[]) AS rank) AS spread
WHERE g.id = spread.id AND g.images_left > 0
RETURNING g.id, g.rank, g.rev, g.updated_at;

-- GenerationRank places a generation that QueueEntry has locked.
-- name: GenerationRank :one
UPDATE generations SET rank = @rank, origin = @origin WHERE id = @id AND images_left > 0
RETURNING rev, updated_at;

-- GenerationPrioritise sets the priority of a generation that QueueEntry has locked.
-- name: GenerationPrioritise :one
UPDATE generations SET priority = @priority, origin = @origin WHERE id = @id AND images_left > 0
RETURNING rev, updated_at;

-- GenerationHold keeps a generation that QueueEntry has locked from being picked, or no longer.
-- name: GenerationHold :one
UPDATE generations SET held_at = CASE WHEN @held::boolean THEN coalesce(held_at, now()) END, origin = @origin
WHERE id = @id AND images_left > 0
RETURNING rev, updated_at, held_at;

-- GenerationsCancel is GenerationCancel for a portion of what a user has asked for up to an id. The
-- newest go first: a server that becomes free by it must not take what is about to be cancelled.
-- name: GenerationsCancel :many
WITH generation AS (
    SELECT g.id FROM generations g
    WHERE g.user_id = @user_id AND g.images_left > 0 AND g.cancel_requested_at IS NULL AND g.id <= @until
    ORDER BY g.id DESC LIMIT @portion
    FOR UPDATE
), image AS (
    UPDATE images i SET status = 'cancelled', finished_at = now()
    FROM generation WHERE i.generation_id = generation.id AND i.status = 'pending'
    RETURNING i.generation_id, i.index
), ended AS (
    SELECT generation.id, count(image.index)::integer AS n,
           coalesce(array_agg(image.index) FILTER (WHERE image.index IS NOT NULL), '{}')::integer[] AS indexes
    FROM generation LEFT JOIN image ON image.generation_id = generation.id
    GROUP BY generation.id
)
UPDATE generations g SET
    cancel_requested_at = now(),
    images_left = g.images_left - ended.n,
    status = CASE WHEN g.images_left = ended.n THEN 'cancelled' ELSE g.status END,
    finished_at = CASE WHEN g.images_left = ended.n THEN now() END,
    origin = @origin
FROM ended WHERE g.id = ended.id
RETURNING g.id, g.rev, g.status, g.cancel_requested_at, g.updated_at, ended.indexes;
