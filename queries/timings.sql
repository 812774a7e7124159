-- TimingsLearn takes in what runs have shown, of many subjects at once: see learned.after, which does the same in
-- memory. The rows are taken in one order, for other instances learn too.
-- name: TimingsLearn :exec
INSERT INTO timings AS t (scope, node, part, cold, mean, variance, count)
SELECT n.scope, n.node, n.part, n.cold, n.mean, n.variance, n.count
FROM (
    SELECT unnest(@scopes::text[]) AS scope, unnest(@nodes::text[]) AS node, unnest(@parts::text[]) AS part,
           unnest(@colds::boolean[]) AS cold, unnest(@means::float8[]) AS mean,
           unnest(@variances::float8[]) AS variance, unnest(@counts::integer[]) AS count
) n
ORDER BY n.scope, n.node, n.part, n.cold
ON CONFLICT (scope, node, part, cold) DO UPDATE SET
    (mean, variance, count, updated_at) = (
        SELECT t.mean + w.weight * w.news,
               (1 - w.weight) * (t.variance + w.weight * w.news ^ 2) + w.weight * excluded.variance,
               least(t.count::bigint + excluded.count, 1000000)::integer, clock_timestamp()
        FROM (SELECT greatest(excluded.count::float8 / (t.count + excluded.count), 1 - (1 - p.latest) ^ excluded.count) AS weight,
                     greatest(least(excluded.mean - t.mean, p.most), -p.most) AS news
              FROM (SELECT CASE WHEN t.part LIKE 'miss%' THEN 0.03::float8 ELSE 0.2 END AS latest,
                           CASE WHEN t.part LIKE 'miss%' THEN 64::float8 ELSE 1.5 END AS most) p) w
    );

-- TimingsSince reads what was learned after a time, newest first.
-- name: TimingsSince :many
SELECT scope, node, part, cold, mean, variance, count, updated_at FROM timings
WHERE updated_at > @since ORDER BY updated_at DESC LIMIT @count;

-- TimingsPrune forgets what has not come up for longest, beyond what is kept.
-- name: TimingsPrune :exec
DELETE FROM timings WHERE updated_at < coalesce(
    (SELECT updated_at FROM timings ORDER BY updated_at DESC OFFSET @keep::integer LIMIT 1), '-infinity');
