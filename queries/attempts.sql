-- Each change of an attempt is one guarded statement. It locks, always in this order: the lease
-- (a take-over waits for us), the generation, the attempt, the image. No row comes back when the
-- lease is lost or the attempt is no longer in a state that may change so: nothing was written.

-- AttemptInsert writes an attempt ahead of its POST and takes its image from the queue.
-- name: AttemptInsert :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), image AS (
    UPDATE images i SET status = 'generating'
    FROM lease WHERE i.generation_id = @generation_id AND i.index = @image_index AND i.status = 'pending'
    RETURNING i.generation_id, i.index
), attempt AS (
    INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, graph)
    SELECT @prompt_id, image.generation_id, image.index, @number, @server_id, @fence, @graph FROM image
    RETURNING generation_id
), served AS (
    UPDATE users u SET served_at = clock_timestamp() FROM attempt WHERE u.id = @user_id
    RETURNING u.served_at
)
UPDATE generations g SET status = 'generating', origin = @owner
FROM attempt, served WHERE g.id = attempt.generation_id
RETURNING g.rev, g.updated_at, served.served_at;

-- AttemptSubmitted notes that ComfyUI has accepted the prompt.
-- name: AttemptSubmitted :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'submitted', submitted_at = now()
    FROM lease, generation WHERE a.prompt_id = @prompt_id AND a.state = 'submitting'
    RETURNING a.generation_id
)
UPDATE generations g SET warnings = g.warnings || @warnings::text[], origin = @owner
FROM attempt WHERE g.id = attempt.generation_id
RETURNING g.rev, g.updated_at;

-- AttemptRunning notes that ComfyUI has begun.
-- name: AttemptRunning :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'running', was_running = true, running_at = now(),
        submitted_at = coalesce(a.submitted_at, now())
    FROM lease, generation WHERE a.prompt_id = @prompt_id AND a.state IN ('submitting', 'submitted')
    RETURNING a.generation_id, a.image_index, a.running_at
), image AS (
    UPDATE images i SET started_at = attempt.running_at
    FROM attempt WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index
    RETURNING i.generation_id, i.started_at
)
UPDATE generations g SET origin = @owner
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.updated_at, image.started_at;

-- AttemptFinalizing notes ComfyUI's success and the files that its history names. The job that
-- fetches them is inserted in the same transaction.
-- name: AttemptFinalizing :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'finalizing', was_running = true, result = @result, finalizing_at = now(),
        submitted_at = coalesce(a.submitted_at, now()),
        running_at = coalesce(a.running_at, sqlc.narg(running_at)::timestamptz, now()),
        sampling_at = sqlc.narg(sampling_at)::timestamptz, steps_done = @steps_done, steps_planned = @steps_planned,
        reused = @reused, timeline = @timeline, calibration = @calibration
    FROM lease, generation
    WHERE a.prompt_id = @prompt_id AND a.state IN ('submitting', 'submitted', 'running')
    RETURNING a.generation_id, a.image_index, a.running_at
), image AS (
    UPDATE images i SET started_at = attempt.running_at
    FROM attempt WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index
    RETURNING i.generation_id, i.started_at
)
UPDATE generations g SET origin = @owner
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.updated_at, image.started_at;

-- AttemptEnd ends an attempt that gave nothing: failed, cancelled or lost. The image ends with
-- it, or goes back into the queue (image_status pending) unless a cancellation was asked for. What
-- may yet turn up in ComfyUI stays on watch for a time.
-- name: AttemptEnd :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id, g.cancel_requested_at FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = @state, finished_at = now(), loss_reason = @loss_reason,
        retry_reason = @retry_reason, error_message = @error_message, error_detail = @error_detail,
        steps_done = @steps_done, steps_planned = @steps_planned, timeline = @timeline,
        watch_until = CASE WHEN @watch_seconds::float8 > 0 THEN now() + interval '1 second' * @watch_seconds::float8 END
    FROM lease, generation
    WHERE a.prompt_id = @prompt_id AND a.state IN ('submitting', 'submitted', 'running')
    RETURNING a.generation_id, a.image_index
), image AS (
    UPDATE images i SET
        status = CASE WHEN @image_status::text = 'pending' AND generation.cancel_requested_at IS NOT NULL
                      THEN 'cancelled' ELSE @image_status::text END,
        finished_at = CASE WHEN @image_status::text = 'pending' AND generation.cancel_requested_at IS NULL
                           THEN NULL ELSE now() END,
        started_at = CASE WHEN @image_status::text = 'pending' THEN NULL ELSE i.started_at END,
        error_message = CASE WHEN @image_status::text = 'pending' THEN '' ELSE @error_message END
    FROM attempt, generation
    WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index AND i.status = 'generating'
    RETURNING i.generation_id, i.status, (i.status <> 'pending')::integer AS ended
)
UPDATE generations g SET
    images_left = g.images_left - image.ended,
    status = CASE WHEN g.images_left > image.ended THEN g.status
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > image.ended THEN NULL ELSE now() END,
    error_code = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN @error_code::text ELSE g.error_code END,
    error_message = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN @error_message ELSE g.error_message END,
    origin = @owner
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at, image.status AS image_status;

-- AttemptSucceed stores the outputs and ends attempt, image and perhaps generation, in one
-- statement. It is the job's, which may run anywhere and twice: the state guards it, not a lease.
-- name: AttemptSucceed :one
WITH generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'succeeded', finished_at = now(), calibration = @calibration,
        fetch_seconds = @fetch_seconds::float8, store_seconds = @store_seconds::float8
    FROM generation WHERE a.prompt_id = @prompt_id AND a.state = 'finalizing'
    RETURNING a.prompt_id, a.generation_id, a.image_index
), file AS (
    SELECT unnest(@node_ids::text[]) AS node_id, unnest(@idxs::integer[]) AS idx,
           unnest(@positions::integer[]) AS position, unnest(@kinds::text[]) AS kind,
           unnest(@sha256s::text[]) AS sha256, unnest(@thumbnails::text[]) AS thumbnail,
           unnest(@mimes::text[]) AS mime, unnest(@sizes::bigint[]) AS size,
           unnest(@widths::integer[]) AS width, unnest(@heights::integer[]) AS height,
           unnest(@colors::text[]) AS color
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
    origin = @origin
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at;

-- AttemptGiveUp ends an attempt whose files could not be had. It is the job's, like
-- AttemptSucceed; the image goes back into the queue, or fails with the attempt.
-- name: AttemptGiveUp :one
WITH generation AS (
    SELECT g.id, g.cancel_requested_at FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = @state, finished_at = now(), loss_reason = @loss_reason,
        error_message = @error_message, error_detail = @error_detail
    FROM generation WHERE a.prompt_id = @prompt_id AND a.state = 'finalizing'
    RETURNING a.generation_id, a.image_index
), image AS (
    UPDATE images i SET
        status = CASE WHEN @image_status::text = 'pending' AND generation.cancel_requested_at IS NOT NULL
                      THEN 'cancelled' ELSE @image_status::text END,
        finished_at = CASE WHEN @image_status::text = 'pending' AND generation.cancel_requested_at IS NULL
                           THEN NULL ELSE now() END,
        started_at = CASE WHEN @image_status::text = 'pending' THEN NULL ELSE i.started_at END,
        error_message = CASE WHEN @image_status::text = 'pending' THEN '' ELSE @error_message END
    FROM attempt, generation
    WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index AND i.status = 'generating'
    RETURNING i.generation_id, i.status, (i.status <> 'pending')::integer AS ended
)
UPDATE generations g SET
    images_left = g.images_left - image.ended,
    status = CASE WHEN g.images_left > image.ended THEN g.status
                  WHEN g.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
    finished_at = CASE WHEN g.images_left > image.ended THEN NULL ELSE now() END,
    error_code = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN @error_code::text ELSE g.error_code END,
    error_message = CASE WHEN image.status = 'failed' AND g.error_code = '' THEN @error_message ELSE g.error_message END,
    origin = @origin
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.status, g.updated_at, image.status AS image_status;

-- AttemptForJob is what the finalize job needs to know.
-- name: AttemptForJob :one
SELECT a.prompt_id, a.generation_id, a.image_index, a.state, a.result, a.server_id, s.url, s.enabled, a.calibration,
       coalesce(extract(epoch FROM clock_timestamp() - a.finalizing_at), 0)::double precision AS waited_seconds,
       (SELECT count(*) FROM attempts past
        WHERE past.generation_id = a.generation_id AND past.image_index = a.image_index
          AND past.loss_reason = 'outputs_missing')::integer AS missing_before
FROM attempts a JOIN servers s ON s.id = a.server_id
WHERE a.prompt_id = @prompt_id;

-- AttemptProgress keeps how far a prompt is, for whoever comes after us. It is no change that
-- anybody is told of, and where it fails nothing is lost.
-- name: AttemptProgress :exec
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner::uuid AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
)
UPDATE attempts a SET steps_done = @steps_done, steps_planned = @steps_planned, overall = @overall
FROM lease WHERE a.prompt_id = @prompt_id AND a.state = 'running';

-- AttemptLive tells whether an attempt has not ended yet.
-- name: AttemptLive :one
SELECT EXISTS (
    SELECT FROM attempts WHERE prompt_id = @prompt_id AND state IN ('submitting', 'submitted', 'running', 'finalizing')
) AS live;

-- AttemptsOnWatch reads what has ended for us and may yet turn up in a server, newest first.
-- name: AttemptsOnWatch :many
SELECT a.prompt_id, a.generation_id, a.image_index, a.state,
       (i.status IN ('pending', 'generating'))::boolean AS needed
FROM attempts a JOIN images i ON i.generation_id = a.generation_id AND i.index = a.image_index
WHERE a.server_id = @server_id AND a.watch_until > now()
ORDER BY a.watch_until DESC LIMIT @count;

-- AttemptUnwatch ends the watch over attempts whose fate is known.
-- name: AttemptUnwatch :exec
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner::uuid AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
)
UPDATE attempts a SET watch_until = NULL FROM lease WHERE a.prompt_id = @prompt_id;

-- AttemptSupersede ends the live attempt of an image whose earlier, lost attempt has succeeded
-- first. It stays on watch, where its own server takes it out of ComfyUI. One whose files are being
-- stored already is left alone. AttemptAdopt follows in the same transaction.
-- name: AttemptSupersede :exec
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner::uuid AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), lost AS (
    SELECT a.generation_id, a.image_index, a.prompt_id FROM attempts a
    WHERE a.prompt_id = @prompt_id AND a.state = 'lost' AND a.watch_until > now()
), generation AS (
    SELECT g.id FROM generations g JOIN lost ON g.id = lost.generation_id FOR UPDATE OF g
)
UPDATE attempts a SET state = 'cancelled', finished_at = now(), error_message = @error_message,
    watch_until = now() + interval '1 second' * @watch_seconds::float8
FROM lease, lost, generation
WHERE a.generation_id = generation.id AND a.image_index = lost.image_index
  AND a.state IN ('submitting', 'submitted', 'running');

-- AttemptAdopt takes back the loss of an attempt that has succeeded after all, with the files that
-- history names. No row: its image has ended, or another attempt's files are being stored.
-- name: AttemptAdopt :one
WITH lease AS (
    SELECT s.id FROM servers s
    WHERE s.id = @server_id AND s.owner = @owner AND s.fence = @fence AND s.lease_until > now()
    FOR SHARE
), generation AS (
    SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id
    WHERE a.prompt_id = @prompt_id FOR UPDATE OF g
), attempt AS (
    UPDATE attempts a SET state = 'finalizing', was_running = true, result = @result, finalizing_at = now(),
        adopted_at = now(), finished_at = NULL, watch_until = NULL, loss_reason = '', error_message = '', error_detail = '',
        submitted_at = coalesce(a.submitted_at, now()), running_at = coalesce(a.running_at, now())
    FROM lease, generation
    WHERE a.prompt_id = @prompt_id AND a.state = 'lost' AND a.watch_until > now()
      AND EXISTS (SELECT FROM images i WHERE i.generation_id = a.generation_id AND i.index = a.image_index
                  AND i.status IN ('pending', 'generating'))
      AND NOT EXISTS (SELECT FROM attempts other
                      WHERE other.generation_id = a.generation_id AND other.image_index = a.image_index
                        AND other.state IN ('submitting', 'submitted', 'running', 'finalizing'))
    RETURNING a.generation_id, a.image_index, a.running_at
), image AS (
    UPDATE images i SET status = 'generating', started_at = attempt.running_at, error_message = ''
    FROM attempt WHERE i.generation_id = attempt.generation_id AND i.index = attempt.image_index
    RETURNING i.generation_id, i.started_at
)
UPDATE generations g SET status = 'generating', origin = @owner
FROM image WHERE g.id = image.generation_id
RETURNING g.rev, g.updated_at, image.started_at;

-- AttemptsInside reads the attempts of a server that may be inside its ComfyUI: what a new owner
-- of the lease looks up before it submits anything.
-- name: AttemptsInside :many
SELECT a.prompt_id, a.generation_id, a.image_index, a.number, a.state, a.graph, a.running_at, a.steps_done, a.steps_planned, a.overall,
       extract(epoch FROM now() - a.created_at)::double precision AS age_seconds,
       coalesce(past.losses, 0)::integer AS losses,
       coalesce(past.crashes, 0)::integer AS crashes,
       coalesce(past.out_of_memory, 0)::integer AS out_of_memory
FROM attempts a
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE p.loss_reason IN ('absent', 'unreachable')) AS losses,
           count(*) FILTER (WHERE p.loss_reason IN ('absent', 'unreachable') AND p.was_running) AS crashes,
           count(*) FILTER (WHERE p.retry_reason = 'out_of_memory') AS out_of_memory
    FROM attempts p WHERE p.generation_id = a.generation_id AND p.image_index = a.image_index
) past ON true
WHERE a.server_id = @server_id AND a.state IN ('submitting', 'submitted', 'running')
ORDER BY a.created_at;

-- AttemptsUnfinished names the attempts that wait for their finalize job.
-- name: AttemptsUnfinished :many
SELECT prompt_id FROM attempts WHERE state = 'finalizing' AND finalizing_at < now() - interval '1 minute';

-- AttemptsOf is the record of a generation, oldest first.
-- name: AttemptsOf :many
SELECT a.prompt_id, a.image_index, a.number, s.name AS server, a.state, a.loss_reason, a.retry_reason,
       a.error_message, a.error_detail, a.graph, a.created_at, a.submitted_at, a.running_at, a.sampling_at,
       a.finalizing_at, a.adopted_at, a.finished_at
FROM attempts a JOIN servers s ON s.id = a.server_id
WHERE a.generation_id = @generation_id
ORDER BY a.created_at, a.image_index, a.number;

-- AttemptGeneration finds the generation and image of a prompt_id.
-- name: AttemptGeneration :one
SELECT generation_id, image_index FROM attempts WHERE prompt_id = @prompt_id;

-- AttemptTimelines is when the last attempt of each image of a generation came how far.
-- name: AttemptTimelines :many
SELECT DISTINCT ON (a.image_index) a.prompt_id, a.image_index, a.number, s.name AS server, a.state, a.reused,
       g.created_at AS accepted_at, a.created_at, a.submitted_at, a.running_at, a.sampling_at, a.finalizing_at, a.finished_at,
       a.timeline, a.calibration, a.fetch_seconds, a.store_seconds
FROM attempts a JOIN servers s ON s.id = a.server_id JOIN generations g ON g.id = a.generation_id
WHERE a.generation_id = @generation_id
ORDER BY a.image_index, a.number DESC;
