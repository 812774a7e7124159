package studio

import (
	"context"
	"fmt"
)

// present gives a sign of life every Renew, and takes up the jobs of instances that have given none
// for as long as a lease lasts. An instance that was only cut off from the database may still be at
// such a job: every job may run twice, and at once.
func (s *Studio) present(ctx context.Context) error {
	for {
		if err := s.giveSign(ctx); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "could not give a sign of life", "err", err, "retry_in", s.timing.Renew)
		}
		if !sleep(ctx, s.timing.Renew) {
			return nil
		}
	}
}

func (s *Studio) giveSign(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timing.Renew)
	defer cancel()
	if err := s.leases.InstanceSeen(ctx, s.config.Instance); err != nil {
		return err
	}
	return s.takeUpJobs(ctx)
}

// takeUpJobs puts back the jobs of instances that are known and silent. A job names who works on it
// last of all who did. What another version of Easel works on, which gives no sign, is River's to rescue.
func (s *Studio) takeUpJobs(ctx context.Context) error {
	tag, err := s.pool.Exec(ctx, "UPDATE "+riverSchema+".river_job j SET state = 'available', scheduled_at = now() "+
		"FROM instances i WHERE j.state = 'running' AND i.id::text = j.attempted_by[cardinality(j.attempted_by)] "+
		"AND i.id <> $1 AND i.seen_at < now() - interval '1 second' * $2::float8",
		s.config.Instance, s.timing.Lease.Seconds())
	if err != nil {
		return fmt.Errorf("take up jobs: %w", err)
	}
	if n := tag.RowsAffected(); n > 0 {
		s.logger.InfoContext(ctx, "jobs of a dead instance taken up", "count", n)
	}
	return nil
}

// leavePresence says that this instance has ended and works on nothing any more.
func (s *Studio) leavePresence(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.leases.InstanceGone(ctx, s.config.Instance); err != nil {
		s.logger.DebugContext(ctx, "could not say goodbye", "err", err)
	}
}
