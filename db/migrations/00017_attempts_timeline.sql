-- When each node of an attempt ran, and how true what was said of its progress was: what happened, for people who
-- look at it afterwards, and what the next estimates are measured by. NULL: not known, as of all that ended before.

-- +goose Up
ALTER TABLE attempts
    ADD COLUMN timeline      jsonb, -- nodes and passes as the socket told, in milliseconds since the first message
    ADD COLUMN calibration   jsonb, -- what was foretold while it ran, against what came
    ADD COLUMN fetch_seconds double precision CHECK (fetch_seconds >= 0), -- files from ComfyUI to us, by the clock of whoever did it
    ADD COLUMN store_seconds double precision CHECK (store_seconds >= 0);
