-- What people see and move is the part of the queue that is one user's and of one priority.

-- +goose Up
CREATE INDEX generations_queue ON generations (user_id, priority, rank, id) WHERE images_left > 0;
ALTER TABLE generations ADD CONSTRAINT generations_priority CHECK (priority BETWEEN -1 AND 1);
