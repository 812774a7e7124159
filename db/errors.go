package db

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("not found")

// One passes on what a query for one row returned, with pgx.ErrNoRows turned into ErrNotFound:
//
//	row, err := db.One(queries.GenerationGet(ctx, id))
func One[Row any](row Row, err error) (Row, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return row, ErrNotFound
	}
	return row, err
}

// SQLSTATE codes, from appendix A of Postgres' manual.
const (
	codeUniqueViolation   = "23505"
	codeForeignViolation  = "23503"
	codeTooManyConns      = "53300"
	codeDiskFull          = "53100"
	codeReadOnly          = "25006" // a standby after a failover
	codeAdminShutdown     = "57P01"
	codeCrashShutdown     = "57P02"
	codeCannotConnectNow  = "57P03"
	codeDeadlock          = "40P01"
	codeSerialization     = "40001"
	codeLockTimeout       = "55P03"
	classConnectionFailed = "08"
	classData             = "22"
	classIntegrity        = "23"
)

// Duplicate reports whether err is a violation of the unique index or constraint of that name.
func Duplicate(err error, constraint string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == codeUniqueViolation && pgErr.ConstraintName == constraint
}

// Unreferred reports whether err is a violation of the foreign key of that name.
func Unreferred(err error, constraint string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == codeForeignViolation && pgErr.ConstraintName == constraint
}

// Refused reports whether err says that the database will never take what it was given, however
// often it is asked: a value that no column of its type holds, or one that a constraint forbids.
func Refused(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && len(pgErr.Code) == 5 && (pgErr.Code[:2] == classData || pgErr.Code[:2] == classIntegrity)
}

// Unavailable reports whether err says that the database cannot do this now, although nothing is
// wrong with what was asked: it is down, starting, full, out of connections, too slow for the
// caller's deadline, or others were in the way. A visitor gets 503 for it. A caller that went away (context.Canceled) is none.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pgErr.Code {
		case codeTooManyConns, codeDiskFull, codeReadOnly, codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow,
			codeDeadlock, codeSerialization, codeLockTimeout:
			return true
		}
		return len(pgErr.Code) == 5 && pgErr.Code[:2] == classConnectionFailed
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pgconn.ErrConnClosed) ||
		pgconn.SafeToRetry(err) || isCut(err)
}

// isCut reports whether the connection ended in the middle of an answer.
func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
