-- SettingList reads what is set for the installation; what was never set has no row.
-- name: SettingList :many
SELECT name, value FROM settings;

-- SettingSet stores one; the same value again rings nothing.
-- name: SettingSet :exec
INSERT INTO settings (name, value) VALUES (@name, @value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = now()
WHERE settings.value IS DISTINCT FROM excluded.value;
