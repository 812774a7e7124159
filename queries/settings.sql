-- SettingGet reads one setting of the installation.
-- name: SettingGet :one
SELECT value FROM settings WHERE name = @name;

-- SettingSet stores one; the same value again rings nothing.
-- name: SettingSet :exec
INSERT INTO settings (name, value) VALUES (@name, @value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = now()
WHERE settings.value IS DISTINCT FROM excluded.value;
