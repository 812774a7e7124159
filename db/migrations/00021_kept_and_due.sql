-- What two statements rely on. A version from before servers could be added switches off, at its start, every
-- server that its configuration does not name; while instances are replaced one by one such a start may happen. And
-- deliveries that are overdue are looked for every minute in a log of thirty days.

-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION servers_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.enabled := true;
    NEW.config_rev := OLD.config_rev;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
-- Only a removal switches off what people have added. By its name it comes before servers_touch.
CREATE TRIGGER servers_keep BEFORE UPDATE OF enabled ON servers FOR EACH ROW
    WHEN (OLD.source = 'added' AND NEW.source = 'added' AND OLD.enabled AND NOT NEW.enabled AND NEW.removed_at IS NULL)
    EXECUTE FUNCTION servers_keep();

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_try_at) WHERE state = 'pending';
