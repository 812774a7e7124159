-- OutputsOf reads the stored files of generations, in their order within each image.
-- name: OutputsOf :many
SELECT generation_id, image_index, position, node_id, kind, sha256, thumbnail, mime, size, width, height, color
FROM outputs WHERE generation_id = ANY(@ids::uuid[])
ORDER BY generation_id, image_index, position;

-- BlobUsed tells whether any output or upload refers to a blob.
-- name: BlobUsed :one
SELECT (EXISTS (SELECT FROM outputs WHERE sha256 = @blob::text)
     OR EXISTS (SELECT FROM outputs WHERE thumbnail = @blob::text AND thumbnail <> '')
     OR EXISTS (SELECT FROM uploads WHERE sha256 = @blob::text)
     OR EXISTS (SELECT FROM uploads WHERE thumbnail = @blob::text))::boolean AS used;

-- BlobsKeep keeps blobs from being removed until the transaction ends: who is about to refer to them
-- takes the lock of each with others, who removes one takes it alone. 'blob' names the kind of lock,
-- eight digits of its hash the blob; two blobs that share them wait for each other, no more.
-- name: BlobsKeep :exec
SELECT pg_advisory_xact_lock_shared(x'626c6f62'::integer, ('x' || left(b, 8))::bit(32)::integer)
FROM unnest(@blobs::text[]) AS b;

-- BlobAlone waits for those who are about to refer to a blob, and keeps others off.
-- name: BlobAlone :exec
SELECT pg_advisory_xact_lock(x'626c6f62'::integer, ('x' || left(@blob::text, 8))::bit(32)::integer);

-- RemovalAllowed tells whether no backup is being made, and has none begin before the transaction
-- ends: what a backup's rows refer to must stay until it has the files too.
-- name: RemovalAllowed :one
SELECT pg_try_advisory_xact_lock_shared(x'6261636b'::bigint)::boolean AS allowed;

-- RemovalForbid waits for removals that are under way and forbids new ones until the transaction
-- ends. One backup at a time may hold it.
-- name: RemovalForbid :exec
SELECT pg_advisory_xact_lock(x'6261636b'::bigint);

-- OutputOne is one stored file, by its place. It is asked for by every picture on every page.
-- name: OutputOne :one
SELECT sha256, thumbnail, mime, size, created_at FROM outputs
WHERE generation_id = @generation_id AND image_index = @image_index AND position = @position;
