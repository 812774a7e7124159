-- +goose Up

CREATE TABLE users (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (name <> ''),
    served_at  timestamptz NOT NULL DEFAULT 'epoch', -- the scheduler's round robin: least recently served first
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Everything belongs to the local user until there are accounts.
INSERT INTO users (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'local');

-- A ComfyUI. Whoever holds the lease supervises it; every write of a supervisor carries the fence.
CREATE TABLE servers (
    id           uuid PRIMARY KEY,
    key          text NOT NULL UNIQUE CHECK (key <> ''), -- what configuration knows it by: its url, or 'demo'
    name         text NOT NULL CHECK (name <> ''),
    url          text NOT NULL CHECK (url <> ''),
    kind         text NOT NULL CHECK (kind IN ('comfyui', 'demo')),
    enabled      boolean NOT NULL DEFAULT true,
    config_rev   bigint NOT NULL DEFAULT 1,
    client_id    text NOT NULL UNIQUE CHECK (client_id <> ''), -- stable: ComfyUI sends a prompt's events to it
    max_inflight integer NOT NULL DEFAULT 2 CHECK (max_inflight BETWEEN 1 AND 2),

    owner        uuid, -- instance that holds the lease
    lease_until  timestamptz NOT NULL DEFAULT 'epoch',
    fence        bigint NOT NULL DEFAULT 0 CHECK (fence >= 0), -- grows with each change of owner

    state        text NOT NULL DEFAULT 'unknown'
                 CHECK (state IN ('unknown', 'up', 'down', 'stalled', 'not_comfyui')),
    version      text NOT NULL DEFAULT '',
    device       text NOT NULL DEFAULT '',
    vram_total   bigint NOT NULL DEFAULT 0 CHECK (vram_total >= 0),
    capabilities jsonb NOT NULL DEFAULT '{}',
    object_info  bytea, -- the last known, as it came
    last_error   text NOT NULL DEFAULT '',
    last_seen    timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- What a person asked for. Ids are UUIDv7, so that they sort by age and lists page by id alone.
CREATE TABLE generations (
    id                  uuid PRIMARY KEY,
    user_id             uuid NOT NULL REFERENCES users (id),
    prompt              text NOT NULL CHECK (char_length(prompt) <= 10000),
    negative_prompt     text NOT NULL DEFAULT '' CHECK (char_length(negative_prompt) <= 10000),
    workflow            text NOT NULL CHECK (workflow <> ''),
    settings            jsonb NOT NULL CHECK (jsonb_typeof(settings) = 'object'),
    request             bytea NOT NULL, -- the body as it came
    idempotency_key     text CHECK (octet_length(idempotency_key) BETWEEN 1 AND 400),
    body_hash           bytea CHECK (octet_length(body_hash) = 32),
    priority            integer NOT NULL DEFAULT 0,
    retry_of            uuid REFERENCES generations (id) ON DELETE SET NULL,

    status              text NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'generating', 'complete', 'failed', 'cancelled')),
    total_images        integer NOT NULL CHECK (total_images BETWEEN 1 AND 64),
    images_left         integer NOT NULL CHECK (images_left BETWEEN 0 AND total_images),
    images_complete     integer NOT NULL DEFAULT 0 CHECK (images_complete BETWEEN 0 AND total_images - images_left),
    cancel_requested_at timestamptz,
    error_code          text NOT NULL DEFAULT '',
    error_message       text NOT NULL DEFAULT '',
    warnings            text[] NOT NULL DEFAULT '{}',

    rev                 bigint NOT NULL DEFAULT 1, -- by generations_touch
    origin              uuid NOT NULL,             -- instance that made the last change
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    finished_at         timestamptz,
    search              tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, prompt)) STORED,

    CONSTRAINT generations_idempotency UNIQUE (user_id, idempotency_key),
    CONSTRAINT generations_key_has_hash CHECK ((idempotency_key IS NULL) = (body_hash IS NULL)),
    CONSTRAINT generations_ended CHECK ((images_left = 0) = (status IN ('complete', 'failed', 'cancelled'))),
    CONSTRAINT generations_finished CHECK ((finished_at IS NOT NULL) = (status IN ('complete', 'failed', 'cancelled'))),
    CONSTRAINT generations_complete CHECK ((status = 'complete') = (images_complete = total_images)),
    CONSTRAINT generations_cancelled CHECK (status <> 'cancelled' OR cancel_requested_at IS NOT NULL)
);
CREATE INDEX generations_status ON generations (status, id);
CREATE INDEX generations_pictures ON generations (id) WHERE images_complete > 0 OR images_left > 0;
CREATE INDEX generations_model ON generations ((settings ->> 'model'), id);
CREATE INDEX generations_workflow ON generations (workflow, id);
CREATE INDEX generations_waiting ON generations (user_id) WHERE status = 'pending';
CREATE INDEX generations_created ON generations (created_at);
CREATE INDEX generations_retry_of ON generations (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX generations_search ON generations USING gin (search);

-- One picture of a generation.
CREATE TABLE images (
    generation_id uuid NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    index         integer NOT NULL CHECK (index BETWEEN 1 AND 64),
    seed          numeric(20) NOT NULL CHECK (seed BETWEEN 0 AND 18446744073709551615),
    width         integer NOT NULL DEFAULT 0 CHECK (width >= 0), -- as asked for; 0: the workflow has no such field
    height        integer NOT NULL DEFAULT 0 CHECK (height >= 0),
    status        text NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'generating', 'complete', 'failed', 'cancelled')),
    error_message text NOT NULL DEFAULT '',
    started_at    timestamptz,
    finished_at   timestamptz,
    PRIMARY KEY (generation_id, index),
    CONSTRAINT images_finished CHECK ((finished_at IS NOT NULL) = (status IN ('complete', 'failed', 'cancelled')))
);
CREATE INDEX images_pending ON images (generation_id, index) WHERE status = 'pending';

-- One graph sent to one server under one prompt_id. The row is committed before the POST.
CREATE TABLE attempts (
    prompt_id     uuid PRIMARY KEY,
    generation_id uuid NOT NULL,
    image_index   integer NOT NULL,
    number        integer NOT NULL CHECK (number >= 1),
    server_id     uuid NOT NULL REFERENCES servers (id),
    fence         bigint NOT NULL, -- of the lease under which it was made
    state         text NOT NULL DEFAULT 'submitting'
                  CHECK (state IN ('submitting', 'submitted', 'running', 'finalizing',
                                   'succeeded', 'failed', 'cancelled', 'lost')),
    graph         bytea NOT NULL,  -- the exact bytes that are sent
    result        jsonb,           -- the files that history named, for the job that fetches them
    was_running   boolean NOT NULL DEFAULT false,
    loss_reason   text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '', -- for visitors
    error_detail  text NOT NULL DEFAULT '', -- as ComfyUI told; may hold paths of the server
    steps_done    integer NOT NULL DEFAULT 0 CHECK (steps_done >= 0),
    steps_planned integer NOT NULL DEFAULT 0 CHECK (steps_planned >= 0),
    created_at    timestamptz NOT NULL DEFAULT now(),
    submitted_at  timestamptz,
    running_at    timestamptz,
    sampling_at   timestamptz,
    finalizing_at timestamptz,
    finished_at   timestamptz,
    FOREIGN KEY (generation_id, image_index) REFERENCES images (generation_id, index) ON DELETE CASCADE,
    CONSTRAINT attempts_number UNIQUE (generation_id, image_index, number),
    CONSTRAINT attempts_finished CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled', 'lost'))),
    CONSTRAINT attempts_lost CHECK ((state = 'lost') = (loss_reason <> '')),
    CONSTRAINT attempts_result CHECK (state NOT IN ('finalizing', 'succeeded') OR result IS NOT NULL)
);
CREATE UNIQUE INDEX attempts_one_live ON attempts (generation_id, image_index)
    WHERE state IN ('submitting', 'submitted', 'running', 'finalizing');
CREATE INDEX attempts_live_of_server ON attempts (server_id)
    WHERE state IN ('submitting', 'submitted', 'running', 'finalizing');

-- One stored file. The blob's key is the hash of its bytes.
CREATE TABLE outputs (
    prompt_id     uuid NOT NULL REFERENCES attempts (prompt_id) ON DELETE CASCADE,
    node_id       text NOT NULL,
    idx           integer NOT NULL CHECK (idx >= 0), -- place within what the node gave
    generation_id uuid NOT NULL,
    image_index   integer NOT NULL,
    position      integer NOT NULL CHECK (position >= 0), -- place within the image
    kind          text NOT NULL CHECK (kind <> ''),
    sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    thumbnail     text NOT NULL DEFAULT '' CHECK (thumbnail ~ '^([0-9a-f]{64})?$'),
    mime          text NOT NULL CHECK (mime <> ''),
    size          bigint NOT NULL CHECK (size > 0),
    width         integer NOT NULL CHECK (width >= 0),
    height        integer NOT NULL CHECK (height >= 0),
    color         text NOT NULL DEFAULT '' CHECK (color ~ '^(#[0-9a-f]{6})?$'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (prompt_id, node_id, idx),
    FOREIGN KEY (generation_id, image_index) REFERENCES images (generation_id, index) ON DELETE CASCADE,
    CONSTRAINT outputs_position UNIQUE (generation_id, image_index, position)
);
CREATE INDEX outputs_sha256 ON outputs (sha256);
CREATE INDEX outputs_thumbnail ON outputs (thumbnail) WHERE thumbnail <> '';

-- What changed, for instances that could not listen. Pruned after 15 minutes.
CREATE TABLE events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text NOT NULL CHECK (topic <> ''),
    kind          text NOT NULL CHECK (kind IN ('changed', 'deleted')),
    generation_id uuid NOT NULL, -- no reference: it outlives its generation
    rev           bigint NOT NULL,
    origin        uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_created ON events (created_at);

-- +goose StatementBegin
CREATE FUNCTION ended_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% has ended and cannot change its state', TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_ended_is_final';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER generations_ended_is_final BEFORE UPDATE ON generations FOR EACH ROW
    WHEN (OLD.status IN ('complete', 'failed', 'cancelled') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION ended_is_final();
CREATE TRIGGER images_ended_is_final BEFORE UPDATE ON images FOR EACH ROW
    WHEN (OLD.status IN ('complete', 'failed', 'cancelled') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION ended_is_final();
CREATE TRIGGER attempts_ended_is_final BEFORE UPDATE ON attempts FOR EACH ROW
    WHEN (OLD.state IN ('succeeded', 'failed', 'cancelled', 'lost') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION ended_is_final();

-- +goose StatementBegin
CREATE FUNCTION generations_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.rev := OLD.rev + 1;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER generations_touch BEFORE UPDATE ON generations FOR EACH ROW
    EXECUTE FUNCTION generations_touch();

-- A change leaves an event and rings the bell, both in the transaction that made it. The bell
-- says only which generation and which revision; whoever hears it reads the state.
-- +goose StatementBegin
CREATE FUNCTION generations_ring() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    g    generations;
    what text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        g := OLD;
        what := 'deleted';
    ELSE
        g := NEW;
        what := 'changed';
    END IF;
    INSERT INTO events (topic, kind, generation_id, rev, origin)
    VALUES ('generation', what, g.id, g.rev, g.origin);
    PERFORM pg_notify('easel', json_build_object(
        'kind', what, 'generation', g.id, 'rev', g.rev, 'origin', g.origin)::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER generations_ring AFTER INSERT OR UPDATE OR DELETE ON generations FOR EACH ROW
    EXECUTE FUNCTION generations_ring();

-- +goose Down
DROP TABLE events, outputs, attempts, images, generations, servers, users;
DROP FUNCTION ended_is_final, generations_touch, generations_ring;
