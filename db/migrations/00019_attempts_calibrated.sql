-- +goose NO TRANSACTION
-- The page of calibration reads the last runs that were measured, whatever the table's size.

-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS attempts_calibrated; -- of a try that was cut short: it would not be used
CREATE INDEX CONCURRENTLY attempts_calibrated ON attempts (finished_at DESC)
    WHERE calibration IS NOT NULL AND state = 'succeeded';
