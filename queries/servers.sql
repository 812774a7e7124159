-- ServerConfigure stores a server that configuration names. Its id, client id, mode and lease stay; one that was
-- added on the page of servers is configuration's from here on.
-- name: ServerConfigure :one
INSERT INTO servers (id, key, name, url, kind, client_id)
VALUES (@id, @key, @name, @url, @kind, @client_id)
ON CONFLICT (key) DO UPDATE SET
    name = excluded.name, url = excluded.url, kind = excluded.kind, enabled = true, source = 'config', removed_at = NULL,
    config_rev = servers.config_rev + (servers.url <> excluded.url OR NOT servers.enabled)::integer
RETURNING id;

-- ServersDisableOthers turns off what configuration no longer names. Servers that people have added are theirs.
-- name: ServersDisableOthers :exec
UPDATE servers SET enabled = false, config_rev = config_rev + 1
WHERE enabled AND source = 'config' AND NOT (id = ANY(@ids::uuid[]));

-- ServersOn reads servers as everybody sees them, in the order in which they are shown: all, or those of ids.
-- lease_left is how many seconds its lease still runs by the database's clock; nobody holds it when that is not
-- above 0. The node classes, which may be megabytes, are read by ServerClasses where info_sum is a new one.
-- name: ServersOn :many
SELECT id, rev, name, url, kind, source, mode, config_rev, client_id, max_inflight, owner,
       extract(epoch FROM lease_until - now())::double precision AS lease_left,
       state, version, device, devices, vram_total, vram_free, queue, last_error, last_seen,
       coalesce(capabilities ->> 'info', '')::text AS info_sum,
       ARRAY(SELECT jsonb_array_elements_text(coalesce(capabilities -> 'loaded', '[]')))::text[] AS loaded
FROM servers
WHERE enabled AND removed_at IS NULL AND (cardinality(@ids::uuid[]) = 0 OR id = ANY(@ids::uuid[]))
ORDER BY kind, name, id;

-- ServerClasses reads the node classes of a server as last known.
-- name: ServerClasses :one
SELECT object_info FROM servers WHERE id = @id;

-- ServerTake takes the lease of a server that is on and whose lease has run out, or any lease when force is set:
-- then the caller is the only instance there can be. The fence grows, so the former owner's
-- writes change no row from here on. With abandon it is the lease of one that is off, to put back what lies there.
-- name: ServerTake :one
UPDATE servers SET owner = @owner::uuid, fence = fence + 1, lease_until = now() + interval '1 second' * @ttl_seconds::float8
WHERE id = @id AND (lease_until < now() OR owner = @owner::uuid OR @force::boolean)
  AND (enabled AND mode <> 'off') <> @abandon::boolean
RETURNING fence;

-- ServerRenew prolongs a lease that is still ours; no row means that it is not, or that the server was switched off.
-- name: ServerRenew :execrows
UPDATE servers SET lease_until = now() + interval '1 second' * @ttl_seconds::float8
WHERE id = @id AND owner = @owner::uuid AND fence = @fence AND enabled AND mode <> 'off';

-- ServerRelease gives a lease back, so that another instance need not wait for its end.
-- name: ServerRelease :exec
UPDATE servers SET owner = NULL, lease_until = 'epoch' WHERE id = @id AND owner = @owner::uuid AND fence = @fence;

-- ServerObserve stores how a server is.
-- name: ServerObserve :exec
UPDATE servers SET state = @state, version = @version, device = @device, devices = @devices,
    vram_total = @vram_total, vram_free = @vram_free, queue = @queue,
    last_error = @last_error, last_seen = sqlc.narg(last_seen)
WHERE id = @id AND owner = @owner::uuid AND fence = @fence;

-- ServerLearned keeps the node classes of a server for the time when it is down, and for the instances that do not
-- supervise it; they hear of it by the sum.
-- name: ServerLearned :exec
UPDATE servers SET object_info = @object_info,
    capabilities = capabilities || jsonb_build_object('info', @info_sum::text)
WHERE id = @id AND owner = @owner::uuid AND fence = @fence AND capabilities ->> 'info' IS DISTINCT FROM @info_sum::text;

-- ServerLoaded notes which models were sent to a server last.
-- name: ServerLoaded :exec
UPDATE servers SET capabilities = capabilities || jsonb_build_object('loaded', to_jsonb(@loaded::text[]))
WHERE id = @id AND owner = @owner::uuid AND fence = @fence;

-- ServerDrained switches a draining server off once nothing of ours is inside it, and none of its files is still
-- to be fetched.
-- name: ServerDrained :execrows
UPDATE servers s SET mode = 'off'
WHERE s.id = @id AND s.owner = @owner::uuid AND s.fence = @fence AND s.mode = 'draining' AND NOT EXISTS (
    SELECT FROM attempts a
    WHERE a.server_id = s.id AND a.state IN ('submitting', 'submitted', 'running', 'finalizing'));

-- ServersAbandoned reads what still lies on servers that are off and that nobody holds any more.
-- name: ServersAbandoned :many
SELECT a.prompt_id, a.generation_id, a.server_id, a.state, s.name, s.url
FROM servers s JOIN attempts a ON a.server_id = s.id
WHERE (NOT s.enabled OR s.mode = 'off') AND (s.lease_until < now() OR s.owner = @owner::uuid OR @force::boolean)
  AND a.state IN ('submitting', 'submitted', 'running')
ORDER BY a.server_id, a.created_at
LIMIT 1000;
