-- An instance that was not told of a change finds it in events. Ids are given before the commit, so that
-- a later one may be seen earlier; by its transaction an event is never passed over: whoever has read
-- at one snapshot reads on from that snapshot's xmin.

-- +goose Up
ALTER TABLE events ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX events_xid ON events (xid);

-- NOTIFY takes a lock of the whole server at commit. A connection that says easel.notify = off leaves the
-- event alone, because its process tells the others after the commit by another way.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION ring(topic text, kind text, subject uuid, rev bigint, origin uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (topic, kind, generation_id, rev, origin) VALUES (topic, kind, subject, rev, origin);
    IF current_setting('easel.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('easel', json_build_object(
            'kind', kind, 'generation', subject, 'rev', rev, 'origin', origin)::text);
    END IF;
END
$$;
-- +goose StatementEnd
