package db

// For the tests, which cannot be in this package: dbtest imports it.
var (
	MigrateFS    = migrate
	MajorVersion = majorVersion
)
