-- WorkflowList reads what is known of workflows without their graphs, the ones that were removed left out.
-- name: WorkflowList :many
SELECT w.id, w.owner_id, w.title, w.description, w.version, w.created_at, w.updated_at,
       (s.graph IS NOT NULL)::boolean AS has_graph
FROM workflows w
JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.version
JOIN workflow_sources s ON s.id = v.source_id
WHERE w.archived_at IS NULL
ORDER BY lower(w.title), w.id LIMIT @most;

-- WorkflowVersions reads versions, also of workflows that were removed; those that do not exist are left out.
-- name: WorkflowVersions :many
SELECT v.workflow_id, v.version, w.title, w.description, v.fields, s.graph
FROM (SELECT unnest(@ids::text[]) AS id, unnest(@versions::integer[]) AS version) AS wanted
JOIN workflow_versions v ON v.workflow_id = wanted.id AND v.version = wanted.version
JOIN workflows w ON w.id = v.workflow_id
JOIN workflow_sources s ON s.id = v.source_id;

-- WorkflowGet is a workflow with what its present version was made of; removed ones have no row.
-- name: WorkflowGet :one
SELECT w.id, w.owner_id, w.title, w.description, w.version, w.created_at, w.updated_at,
       v.fields, s.filename, s.container, octet_length(s.original)::integer AS original_bytes, s.graph, s.problems
FROM workflows w
JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.version
JOIN workflow_sources s ON s.id = v.source_id
WHERE w.id = @id AND w.archived_at IS NULL;

-- WorkflowOriginal is the file that was brought.
-- name: WorkflowOriginal :one
SELECT s.filename, s.container, s.original
FROM workflows w
JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.version
JOIN workflow_sources s ON s.id = v.source_id
WHERE w.id = @id AND w.archived_at IS NULL;

-- WorkflowInsert takes an id that is free. No row: it is taken.
-- name: WorkflowInsert :execrows
INSERT INTO workflows (id, owner_id, title, description, version)
VALUES (@id, @owner_id, @title, @description, 1)
ON CONFLICT (id) DO NOTHING;

-- WorkflowCount counts those that are not removed.
-- name: WorkflowCount :one
SELECT count(*) FROM workflows WHERE archived_at IS NULL;

-- WorkflowSourceInsert stores a file and what was made of it.
-- name: WorkflowSourceInsert :one
INSERT INTO workflow_sources (workflow_id, filename, container, original, graph, problems)
VALUES (@workflow_id, @filename, @container, @original, @graph, @problems)
RETURNING id;

-- WorkflowSourceRead is WorkflowSourceInsert for the file of an earlier version, read anew.
-- name: WorkflowSourceRead :one
INSERT INTO workflow_sources (workflow_id, filename, container, original, graph, problems)
SELECT s.workflow_id, s.filename, s.container, s.original, @graph, @problems
FROM workflow_versions v JOIN workflow_sources s ON s.id = v.source_id
WHERE v.workflow_id = @id AND v.version = @before
RETURNING id;

-- WorkflowVersionInsert stores a version.
-- name: WorkflowVersionInsert :exec
INSERT INTO workflow_versions (workflow_id, version, source_id, fields) VALUES (@workflow_id, @version, @source_id, @fields);

-- WorkflowVersionAgain stores a version of the same file as the one before.
-- name: WorkflowVersionAgain :exec
INSERT INTO workflow_versions (workflow_id, version, source_id, fields)
SELECT v.workflow_id, v.version + 1, v.source_id, @fields
FROM workflow_versions v WHERE v.workflow_id = @workflow_id AND v.version = @before;

-- WorkflowUpdate changes what people see of a workflow, and sets the version that is asked for from now on. No row:
-- it is not there, or no longer as it was in the version that the change was made for.
-- name: WorkflowUpdate :execrows
UPDATE workflows SET title = @title, description = @description, version = @version, updated_at = now()
WHERE id = @id AND archived_at IS NULL AND version = @before;

-- WorkflowForget removes the earlier versions that no generation refers to. What refers to one meanwhile makes it fail.
-- name: WorkflowForget :exec
DELETE FROM workflow_versions v USING workflows w
WHERE w.id = @id AND v.workflow_id = w.id AND v.version < w.version AND NOT EXISTS (
    SELECT FROM generations g WHERE g.workflow = v.workflow_id AND g.workflow_version = v.version);

-- WorkflowSourcesForget removes the files that no version was made of.
-- name: WorkflowSourcesForget :exec
DELETE FROM workflow_sources s
WHERE s.workflow_id = @id AND NOT EXISTS (SELECT FROM workflow_versions v WHERE v.source_id = s.id);

-- WorkflowArchive takes a workflow out of the list; what was made with it still refers to it.
-- name: WorkflowArchive :execrows
UPDATE workflows SET archived_at = now() WHERE id = @id AND archived_at IS NULL;

-- WorkflowEmpty removes the versions of one that was archived which no generation refers to. The workflow stays: an id
-- and a version name one graph for ever. What refers to one meanwhile makes it fail.
-- name: WorkflowEmpty :exec
DELETE FROM workflow_versions v USING workflows w
WHERE w.id = @id AND w.archived_at IS NOT NULL AND v.workflow_id = w.id AND NOT EXISTS (
    SELECT FROM generations g WHERE g.workflow = v.workflow_id AND g.workflow_version = v.version);
