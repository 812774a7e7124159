-- Browsers that want to be told of ends even while no page is open (Web Push). As with webhooks the message
-- is written by the very statement that ends the generation; jobs only carry it out.

-- +goose Up
CREATE TABLE push_subscriptions (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(), -- whoever knows it may end it
    user_id    uuid NOT NULL REFERENCES users (id),
    endpoint   text NOT NULL UNIQUE CHECK (octet_length(endpoint) BETWEEN 1 AND 2000),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 65), -- p256dh: messages are encrypted for it
    auth       bytea NOT NULL CHECK (octet_length(auth) = 16),
    every_end  boolean NOT NULL, -- of all that the user asked for; else of those in push_wishes
    created_at timestamptz NOT NULL DEFAULT now(),
    renewed_at timestamptz NOT NULL DEFAULT now() -- when the browser last told us of it
);
CREATE INDEX push_subscriptions_user ON push_subscriptions (user_id);

-- One generation whose end a browser wants to hear of.
CREATE TABLE push_wishes (
    generation_id   uuid NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    subscription_id uuid NOT NULL REFERENCES push_subscriptions (id) ON DELETE CASCADE,
    PRIMARY KEY (generation_id, subscription_id)
);
CREATE INDEX push_wishes_subscription ON push_wishes (subscription_id);

-- What is still to be told; a message that is told, or given up, is deleted.
CREATE TABLE push_messages (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq             bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    subscription_id uuid NOT NULL REFERENCES push_subscriptions (id) ON DELETE CASCADE,
    generation_id   uuid REFERENCES generations (id) ON DELETE CASCADE, -- NULL: a test
    job_id          bigint, -- of River; NULL: still to be inserted
    tries           integer NOT NULL DEFAULT 0,
    next_try_at     timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT push_messages_once UNIQUE (generation_id, subscription_id)
);
CREATE INDEX push_messages_jobless ON push_messages (seq) WHERE job_id IS NULL;
CREATE INDEX push_messages_subscription ON push_messages (subscription_id);

-- Who cancels knows of it, and needs no word but where it was asked for. The lock keeps a subscription that
-- is deleted in this moment from failing the statement that ends the generation.
-- +goose StatementBegin
CREATE FUNCTION push_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO push_messages (subscription_id, generation_id)
    SELECT s.id, NEW.id FROM push_subscriptions s
    WHERE s.user_id = NEW.user_id AND (s.every_end AND NEW.status <> 'cancelled'
        OR EXISTS (SELECT FROM push_wishes w WHERE w.generation_id = NEW.id AND w.subscription_id = s.id))
    FOR KEY SHARE OF s
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER generations_push AFTER UPDATE ON generations FOR EACH ROW
    WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION push_tell();
