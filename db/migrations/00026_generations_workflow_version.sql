-- +goose NO TRANSACTION
-- Whether a version of a workflow is in use is asked at each edit and at each removal.

-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS generations_by_version; -- of a try that was cut short: it would not be used
CREATE INDEX CONCURRENTLY generations_by_version ON generations (workflow, workflow_version)
    WHERE workflow_version IS NOT NULL;
