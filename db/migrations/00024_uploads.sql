-- Pictures that people give as inputs. A generation holds on to those that it begins with; one that none holds on to
-- goes a day after it was last wanted.

-- +goose Up
CREATE TABLE uploads (
    user_id    uuid NOT NULL REFERENCES users (id),
    sha256     text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'), -- of the file as it is kept, without its metadata
    thumbnail  text NOT NULL CHECK (thumbnail ~ '^[0-9a-f]{64}$'),
    mime       text NOT NULL,
    size       bigint NOT NULL CHECK (size > 0),
    width      integer NOT NULL CHECK (width > 0),
    height     integer NOT NULL CHECK (height > 0),
    color      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    wanted_at  timestamptz NOT NULL DEFAULT now(), -- given again, or asked for
    PRIMARY KEY (user_id, sha256)
);
CREATE INDEX uploads_sha256 ON uploads (sha256);
CREATE INDEX uploads_thumbnail ON uploads (thumbnail);
CREATE INDEX uploads_wanted ON uploads (wanted_at);

CREATE TABLE generation_inputs (
    generation_id uuid NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    user_id       uuid NOT NULL,
    sha256        text NOT NULL,
    PRIMARY KEY (generation_id, sha256),
    FOREIGN KEY (user_id, sha256) REFERENCES uploads (user_id, sha256)
);
CREATE INDEX generation_inputs_upload ON generation_inputs (user_id, sha256);
