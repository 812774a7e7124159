-- What people set for the whole installation, such as a pause of the queue: one row a setting, so
-- that every instance has the same. A change rings the bell.

-- +goose Up
CREATE TABLE settings (
    name       text PRIMARY KEY CHECK (name <> ''),
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What is rung about is not always a generation: 'server' names a server, 'settings' nobody (the zero UUID).
ALTER TABLE events DROP CONSTRAINT events_kind_check;
ALTER TABLE events ADD CONSTRAINT events_kind_check CHECK (kind IN ('changed', 'deleted', 'server', 'settings'));

-- ring leaves an event and rings the bell, both in the caller's transaction.
-- +goose StatementBegin
CREATE FUNCTION ring(topic text, kind text, subject uuid, rev bigint, origin uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (topic, kind, generation_id, rev, origin) VALUES (topic, kind, subject, rev, origin);
    PERFORM pg_notify('easel', json_build_object(
        'kind', kind, 'generation', subject, 'rev', rev, 'origin', origin)::text);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION settings_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ring('settings', 'settings', '00000000-0000-0000-0000-000000000000', 0,
                 '00000000-0000-0000-0000-000000000000');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER settings_ring AFTER INSERT OR UPDATE OR DELETE ON settings FOR EACH ROW EXECUTE FUNCTION settings_ring();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION generations_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM ring('generation', 'deleted', OLD.id, OLD.rev, OLD.origin);
    ELSE
        PERFORM ring('generation', 'changed', NEW.id, NEW.rev, NEW.origin);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
