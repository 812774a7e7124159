-- UploadKeep stores an upload, or notes that it is wanted again. No row: what the user has given and not used fills
-- most_bytes already.
-- name: UploadKeep :one
INSERT INTO uploads (user_id, sha256, thumbnail, mime, size, width, height, color)
SELECT @user_id, @sha256, @thumbnail, @mime, @size::bigint, @width, @height, @color
WHERE EXISTS (SELECT FROM uploads known WHERE known.user_id = @user_id AND known.sha256 = @sha256)
   OR (SELECT coalesce(sum(u.size), 0) FROM uploads u WHERE u.user_id = @user_id AND NOT EXISTS (
           SELECT FROM generation_inputs i WHERE i.user_id = u.user_id AND i.sha256 = u.sha256)) + @size::bigint <= @most_bytes::bigint
ON CONFLICT (user_id, sha256) DO UPDATE SET wanted_at = now()
RETURNING created_at;

-- UploadsWanted gives those of a user's uploads that are there, and keeps them for another day.
-- name: UploadsWanted :many
UPDATE uploads SET wanted_at = now() WHERE user_id = @user_id AND sha256 = ANY(@sha256s::text[])
RETURNING sha256, width, height;

-- UploadOne is an upload, by whoever it was given.
-- name: UploadOne :one
SELECT sha256, thumbnail, mime, size, width, height, color, created_at FROM uploads WHERE sha256 = @sha256
ORDER BY created_at LIMIT 1;

-- UploadsPrune forgets uploads that nobody has wanted for a day and no generation begins with. Their files go like all
-- that no row refers to.
-- name: UploadsPrune :many
DELETE FROM uploads u WHERE u.wanted_at < now() - interval '1 day'
  AND NOT EXISTS (SELECT FROM generation_inputs i WHERE i.user_id = u.user_id AND i.sha256 = u.sha256)
RETURNING u.sha256, u.thumbnail;
