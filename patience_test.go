package easel

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestPatience(t *testing.T) {
	away := &pgconn.PgError{Code: "57P01", Message: "terminating connection"}
	wrong := errors.New("no such role")
	for name, test := range map[string]struct {
		answers []error // of one try after another; the last one stays
		tries   int
		want    error
		took    time.Duration
	}{
		"there":            {[]error{nil}, 1, nil, 0},
		"away for long":    {[]error{away, away, nil}, 3, nil, 2 * databaseAgain},
		"wrong":            {[]error{wrong}, 1, wrong, 0},
		"away, then wrong": {[]error{away, wrong}, 2, wrong, databaseAgain},
		"away for ever":    {[]error{away}, 1 + int(databasePatience/databaseAgain), away, databasePatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, tries := time.Now(), 0
				err := newPatience(slog.New(slog.DiscardHandler)).try(t.Context(), func(context.Context) error {
					tries++
					return test.answers[min(tries, len(test.answers))-1]
				})
				if !errors.Is(err, test.want) || tries != test.tries || time.Since(begin) != test.took {
					t.Errorf("%v after %d tries and %v, want %v after %d and %v", err, tries, time.Since(begin), test.want, test.tries, test.took)
				}
			})
		})
	}
}
