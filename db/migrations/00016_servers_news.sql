-- A bell about a server has every instance read its row. How long its queue is, how much memory is free and which
-- model was loaded last changes with every generation, and is read every few seconds anyway: no news.

-- +goose Up
DROP TRIGGER servers_touch ON servers;
CREATE TRIGGER servers_touch BEFORE UPDATE ON servers FOR EACH ROW
    WHEN ((OLD.url, OLD.name, OLD.enabled, OLD.mode, OLD.removed_at, OLD.config_rev, OLD.owner, OLD.state, OLD.version,
           OLD.device, OLD.last_error, OLD.capabilities -> 'info')
          IS DISTINCT FROM
          (NEW.url, NEW.name, NEW.enabled, NEW.mode, NEW.removed_at, NEW.config_rev, NEW.owner, NEW.state, NEW.version,
           NEW.device, NEW.last_error, NEW.capabilities -> 'info'))
    EXECUTE FUNCTION servers_touch();
