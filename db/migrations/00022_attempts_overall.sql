-- How far the bar of a running prompt was, beside its steps: it must not go back when Easel is restarted under it.

-- +goose Up
ALTER TABLE attempts ADD COLUMN overall smallint NOT NULL DEFAULT 0 CHECK (overall BETWEEN 0 AND 100);
