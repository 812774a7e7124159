-- EventsPrune drops what nobody can still be waiting for.
-- name: EventsPrune :execrows
DELETE FROM events WHERE created_at < now() - interval '15 minutes';

-- TablesReady tells whether the tables are there, River's too.
-- name: TablesReady :one
SELECT (to_regclass('events') IS NOT NULL AND to_regclass('river.river_job') IS NOT NULL)::boolean AS ready;

-- EventsCursor is where to begin with EventsSince: everything committed from now on comes after it.
-- name: EventsCursor :one
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS cursor;

-- EventsSince reads what was committed since cursor, and where to read on: next is the same in every row. With nothing
-- new there is one row whose kind is empty. Some of it may have been read before.
-- name: EventsSince :many
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS next, coalesce(e.kind, '')::text AS kind,
       coalesce(e.generation_id, '00000000-0000-0000-0000-000000000000')::uuid AS generation_id, coalesce(e.rev, 0)::bigint AS rev
FROM (SELECT 1) AS one LEFT JOIN (
    SELECT kind, generation_id, max(rev) AS rev FROM events
    WHERE xid >= sqlc.arg(cursor)::text::xid8
    GROUP BY kind, generation_id LIMIT sqlc.arg(most)
) AS e ON true;

-- Tell says messages to all who listen, without waiting for the disk: nothing depends on them.
-- name: Tell :exec
SELECT set_config('synchronous_commit', 'off', true), (SELECT count(pg_notify('easel_live', m)) FROM unnest(sqlc.arg(messages)::text[]) AS m);

-- PreviewPut keeps the latest preview of a prompt.
-- name: PreviewPut :exec
INSERT INTO previews (prompt_id, rev, mime, bytes) VALUES (@prompt_id, @rev, @mime, @bytes)
ON CONFLICT (prompt_id) DO UPDATE SET rev = excluded.rev, mime = excluded.mime, bytes = excluded.bytes, updated_at = now();

-- PreviewsOf reads the latest previews of some prompts.
-- name: PreviewsOf :many
SELECT prompt_id, rev, mime, bytes FROM previews WHERE prompt_id = ANY(sqlc.arg(prompts)::uuid[]);

-- PreviewDelete drops the preview of a prompt that is over.
-- name: PreviewDelete :exec
DELETE FROM previews WHERE prompt_id = $1;

-- PreviewsPrune drops what a crash has left behind.
-- name: PreviewsPrune :exec
DELETE FROM previews WHERE updated_at < now() - interval '15 minutes';

-- Installation is the name of this database among others, made at the first call.
-- name: Installation :one
WITH made AS (
    INSERT INTO settings (name, value) VALUES ('installation', to_jsonb(gen_random_uuid()::text))
    ON CONFLICT (name) DO NOTHING RETURNING value #>> '{}' AS id
)
SELECT coalesce((SELECT id FROM made), (SELECT value #>> '{}' FROM settings WHERE name = 'installation'), '')::text AS id;
