package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// The passes over certificates that may have no terms.
const (
	passAll  = 1
	passLate = 2 // those that release N-1 issued beside this one
	passDone = 3
)

const (
	// termStep is how many certificates one transaction reads for their terms.
	termStep = 250
	// latePass is how long after the first pass began the second one begins: until then
	// replicas are exchanged.
	latePass = 24 * time.Hour
)

// termLease is held by the process that makes terms.
const (
	termLease      = "certificate_terms"
	termLeaseLasts = 5 * time.Minute
)

// IndexTerms makes the terms of certificates that have none, which an earlier release
// issued, from where an earlier call stopped. It returns when there is nothing to do now,
// or when another process does it. Pace is called after each transaction with what it
// took; nil does not wait.
func (db *DB) IndexTerms(ctx context.Context, pace func(context.Context, time.Duration) error) error {
	at, err := db.termProgress(ctx)
	if err != nil || at != nil && !db.termsDue(at) {
		return err
	}
	for {
		held, err := db.TakeLease(ctx, termLease, termLeaseLasts)
		if err != nil || !held {
			return err
		}
		start := time.Now()
		more, err := db.indexSome(ctx)
		if err != nil || !more {
			return err
		}
		if pace != nil {
			if err := pace(ctx, time.Since(start)); err != nil {
				return err
			}
		}
	}
}

// TermsComplete reports whether every certificate has its terms, as far as this release
// and the one before have issued them.
func (db *DB) TermsComplete(ctx context.Context) (bool, error) {
	at, err := db.termProgress(ctx)
	return at != nil && at.Pass > passAll, err
}

func (db *DB) termProgress(ctx context.Context) (*queries.TermProgressRow, error) {
	rows, err := db.queries().TermProgress(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the progress of terms: %w", err))
	}
	for _, r := range rows {
		return &r, nil
	}
	return nil, nil
}

// termsDue reports whether there is something to do now.
func (db *DB) termsDue(at *queries.TermProgressRow) bool {
	switch at.Pass {
	case passAll:
		return true
	case passLate:
		return !db.clock.Now().Before(timeOf(at.BeganAt).Add(latePass))
	}
	return false
}

// indexSome makes the terms of some certificates, and reports whether there may be more.
func (db *DB) indexSome(ctx context.Context) (more bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		if err := t.BeginTerms(ctx, queries.BeginTermsParams{Cursor: []byte{}, BeganAt: t.millis()}); err != nil {
			return fmt.Errorf("begin terms: %w", err)
		}
		rows, err := t.TermProgress(ctx)
		if err != nil || len(rows) == 0 {
			return fmt.Errorf("read the progress of terms: %w", err)
		}
		at := rows[0]
		at.Cursor = append([]byte{}, at.Cursor...) // SQLite's driver reads nil, which equals nothing
		if more = db.termsDue(&at); !more {
			return nil
		}
		pass, next, err := t.indexFrom(ctx, &at)
		if err != nil {
			return err
		}
		changed, err := t.AdvanceTerms(ctx, queries.AdvanceTermsParams{Pass: at.Pass, Cursor: at.Cursor, ToPass: pass, Next: next})
		if err != nil {
			return fmt.Errorf("advance terms: %w", err)
		}
		more = changed == 1 && pass == at.Pass // otherwise somebody else goes on, or the pass is over
		return nil
	})
	return more, err
}

// indexFrom makes the terms of the certificates after the cursor that have none, and
// returns where to go on.
func (t *txn) indexFrom(ctx context.Context, at *queries.TermProgressRow) (pass int64, next []byte, err error) {
	end := telamon.FirstSerial(t.now.Add(2 * time.Hour))
	rows, err := t.CertificatesAfter(ctx, queries.CertificatesAfterParams{After: at.Cursor, Before: end[:], Lim: termStep})
	if err != nil {
		return 0, nil, fmt.Errorf("read certificates: %w", err)
	}
	var args []any
	for _, r := range rows {
		next = r.Serial
		cert := telamon.Certificate{
			Serial: telamon.Serial(r.Serial), Pair: telamon.PairID(r.PairID), Credential: telamon.CredentialID(r.CredentialID),
			SPKIHash: [32]byte(r.SpkiHash), AcceptedAt: timeOf(r.AcceptedAt),
		}
		if len(r.RekeyOf) == len(cert.Serial) {
			old := telamon.Serial(r.RekeyOf)
			cert.RekeyOf = &old
		}
		known, err := t.HasTerm(ctx, queries.HasTermParams{
			PairID: r.PairID, Term: termOf(termCredential, r.CredentialID), AcceptedAt: r.AcceptedAt, Serial: r.Serial,
		})
		if err != nil {
			return 0, nil, fmt.Errorf("look for terms of %s: %w", cert.Serial, err)
		}
		if known {
			continue
		}
		blob, err := t.CertificateDER(ctx, queries.CertificateDERParams{Serial: r.Serial, NotAfter: r.NotAfter})
		if err != nil {
			return 0, nil, fmt.Errorf("read bytes of %s: %w", cert.Serial, err)
		}
		args = appendTerms(args, &cert, termsOf(&cert, &Blob{DER: blob.Der}))
	}
	if err := t.insert(ctx, termOnceTable, args); err != nil {
		return 0, nil, err
	}
	switch {
	case len(rows) == termStep:
		return at.Pass, next, nil
	case at.Pass == passAll: // a serial number may be an hour older than its certificate
		first := telamon.FirstSerial(timeOf(at.BeganAt).Add(-2 * time.Hour))
		return passLate, first[:], nil
	}
	return passDone, []byte{}, nil
}
