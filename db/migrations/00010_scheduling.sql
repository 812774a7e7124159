-- A server is sent only what it can run, and picks what its loaded models serve, within bounds.

-- +goose Up
ALTER TABLE generations ADD COLUMN needs text[] NOT NULL DEFAULT '{}'; -- node classes and model files of its graph
ALTER TABLE images ADD COLUMN overtaken integer NOT NULL DEFAULT 0 CHECK (overtaken >= 0); -- by younger ones, while it was next

-- The queue of one user in the order in which it is picked from.
CREATE INDEX generations_pick ON generations (user_id, priority DESC, rank, id)
    WHERE images_left > 0 AND cancel_requested_at IS NULL AND held_at IS NULL;
CREATE INDEX generations_at_work ON generations (user_id) WHERE status = 'generating';
