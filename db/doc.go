// Package db is Easel's way to Postgres: the pool, the migrations, the errors that callers
// tell apart, and the queries that sqlc generates from the folder queries.
//
// It knows tables and nothing of ComfyUI. A transaction is pgx.BeginFunc with
// (*Queries).WithTx inside; the private Postgres of a machine without one is db/embedded, and
// a database for a test comes from db/dbtest.
package db
