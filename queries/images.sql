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
       coalesce(a.overall, 0)::integer AS overall,
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

-- ImageCandidates reads the images that run next, in order: by priority, then round robin over users, then as each
-- user has put them. It leaves out what needs a word of lacks, users with most_running images at work (0: no limit),
-- and generations that are held back or being cancelled. Nothing is locked. Only users with work are asked about, found
-- by leaps over the index: of others there may be any number.
-- name: ImageCandidates :many
WITH RECURSIVE busy AS (
    (SELECT g.user_id FROM generations g
     WHERE g.images_left > 0 AND g.cancel_requested_at IS NULL AND g.held_at IS NULL
     ORDER BY g.user_id LIMIT 1)
    UNION ALL
    SELECT (SELECT g.user_id FROM generations g
            WHERE g.images_left > 0 AND g.cancel_requested_at IS NULL AND g.held_at IS NULL AND g.user_id > busy.user_id
            ORDER BY g.user_id LIMIT 1)
    FROM busy WHERE busy.user_id IS NOT NULL
)
SELECT next.generation_id, next.index, u.id AS user_id, next.priority, next.overtaken, next.needs
FROM busy JOIN users u ON u.id = busy.user_id
CROSS JOIN LATERAL (
    SELECT g.id AS generation_id, i.index, g.priority, g.rank, g.needs, i.overtaken
    FROM generations g JOIN images i ON i.generation_id = g.id AND i.status = 'pending'
    WHERE g.user_id = u.id AND g.images_left > 0 AND g.cancel_requested_at IS NULL AND g.held_at IS NULL
      AND NOT g.needs && @lacks::text[]
    ORDER BY g.priority DESC, g.rank, g.id, i.index
    LIMIT @most::integer
) next
WHERE @most_running::integer = 0 OR @most_running::integer > (
    SELECT count(*) FROM generations g JOIN images i ON i.generation_id = g.id
    WHERE g.user_id = u.id AND g.status = 'generating' AND i.status = 'generating')
ORDER BY next.priority DESC, u.served_at, next.rank, next.generation_id, next.index
LIMIT @most::integer;

-- UserTurn locks a user, so that no two servers pick for the same one at once: a limit holds exactly. No row: another
-- does just now. It does not wait, for two that wait for each other's user would never end.
-- name: UserTurn :execrows
SELECT FROM users WHERE id = @id FOR NO KEY UPDATE SKIP LOCKED;

-- UserRunning counts the images of a user that are at work.
-- name: UserRunning :one
SELECT count(*) FROM generations g JOIN images i ON i.generation_id = g.id
WHERE g.user_id = @id AND g.status = 'generating' AND i.status = 'generating';

-- ImageOvertaken notes that a younger image of the same user was picked before this one. It waits for nobody, since
-- the picked one is locked already: what another has locked just now is being picked or cancelled.
-- name: ImageOvertaken :exec
WITH head AS (
    SELECT i.generation_id, i.index FROM images i
    WHERE i.generation_id = @generation_id AND i.index = @index AND i.status = 'pending'
    FOR UPDATE SKIP LOCKED
)
UPDATE images i SET overtaken = i.overtaken + 1
FROM head WHERE i.generation_id = head.generation_id AND i.index = head.index;

-- GenerationNeeds stores what the graph of a generation turned out to need.
-- name: GenerationNeeds :exec
UPDATE generations SET needs = @needs, origin = @origin WHERE id = @id AND images_left > 0 AND needs <> @needs;

-- ServerIdle says whether one of the servers, which could run it too, has nothing of ours inside, and the models
-- loaded: then it should have the image. No models: loaded or not.
-- name: ServerIdle :one
SELECT EXISTS (
    SELECT FROM servers s
    WHERE s.id = ANY(@ids::uuid[]) AND s.enabled AND s.mode = 'active' AND s.state IN ('up', 'stalled')
      AND s.lease_until > now() AND coalesce(s.capabilities -> 'loaded', '[]') @> to_jsonb(@models::text[])
      AND NOT EXISTS (SELECT FROM attempts a WHERE a.server_id = s.id AND a.state IN ('submitting', 'submitted', 'running')));

-- ServersAnswer says whether one of the servers answers and takes work.
-- name: ServersAnswer :one
SELECT EXISTS (
    SELECT FROM servers s
    WHERE s.id = ANY(@ids::uuid[]) AND s.enabled AND s.mode = 'active' AND s.state IN ('up', 'stalled') AND s.lease_until > now());

-- ImagePick locks an image that still waits. One that another supervisor is picking is skipped: no row. Nor is there one
-- where people have paused the queue or the server since the candidates were chosen: what is made after a pause waits.
-- Losses count attempts that vanished after they were sent; crashes, those that were running.
-- name: ImagePick :one
WITH next AS (
    SELECT g.id AS generation_id, g.user_id, g.prompt, g.negative_prompt, g.workflow, g.workflow_version, g.settings, i.index
    FROM images i
    JOIN generations g ON g.id = i.generation_id
    WHERE i.generation_id = @generation_id AND i.index = @index
      AND i.status = 'pending' AND g.cancel_requested_at IS NULL AND g.held_at IS NULL
      AND NOT EXISTS (SELECT FROM settings WHERE name = 'queue_paused' AND value = 'true')
      AND NOT EXISTS (SELECT FROM servers s WHERE s.id = @server_id AND s.mode <> 'active')
    FOR UPDATE OF g, i SKIP LOCKED
)
SELECT next.generation_id, next.user_id, next.prompt, next.negative_prompt, next.workflow, next.workflow_version, next.settings,
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
