-- TimelinesLike are the newest runs before a generation's own, of the same workflow, model, size and steps.
-- It looks at no more than the 500 newest generations of that workflow.
-- name: TimelinesLike :many
SELECT a.timeline, a.finished_at
FROM generations this
JOIN images picture ON picture.generation_id = this.id AND picture.index = 1
CROSS JOIN LATERAL (
    SELECT g.id, g.settings FROM generations g
    WHERE g.workflow = this.workflow AND g.id < this.id
    ORDER BY g.id DESC LIMIT 500
) near
JOIN images i ON i.generation_id = near.id
JOIN attempts a ON a.generation_id = i.generation_id AND a.image_index = i.index
WHERE this.id = @id
  AND near.settings ->> 'model' IS NOT DISTINCT FROM this.settings ->> 'model'
  AND near.settings ->> 'steps' IS NOT DISTINCT FROM this.settings ->> 'steps'
  AND i.width = picture.width AND i.height = picture.height
  AND a.state = 'succeeded' AND a.timeline IS NOT NULL AND NOT a.reused
ORDER BY near.id DESC, a.image_index DESC LIMIT @count;

-- CalibrationsRecent are the last runs of which is known how true their progress was, newest first.
-- name: CalibrationsRecent :many
SELECT a.generation_id, a.image_index, g.prompt, g.workflow, a.finished_at, a.calibration
FROM attempts a JOIN generations g ON g.id = a.generation_id
WHERE a.calibration IS NOT NULL AND a.state = 'succeeded'
ORDER BY a.finished_at DESC LIMIT @count;
