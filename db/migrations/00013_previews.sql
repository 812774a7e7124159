-- The latest live preview of a prompt that somebody watches on another instance than the one that follows
-- it: too large for NOTIFY, and nothing is lost with it. Rows are deleted at the end of the prompt, and what a
-- crash leaves behind after 15 minutes.

-- +goose Up
CREATE UNLOGGED TABLE previews (
    prompt_id  uuid PRIMARY KEY, -- no reference: it may outlive its attempt
    rev        bigint NOT NULL CHECK (rev > 0),
    mime       text NOT NULL CHECK (mime <> ''),
    bytes      bytea NOT NULL CHECK (octet_length(bytes) BETWEEN 1 AND 524288),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
