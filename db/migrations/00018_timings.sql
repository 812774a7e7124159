-- How long parts of the work take, learned from runs that succeeded: what the percentages and the times left are
-- made from, on all instances. Losing it loses nothing but a few runs' worth of good guesses.

-- +goose Up
CREATE TABLE timings (
    scope      text NOT NULL CHECK (scope <> ''), -- which runs: a hash of server, workflow, model and size; of less; a server; all
    node       text NOT NULL,                     -- id in the graph, or class; empty: of a whole run
    part       text NOT NULL,
    cold       boolean NOT NULL,                  -- a model was read in the same run
    mean       double precision NOT NULL,         -- of the natural logarithm of seconds, or of seconds for each megapixel
    variance   double precision NOT NULL CHECK (variance >= 0),
    count      integer NOT NULL CHECK (count >= 1),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, node, part, cold)
);
CREATE INDEX timings_updated ON timings (updated_at);
