-- ServersLock keeps changes to the list of servers apart until the transaction ends: that a name and an address
-- are free is then still so when they are taken.
-- name: ServersLock :exec
SELECT pg_advisory_xact_lock(hashtext('easel.servers'));

-- ServersKept reads the servers that are shown.
-- name: ServersKept :many
SELECT id, name, url, kind, source FROM servers WHERE enabled AND removed_at IS NULL ORDER BY id;

-- ServerKept reads one of them.
-- name: ServerKept :one
SELECT id, name, url, kind, source FROM servers WHERE id = @id AND enabled AND removed_at IS NULL;

-- ServerAdd stores a server that somebody names on the page of servers. One that was there before under the same
-- address comes back, with its id and client id: prompts of then may still be inside.
-- name: ServerAdd :one
INSERT INTO servers (id, key, name, url, kind, client_id, source)
VALUES (@id, @key, @name, @url, 'comfyui', @client_id, 'added')
ON CONFLICT (key) DO UPDATE SET
    name = excluded.name, url = excluded.url, enabled = true, source = 'added', mode = 'active', removed_at = NULL,
    state = 'unknown', last_error = '', config_rev = servers.config_rev + 1
RETURNING id;

-- ServersDemoOff switches the demo server off: a real one is there.
-- name: ServersDemoOff :exec
UPDATE servers SET enabled = false, config_rev = config_rev + 1 WHERE kind = 'demo' AND enabled;

-- ServerRename gives a server another name.
-- name: ServerRename :exec
UPDATE servers SET name = @name WHERE id = @id AND enabled AND removed_at IS NULL;

-- ServerSetMode says what a server may do from now on; no row: there is no such server.
-- name: ServerSetMode :execrows
UPDATE servers SET mode = @mode WHERE id = @id AND enabled AND removed_at IS NULL;

-- ServerRemove takes a server out of every list. Its row stays, for its attempts name it.
-- name: ServerRemove :exec
UPDATE servers SET removed_at = now(), enabled = false, config_rev = config_rev + 1
WHERE id = @id AND source = 'added' AND removed_at IS NULL;
