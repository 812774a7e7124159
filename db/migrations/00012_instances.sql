-- Who is alive. A job that a killed instance was working on says so for as long as River believes it,
-- five minutes; with a sign of life of each instance others know better.

-- +goose Up
CREATE TABLE instances (
    id      uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);
