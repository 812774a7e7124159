-- PushSubscribe stores a browser, or renews what is known of it. It never takes back that all ends
-- are wanted: that is done by ending the subscription. No row: the user has most already.
-- name: PushSubscribe :one
INSERT INTO push_subscriptions (user_id, endpoint, public_key, auth, every_end)
SELECT @user_id, @endpoint, @public_key, @auth, @every_end
WHERE EXISTS (SELECT FROM push_subscriptions known WHERE known.endpoint = @endpoint)
   OR (SELECT count(*) FROM push_subscriptions mine WHERE mine.user_id = @user_id) < @most::int
ON CONFLICT (endpoint) DO UPDATE SET user_id = excluded.user_id, public_key = excluded.public_key,
    auth = excluded.auth, every_end = push_subscriptions.every_end OR excluded.every_end, renewed_at = now()
RETURNING id;

-- PushReplace gives a browser the endpoint that its push service has put in the place of another, with all that
-- it is to be told. If both are known, the old one is left to be answered as gone.
-- name: PushReplace :exec
UPDATE push_subscriptions s SET endpoint = @endpoint, public_key = @public_key, auth = @auth
WHERE s.endpoint = @replaces AND s.user_id = @user_id
  AND NOT EXISTS (SELECT FROM push_subscriptions known WHERE known.endpoint = @endpoint);

-- PushWish notes that a browser wants to hear of one generation. The lock makes an end wait, or be seen. No
-- row: it has ended, or it is not the user's.
-- name: PushWish :execrows
INSERT INTO push_wishes (generation_id, subscription_id)
SELECT g.id, s.id FROM generations g JOIN push_subscriptions s ON s.user_id = g.user_id
WHERE g.id = @generation_id AND s.id = @subscription_id AND g.finished_at IS NULL
FOR SHARE OF g
ON CONFLICT (generation_id, subscription_id) DO UPDATE SET subscription_id = excluded.subscription_id;

-- PushUnwish takes it back.
-- name: PushUnwish :exec
DELETE FROM push_wishes WHERE generation_id = @generation_id AND subscription_id = @subscription_id;

-- PushSubscription is what a browser has asked for: of wishes those that still wait.
-- name: PushSubscription :one
SELECT s.id, s.every_end,
       array(SELECT w.generation_id FROM push_wishes w JOIN generations g ON g.id = w.generation_id
             WHERE w.subscription_id = s.id AND g.finished_at IS NULL ORDER BY w.generation_id)::uuid[] AS generations
FROM push_subscriptions s WHERE s.id = @id;

-- PushUnsubscribe forgets a browser and all that it was to be told.
-- name: PushUnsubscribe :execrows
DELETE FROM push_subscriptions WHERE id = @id;

-- PushTest stores a message about nothing. No row: there is no such subscription.
-- name: PushTest :execrows
INSERT INTO push_messages (subscription_id)
SELECT s.id FROM push_subscriptions s WHERE s.id = @subscription_id FOR KEY SHARE OF s;

-- PushJobs notes the jobs of messages, in the order of their ids.
-- name: PushJobs :exec
UPDATE push_messages m SET job_id = given.job_id
FROM (SELECT unnest(@message_ids::uuid[]) AS id, unnest(@job_ids::bigint[]) AS job_id) AS given WHERE m.id = given.id;

-- PushForJob is what a try needs to know. No row: the message was told, or its subscription has ended.
-- name: PushForJob :one
SELECT m.id, m.generation_id, m.tries, extract(epoch FROM now() - m.created_at)::double precision AS age_seconds,
       s.id AS subscription_id, s.endpoint, s.public_key, s.auth
FROM push_messages m JOIN push_subscriptions s ON s.id = m.subscription_id WHERE m.id = @id;

-- PushTried keeps a message for another try.
-- name: PushTried :exec
UPDATE push_messages SET tries = tries + 1, next_try_at = now() + interval '1 second' * @pause_seconds::float8
WHERE id = @id;

-- PushDone ends a message that was told, or is given up.
-- name: PushDone :exec
DELETE FROM push_messages WHERE id = @id;

-- PushOverdue takes from messages the jobs that should have run long ago, as WebhookOverdue does.
-- name: PushOverdue :execrows
UPDATE push_messages SET job_id = NULL WHERE job_id IS NOT NULL AND next_try_at < now() - interval '10 minutes';

-- PushPrune forgets wishes that have come true, and browsers that want nothing and were not seen for long.
-- name: PushPrune :execrows
WITH told AS (
    DELETE FROM push_wishes w USING generations g WHERE g.id = w.generation_id AND g.finished_at < now() - interval '1 day'
)
DELETE FROM push_subscriptions s
WHERE NOT s.every_end AND s.renewed_at < now() - interval '30 days'
  AND NOT EXISTS (SELECT FROM push_wishes w WHERE w.subscription_id = s.id);
