package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon/internal/store/queries"
)

const (
	// mailedLinkRetention is how long links are kept after their end, so that those of a
	// day can be counted.
	mailedLinkRetention = 24 * time.Hour
	// attemptRetention is how long failed attempts are kept. The lock of a user, which is
	// kept with the user, outlasts them.
	attemptRetention = 30 * 24 * time.Hour
)

// PurgeSignIn deletes registrations, links, sessions, flows and counts of attempts that
// have ended, in transactions of a bounded size.
func (db *DB) PurgeSignIn(ctx context.Context) error {
	for more := true; more; {
		err := db.update(ctx, func(t *txn) error {
			more = false
			now := t.millis()
			for _, drop := range []func() (int64, error){
				func() (int64, error) {
					return t.DropRegistrations(ctx, queries.DropRegistrationsParams{Before: now, Lim: purgeStep})
				},
				func() (int64, error) {
					return t.DropMailedLinks(ctx, queries.DropMailedLinksParams{Before: now - mailedLinkRetention.Milliseconds(), Lim: purgeStep})
				},
				func() (int64, error) {
					return t.DropSessions(ctx, queries.DropSessionsParams{Before: now, Lim: purgeStep})
				},
				func() (int64, error) {
					return t.DropOIDCFlows(ctx, queries.DropOIDCFlowsParams{Before: now, Lim: purgeStep})
				},
				func() (int64, error) {
					return t.DropAttempts(ctx, queries.DropAttemptsParams{Before: now - attemptRetention.Milliseconds(), Lim: purgeStep})
				},
			} {
				n, err := drop()
				if err != nil {
					return fmt.Errorf("purge what was for signing in: %w", err)
				}
				more = more || n == purgeStep
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
