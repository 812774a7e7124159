-- ComfyUI had the results of all samplers in its cache, so that no step was ever to be seen. Whoever
-- comes after the end reads it here: without it a picture made in no time is a riddle.

-- +goose Up
ALTER TABLE attempts ADD COLUMN reused boolean NOT NULL DEFAULT false;
