-- ImagesOf reads the images of generations, each with its latest attempt; one that lives or has
-- succeeded comes before a later one that it has made needless. retry_reason is why the attempt
-- before the latest was not the last.
-- name: ImagesOf :many
SELECT i.generation_id, i.index, i.seed, i.width, i.height, i.status, i.error_message, i.started_at, i.finished_at,
       coalesce(a.prompt_id::text, '')::text AS prompt_id,
       coalesce(past.attempts, 0)::integer AS attempts,
       coalesce(past.retry_reasons[1], '')::text AS retry_reason,
       coalesce(a.state, '')::text AS attempt_state,
       coalesce(a.steps_done, 0)::integer AS steps_done,
       coalesce(a.steps_planned, 0)::integer AS steps_planned,
       coalesce(a.reused, false)::boolean AS reused,
       coalesce(s.name, '')::text AS server,
       coalesce(a.server_id, '00000000-0000-0000-0000-000000000000')::uuid AS server_id
FROM images i
LEFT JOIN LATERAL (
    SELECT * FROM attempts WHERE attempts.generation_id = i.generation_id AND attempts.image_index = i.index
    ORDER BY state IN ('submitting', 'submitted', 'running', 'finalizing', 'succeeded') DESC, number DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS attempts,
           array_agg(p.loss_reason || p.retry_reason ORDER BY p.number DESC)
               FILTER (WHERE p.loss_reason || p.retry_reason <> '') AS retry_reasons
    FROM attempts p WHERE p.generation_id = i.generation_id AND p.image_index = i.index
) past ON true
LEFT JOIN servers s ON s.id = a.server_id
WHERE i.generation_id = ANY(@ids::uuid[])
ORDER BY i.generation_id, i.index;

-- ImagePick locks the image that runs next: priority, then round robin over users, then the order
-- that its user gave it. An image that another supervisor is picking is skipped, and so is a
-- generation that is held back or being cancelled.
-- Losses count attempts that vanished after they were sent; crashes, those that were running. They
-- are counted for the one image that was picked, not for all that wait.
-- name: ImagePick :one
WITH next AS (
    SELECT g.id AS generation_id, g.user_id, g.prompt, g.negative_prompt, g.workflow, g.settings, i.index
    FROM images i
    JOIN generations g ON g.id = i.generation_id
    JOIN users u ON u.id = g.user_id
    WHERE i.status = 'pending' AND g.cancel_requested_at IS NULL AND g.held_at IS NULL
    ORDER BY g.priority DESC, u.served_at, g.rank, g.id, i.index
    LIMIT 1
    FOR UPDATE OF g, i SKIP LOCKED
)
SELECT next.generation_id, next.user_id, next.prompt, next.negative_prompt, next.workflow, next.settings,
       next.index,
       coalesce(past.attempts, 0)::integer AS attempts,
       coalesce(past.losses, 0)::integer AS losses,
       coalesce(past.crashes, 0)::integer AS crashes,
       coalesce(past.out_of_memory, 0)::integer AS out_of_memory
FROM next
LEFT JOIN LATERAL (
    SELECT max(a.number) AS attempts,
           count(*) FILTER (WHERE a.loss_reason IN ('absent', 'unreachable')) AS losses,
           count(*) FILTER (WHERE a.loss_reason IN ('absent', 'unreachable') AND a.was_running) AS crashes,
           count(*) FILTER (WHERE a.retry_reason = 'out_of_memory') AS out_of_memory
    FROM attempts a WHERE a.generation_id = next.generation_id AND a.image_index = next.index
) past ON true;

-- ImageFail ends an image that cannot even be sent, such as one whose workflow is gone.
-- name: ImageFail :one
WITH generation AS (
    SELECT locked.id FROM generations locked WHERE locked.id = @generation_id FOR UPDATE
), image AS (
    UPDATE images i SET status = 'failed', finished_at = now(), error_message = @error_message
    FROM generation WHERE i.generation_id = generation.id AND i.index = @index AND i.status = 'pending'
    RETURNING i.generation_id
)
UPDATE generations g SET
    images_left = g.images_left - 1,
    status = CASE WHEN g.images_left > 1 THEN g.status
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > 1 THEN NULL ELSE now() END,
    error_code = CASE WHEN g.error_code = '' THEN @error_code::text ELSE g.error_code END,
    error_message = CASE WHEN g.error_code = '' THEN @error_message ELSE g.error_message END,
    origin = @origin
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at;
