package easel

import (
	"context"
	"log/slog"
	"time"

	"easel/db"
)

const (
	// databasePatience is how long a start waits for a database that does not answer: it may be
	// starting beside us, or be away for a moment. A wrong address is told by the log meanwhile.
	databasePatience = time.Minute
	databaseAgain    = 500 * time.Millisecond
)

// patience does the steps of a start that need the database, again while it is away, for
// databasePatience in all.
type patience struct {
	logger *slog.Logger
	until  time.Time
}

func newPatience(logger *slog.Logger) *patience {
	return &patience{logger: logger, until: time.Now().Add(databasePatience)}
}

// try returns what step returned last.
func (p *patience) try(ctx context.Context, step func(context.Context) error) error {
	for told := false; ; told = true {
		err := step(ctx)
		if !db.Unavailable(err) || time.Now().Add(databaseAgain).After(p.until) {
			return err
		}
		if !told {
			p.logger.WarnContext(ctx, "waiting for the database", "err", err, "at_most", time.Until(p.until).Round(time.Second))
		}
		select {
		case <-ctx.Done():
			return err // the database's word says more than the context's
		case <-time.After(databaseAgain):
		}
	}
}
