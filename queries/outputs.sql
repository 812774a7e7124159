-- OutputsOf reads the stored files of generations, in their order within each image.
-- name: OutputsOf :many
SELECT generation_id, image_index, position, node_id, kind, sha256, thumbnail, mime, size, width, height, color
FROM outputs WHERE generation_id = ANY(@ids::uuid[])
ORDER BY generation_id, image_index, position;

-- BlobUsed tells whether any output refers to a blob.
-- name: BlobUsed :one
SELECT (EXISTS (SELECT FROM outputs WHERE sha256 = @blob::text)
     OR EXISTS (SELECT FROM outputs WHERE thumbnail = @blob::text AND thumbnail <> ''))::boolean AS used;

-- OutputOne is one stored file, by its place. It is asked for by every picture on every page.
-- name: OutputOne :one
SELECT sha256, thumbnail, mime, size, created_at FROM outputs
WHERE generation_id = @generation_id AND image_index = @image_index AND position = @position;
