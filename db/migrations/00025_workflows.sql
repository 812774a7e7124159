-- Workflows that people bring. What was brought is kept as it came. A version is never changed once it is there, so
-- that an edit changes nothing of what was asked for before; one that no generation refers to may go.

-- +goose Up
CREATE TABLE workflows (
    id          text PRIMARY KEY CHECK (id ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND octet_length(id) <= 80),
    owner_id    uuid NOT NULL REFERENCES users (id),
    title       text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '' CHECK (char_length(description) <= 2000),
    version     integer NOT NULL CHECK (version >= 1), -- that is asked for from now on
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz -- removed by a person; generations still refer to it
);

-- A file that was brought, and what was made of it.
CREATE TABLE workflow_sources (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workflow_id text NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
    filename    text NOT NULL CHECK (octet_length(filename) <= 255), -- empty: it had none
    container   text NOT NULL CHECK (container <> ''),               -- json, png, webp, jpeg
    original    bytea NOT NULL CHECK (octet_length(original) > 0),
    graph       bytea,          -- in API format; NULL: it could not be converted with what the servers said
    problems    jsonb NOT NULL, -- what the conversion had to say
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX workflow_sources_workflow ON workflow_sources (workflow_id);

CREATE TABLE workflow_versions (
    workflow_id text NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
    version     integer NOT NULL CHECK (version >= 1),
    source_id   uuid NOT NULL REFERENCES workflow_sources (id),
    fields      jsonb NOT NULL CHECK (jsonb_typeof(fields) = 'array'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, version)
);
CREATE INDEX workflow_versions_source ON workflow_versions (source_id);

-- Those that come with Easel have no version. NOT VALID: every row that is there has none.
ALTER TABLE generations ADD COLUMN workflow_version integer;
ALTER TABLE generations ADD CONSTRAINT generations_workflow_version
    FOREIGN KEY (workflow, workflow_version) REFERENCES workflow_versions (workflow_id, version) NOT VALID;

-- The bell 'workflows' names nobody: they are few, and read together.
ALTER TABLE events DROP CONSTRAINT events_kind_check;
ALTER TABLE events ADD CONSTRAINT events_kind_check CHECK (kind IN ('changed', 'deleted', 'server', 'settings', 'workflows'));

-- +goose StatementBegin
CREATE FUNCTION workflows_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ring('workflows', 'workflows', '00000000-0000-0000-0000-000000000000', 0,
                 '00000000-0000-0000-0000-000000000000');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER workflows_ring AFTER INSERT OR UPDATE OR DELETE ON workflows FOR EACH ROW EXECUTE FUNCTION workflows_ring();
