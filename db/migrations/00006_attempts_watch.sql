-- An attempt is taken for lost when ComfyUI does not have it, and yet its POST may still be carried
-- out: it stays on watch. What shows up late is cancelled, or adopted if it has succeeded first.

-- +goose Up
ALTER TABLE attempts
    ADD COLUMN watch_until timestamptz, -- ended for us, and may yet turn up in its ComfyUI; NULL: cannot
    ADD COLUMN adopted_at timestamptz,  -- it had been taken for lost until then
    -- why its image went back into the queue although the attempt was not lost
    ADD COLUMN retry_reason text NOT NULL DEFAULT '';
CREATE INDEX attempts_on_watch ON attempts (server_id, watch_until) WHERE watch_until IS NOT NULL;

-- What is lost and on watch is not known to have ended: its success, and nothing else, may follow.
DROP TRIGGER attempts_ended_is_final ON attempts;
CREATE TRIGGER attempts_ended_is_final BEFORE UPDATE ON attempts FOR EACH ROW
    WHEN (OLD.state IN ('succeeded', 'failed', 'cancelled', 'lost') AND NEW.state <> OLD.state
          AND NOT (OLD.state = 'lost' AND OLD.watch_until IS NOT NULL AND NEW.state = 'finalizing'))
    EXECUTE FUNCTION ended_is_final();
