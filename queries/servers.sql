-- ServerConfigure stores a server that configuration names. Its id, client id and lease stay.
-- name: ServerConfigure :one
INSERT INTO servers (id, key, name, url, kind, client_id)
VALUES (@id, @key, @name, @url, @kind, @client_id)
ON CONFLICT (key) DO UPDATE SET
    name = excluded.name, url = excluded.url, kind = excluded.kind, enabled = true,
    config_rev = servers.config_rev + (servers.url <> excluded.url OR NOT servers.enabled)::integer
RETURNING id;

-- ServersDisableOthers turns off what configuration no longer names.
-- name: ServersDisableOthers :exec
UPDATE servers SET enabled = false, config_rev = config_rev + 1 WHERE enabled AND NOT (id = ANY(@ids::uuid[]));

-- ServersEnabled reads the servers to supervise, with what was last known of each.
-- name: ServersEnabled :many
SELECT id, name, url, kind, config_rev, client_id, max_inflight, state, version, device, vram_total,
       object_info, last_error, last_seen
FROM servers WHERE enabled ORDER BY kind, name, id;

-- ServerTake takes the lease of a server whose lease has run out, or any lease when force is set:
-- then the caller is the only instance there can be. The fence grows, so the former owner's
-- writes change no row from here on.
-- name: ServerTake :one
UPDATE servers SET owner = @owner::uuid, fence = fence + 1, lease_until = now() + interval '1 second' * @ttl_seconds::float8
WHERE id = @id AND (lease_until < now() OR owner = @owner::uuid OR @force::boolean)
RETURNING fence;

-- ServerRenew prolongs a lease that is still ours; no row means that it is not.
-- name: ServerRenew :execrows
UPDATE servers SET lease_until = now() + interval '1 second' * @ttl_seconds::float8
WHERE id = @id AND owner = @owner::uuid AND fence = @fence AND enabled;

-- ServerRelease gives a lease back, so that another instance need not wait for its end.
-- name: ServerRelease :exec
UPDATE servers SET owner = NULL, lease_until = 'epoch' WHERE id = @id AND owner = @owner::uuid AND fence = @fence;

-- ServerObserve stores how a server is, when that has changed.
-- name: ServerObserve :exec
UPDATE servers SET state = @state, version = @version, device = @device, vram_total = @vram_total,
    last_error = @last_error, last_seen = sqlc.narg(last_seen)
WHERE id = @id AND owner = @owner::uuid AND fence = @fence;

-- ServerObjectInfo keeps the node classes of a server for the time when it is down.
-- name: ServerObjectInfo :exec
UPDATE servers SET object_info = @object_info
WHERE id = @id AND owner = @owner::uuid AND fence = @fence AND object_info IS DISTINCT FROM @object_info;
