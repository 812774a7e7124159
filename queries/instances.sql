-- InstanceSeen is an instance's sign of life.
-- name: InstanceSeen :exec
INSERT INTO instances (id) VALUES (@id) ON CONFLICT (id) DO UPDATE SET seen_at = now();

-- InstanceGone takes out an instance that ends by itself and leaves no job.
-- name: InstanceGone :exec
DELETE FROM instances WHERE id = @id;

-- InstancesPrune drops those that died long ago: their jobs have been taken up since.
-- name: InstancesPrune :exec
DELETE FROM instances WHERE seen_at < now() - interval '1 day';
