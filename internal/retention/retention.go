// Package retention lets go of what has been kept for long enough: certificates that
// expired, which it may archive first, and the audit events, verifications and mails
// that none of the remaining certificates needs. What may go is decided here, by the
// dated rules and the configuration; package store drops it.
//
// It never touches a certificate that has not expired, the keys of CAs or their events.
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

// Every is how often a keeper looks.
const Every = 10 * time.Minute

// turnLimit is how many rows of a kind a turn drops at most: 14 million a day.
const turnLimit = 100_000

// The lease of the process that drops. It lasts longer than a turn; a process that died
// in one is taken over when it has run out.
const (
	lease      = "retention"
	leaseLasts = time.Hour
)

// Config says what to keep for how long.
type Config struct {
	Store *store.DB
	Rules *rules.Table
	Clock telamon.Clock
	Log   *slog.Logger

	Certificates time.Duration // after their expiry; 0 keeps them for good
	Audit        time.Duration // events, verifications and mails; 0 keeps them for good
	Archive      *Archive      // of certificates; nil drops them
	// Pace is [store.Dropping.Pace]; nil is [Pace].
	Pace func(ctx context.Context, took time.Duration) error
}

// Keeper drops what is over. It is not safe for concurrent use; keepers of several
// processes are.
type Keeper struct{ cfg Config }

// New returns a keeper.
func New(cfg Config) *Keeper {
	if cfg.Pace == nil {
		cfg.Pace = Pace
	}
	return &Keeper{cfg}
}

// Check returns what is wrong with periods of retention: records of certificates and
// of events are kept for as long as the rules ask, or for good.
func Check(table *rules.Table, certificates, audit time.Duration) error {
	least := table.Retention()
	for _, period := range []struct {
		name string
		kept time.Duration
	}{{"certificates", certificates}, {"audit", audit}} {
		if period.kept != 0 && period.kept < least {
			return fmt.Errorf("%s must be 0, which is for good, or at least %s (BR 5.4.3 and 5.5.2)", period.name, least)
		}
	}
	return nil
}

// Pace waits four times as long as a transaction took, so that others have the database
// for most of the time.
func Pace(ctx context.Context, took time.Duration) error {
	timer := time.NewTimer(4 * took)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Turn drops what is over, up to a limit, if this process holds the lease. What it has
// dropped when it fails stays dropped.
func (k *Keeper) Turn(ctx context.Context) error {
	if k.cfg.Certificates == 0 && k.cfg.Audit == 0 {
		return nil
	}
	held, err := k.cfg.Store.TakeLease(ctx, lease, leaseLasts)
	if err != nil || !held {
		return err
	}
	return errors.Join(k.drop(ctx, k.cfg.Clock.Now()), k.cfg.Store.DropLease(ctx, lease))
}

func (k *Keeper) drop(ctx context.Context, now time.Time) error {
	if k.cfg.Certificates > 0 {
		if err := k.dropCertificates(ctx, now.Add(-k.cfg.Certificates)); err != nil {
			return err
		}
	}
	if k.cfg.Audit > 0 {
		return k.dropRecords(ctx, now.Add(-k.cfg.Audit))
	}
	return nil
}

func (k *Keeper) dropCertificates(ctx context.Context, before time.Time) error {
	d := store.Dropping{Before: before, Limit: turnLimit, Pace: k.cfg.Pace}
	clients, err := k.cfg.Store.DropExpiredClientCerts(ctx, d)
	if err != nil {
		return err
	}
	if k.cfg.Archive != nil {
		d.Archive = k.cfg.Archive.Write
	}
	dropped, err := k.cfg.Store.DropExpired(ctx, d)
	if dropped+clients > 0 {
		k.cfg.Log.InfoContext(ctx, "dropped expired certificates", "certificates", dropped, "client_certificates", clients, "expired_before", before)
	}
	return err
}

// dropRecords purges audit events and drops records of before the bound. If
// certificates are left that were issued before it, what is about their issuance stays,
// back to the oldest validation that they may rely on (BR 4.2.1, 5.5.2).
func (k *Keeper) dropRecords(ctx context.Context, before time.Time) error {
	oldest, some, err := k.cfg.Store.OldestCertificate(ctx)
	if err != nil {
		return err
	}
	if reach := oldest.Add(-k.cfg.Rules.LongestReuse()); some && reach.Before(before) {
		before = reach
	}
	d := store.Dropping{Before: before, Limit: turnLimit, Pace: k.cfg.Pace}
	purged, err := k.cfg.Store.PurgeEvents(ctx, d, ofKeys)
	if err != nil {
		return err
	}
	dropped, err := k.cfg.Store.DropRecords(ctx, d)
	if purged+dropped > 0 {
		k.cfg.Log.InfoContext(ctx, "purged records", "events", purged, "records", dropped, "before", before)
	}
	return err
}

// ofKeys reports whether an event is about a CA, its key or what that signed of status, who
// agreed to it, or about the log itself: those are kept for as long as the installation
// lasts, which is longer than two years after the destruction of the key (BR 5.4.1 (1)
// and 5.4.3).
func ofKeys(action string) bool {
	for _, object := range []string{"hierarchy.", "issuer.", "key.", "crl.", "ocsp_responder.", "proposal.", "audit.", "epoch."} {
		if strings.HasPrefix(action, object) {
			return true
		}
	}
	return false
}
