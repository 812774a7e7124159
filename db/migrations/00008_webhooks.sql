-- A generation may name an address to which its end is posted. The delivery is written by the very
-- statement that ends it, whichever that is, so that no crash comes between the two; jobs only
-- carry it out.

-- +goose Up
ALTER TABLE generations
    ADD COLUMN webhook text NOT NULL DEFAULT '' CHECK (octet_length(webhook) <= 2000); -- empty: none

CREATE TABLE webhook_deliveries (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(), -- the receiver knows a repetition by it
    seq           bigint GENERATED ALWAYS AS IDENTITY NOT NULL UNIQUE, -- lists go by it
    generation_id uuid REFERENCES generations (id) ON DELETE CASCADE, -- NULL: a test
    event         text NOT NULL CHECK (event IN ('generation.complete', 'generation.failed', 'generation.cancelled', 'ping')),
    url           text NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 2000),
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    job_id        bigint,                     -- of River; NULL: still to be inserted
    round         integer NOT NULL DEFAULT 1, -- grows when somebody asks for a delivery again
    tries         integer NOT NULL DEFAULT 0, -- in this round
    round_at      timestamptz NOT NULL DEFAULT now(), -- when this round began; it gives up a day later
    next_try_at   timestamptz DEFAULT now(),
    ended_at      timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_deliveries_generation CHECK ((event = 'ping') = (generation_id IS NULL)),
    CONSTRAINT webhook_deliveries_ended CHECK ((ended_at IS NULL) = (state = 'pending')),
    CONSTRAINT webhook_deliveries_next CHECK ((next_try_at IS NULL) = (state <> 'pending'))
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (generation_id); -- it ends once
CREATE INDEX webhook_deliveries_jobless ON webhook_deliveries (seq) WHERE job_id IS NULL;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);

-- One try, with what was answered.
CREATE TABLE webhook_tries (
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    number      integer NOT NULL CHECK (number >= 1), -- over all rounds
    began_at    timestamptz NOT NULL,
    took_ms     integer NOT NULL CHECK (took_ms >= 0),
    status      integer NOT NULL CHECK (status >= 0), -- of HTTP; 0: no answer came
    error       text NOT NULL,                        -- in words; empty: delivered
    response    text NOT NULL CHECK (octet_length(response) <= 8192), -- how the answer's body began
    PRIMARY KEY (delivery_id, number)
);

-- +goose StatementBegin
CREATE FUNCTION webhook_deliver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (generation_id, event, url)
    VALUES (NEW.id, 'generation.' || NEW.status, NEW.webhook)
    ON CONFLICT (generation_id) DO NOTHING;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER generations_webhook AFTER UPDATE ON generations FOR EACH ROW
    WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL AND NEW.webhook <> '')
    EXECUTE FUNCTION webhook_deliver();
