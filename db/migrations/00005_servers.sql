-- Servers come from COMFYUI_URL or from the page of servers, and people decide what each may do.
-- Whether and why a server takes no work is a mode, apart from the state that it was found in.

-- +goose Up
ALTER TABLE servers
    ADD COLUMN source text NOT NULL DEFAULT 'config' CHECK (source IN ('config', 'added')),
    -- active; paused: takes nothing new; draining: takes nothing new and is switched off once empty; off: left alone
    ADD COLUMN mode text NOT NULL DEFAULT 'active' CHECK (mode IN ('active', 'paused', 'draining', 'off')),
    ADD COLUMN removed_at timestamptz, -- its attempts keep naming it
    ADD COLUMN queue integer NOT NULL DEFAULT 0 CHECK (queue >= 0), -- prompts inside it, everybody's, as last heard
    ADD COLUMN vram_free bigint NOT NULL DEFAULT 0 CHECK (vram_free >= 0),
    ADD COLUMN devices jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN rev bigint NOT NULL DEFAULT 1; -- grows with every change that others should see

-- +goose StatementBegin
CREATE FUNCTION servers_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.rev := OLD.rev + 1;
    RETURN NEW;
END
$$;
CREATE FUNCTION servers_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ring('server', 'server', NEW.id, NEW.rev, coalesce(NEW.owner, '00000000-0000-0000-0000-000000000000'));
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- A lease that is renewed is no news; all else is.
CREATE TRIGGER servers_touch BEFORE UPDATE ON servers FOR EACH ROW
    WHEN ((OLD.url, OLD.name, OLD.enabled, OLD.mode, OLD.removed_at, OLD.config_rev, OLD.owner, OLD.state, OLD.version,
           OLD.device, OLD.devices, OLD.last_error, OLD.queue, OLD.capabilities)
          IS DISTINCT FROM
          (NEW.url, NEW.name, NEW.enabled, NEW.mode, NEW.removed_at, NEW.config_rev, NEW.owner, NEW.state, NEW.version,
           NEW.device, NEW.devices, NEW.last_error, NEW.queue, NEW.capabilities))
    EXECUTE FUNCTION servers_touch();
CREATE TRIGGER servers_ring_update AFTER UPDATE ON servers FOR EACH ROW WHEN (OLD.rev <> NEW.rev) EXECUTE FUNCTION servers_ring();
CREATE TRIGGER servers_ring_insert AFTER INSERT ON servers FOR EACH ROW EXECUTE FUNCTION servers_ring();
