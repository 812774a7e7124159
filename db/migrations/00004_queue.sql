-- People put their own work in order, and hold it back. rank orders the queue within one user and
-- priority; it begins as the time of asking, so that untouched work runs by age.

-- +goose Up
ALTER TABLE generations
    ADD COLUMN held_at timestamptz, -- held back by its owner since then; NULL: may run
    ADD COLUMN rank double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp());
UPDATE generations SET rank = extract(epoch FROM created_at) WHERE status IN ('pending', 'generating');
