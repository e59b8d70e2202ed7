package backup

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// Evidence is what was published of an installation and is in sight.
type Evidence struct {
	Checkpoints []string // signed notes of the audit log
	CRLs        []string // files
	// Fetch returns a file with the newest CRL of a shard, "" if there is none where it is
	// published. It is called for the shards of which CRLs has none, and what it does not
	// find is a loss. Nil says that CRLs is all that is to be looked at.
	Fetch func(ctx context.Context, issuer telamon.IssuerID, shard int) (path string, err error)
}

// A checkpoint is exported, and verified.
type checkpoint struct {
	audit.Checkpoint
	note string
}

// openCheckpoints verifies checkpoints by the keystore's own key, and returns them by
// size.
func openCheckpoints(keys *keystore.Inspection, log string, notes []string) ([]checkpoint, error) {
	key, err := keys.VerifierKey(log)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint key: %w", err)
	}
	var out []checkpoint
	for _, text := range notes {
		c, err := audit.OpenCheckpoint(text, verifier)
		if err != nil {
			return nil, fmt.Errorf("a checkpoint is none of this installation: %w", err)
		}
		out = append(out, checkpoint{c, text})
	}
	slices.SortStableFunc(out, func(a, b checkpoint) int { return int(min(max(a.Tree.Size-b.Tree.Size, -1), 1)) })
	return out, nil
}

// isLost reports whether the log does not hold what the checkpoint is of, and no epoch
// says so.
func isLost(ctx context.Context, db *store.DB, c audit.Checkpoint) (bool, error) {
	holds, err := db.Continues(ctx, c)
	if err != nil || holds {
		return false, err
	}
	gaveUp, err := db.GaveUp(ctx, c)
	return !gaveUp, err
}

// An Admission says what a database lacks that was put back, and what is done about it.
type Admission struct {
	Tree        audit.Tree        `json:"-"`
	Events      int64             `json:"audit_events"` // that the log holds
	Losses      []string          `json:"losses"`       // what was published or signed and is not in the database
	Warnings    []string          `json:"warnings"`
	Unledgered  []telamon.Serial  `json:"unledgered"`  // signed by the keystore's keys, and not in the ledger
	Revocations int               `json:"revocations"` // that CRLs name, and that are brought back
	Unknown     int               `json:"unknown"`     // of those, the ones of certificates that are not in the ledger
	CRLs        []store.CRLNumber `json:"crls"`        // that were seen, with numbers above the database's

	lost   checkpoint // the largest that the log ends before; its time is that of the last such
	branch checkpoint // the largest that another log of no more events was of, likewise
	crls   []*published
}

// admission compares a database with its keystore and with the evidence. It changes
// nothing. It reports ErrForeign if database and keystore do not belong together.
func admission(ctx context.Context, db *store.DB, keys *keystore.Inspection, cfg *Config, evidence Evidence) (*Admission, error) {
	a := &Admission{}
	head, err := db.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	a.Tree, a.Events = head.Tree, head.Tree.Size
	issuers, _, err := db.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.matchKeys(issuers, keys, cfg.InSigner); err != nil {
		return nil, err
	}
	if err := a.matchKeyPairs(ctx, db, keys, cfg.InSigner); err != nil {
		return nil, err
	}
	checkpoints, err := openCheckpoints(keys, cfg.AuditLog, evidence.Checkpoints)
	if err != nil {
		return nil, err
	}
	if err := a.compareLog(ctx, db, checkpoints); err != nil {
		return nil, err
	}
	if err := a.compareJournals(ctx, db, issuers, keys); err != nil {
		return nil, err
	}
	return a, a.compareCRLs(ctx, db, issuers, keys, cfg.Clock.Now(), evidence)
}

// matchKeys compares the issuers with the keys that are to sign for them.
//
// Keys that a signer has in its custody are in a keystore of its own.
func (a *Admission) matchKeys(issuers []telamon.Issuer, keys *keystore.Inspection, inSigner bool) error {
	matched := 0
	for _, i := range issuers {
		k, ok := keys.Key(i.KeyName)
		switch {
		case !ok && i.Status != telamon.IssuerExpired && !inSigner:
			a.Warnings = append(a.Warnings, fmt.Sprintf("the keystore has no key %s, which issuer %s signs with", i.KeyName, i.ID))
		case !ok:
		case k.Err != nil:
			a.Warnings = append(a.Warnings, fmt.Sprintf("key %s cannot be read: %v", i.KeyName, k.Err))
		default:
			public, ok := k.Public.(interface{ Equal(crypto.PublicKey) bool })
			if !ok || !public.Equal(i.Certificate.PublicKey) {
				return fmt.Errorf("issuer %s and key %s do not belong together: %w", i.ID, i.KeyName, ErrForeign)
			}
			matched++
		}
	}
	if matched == 0 && !inSigner {
		return fmt.Errorf("the keystore has none of the database's keys: %w", ErrForeign)
	}
	return nil
}

// matchKeyPairs tells which key pairs will not sign, as their keys are not there.
func (a *Admission) matchKeyPairs(ctx context.Context, db *store.DB, keys *keystore.Inspection, inSigner bool) error {
	pairs, err := db.KeyPairKeys(ctx)
	if err != nil || inSigner {
		return err
	}
	for _, p := range pairs {
		if _, ok := keys.Key(p.Name); !ok && !p.Ended() {
			a.Warnings = append(a.Warnings, fmt.Sprintf("the keystore has no key %s, which key pair %s signs with", p.Name, p.ID))
		}
	}
	return nil
}

// compareLog finds what exported checkpoints are of and the log does not hold.
func (a *Admission) compareLog(ctx context.Context, db *store.DB, checkpoints []checkpoint) error {
	for _, c := range checkpoints { // the largest last
		lost, err := isLost(ctx, db, c.Checkpoint)
		if err != nil {
			return err
		}
		if !lost {
			continue
		}
		of := &a.lost
		text := fmt.Sprintf("the audit log has %d events, and a checkpoint of %s is over %d: %d events are lost",
			a.Tree.Size, c.At.Format(time.RFC3339), c.Tree.Size, c.Tree.Size-a.Tree.Size)
		if c.Tree.Size <= a.Tree.Size {
			of = &a.branch
			text = fmt.Sprintf("the audit log is not the one that a checkpoint of %s over %d events is of", c.At.Format(time.RFC3339), c.Tree.Size)
		}
		if last := of.At; last.After(c.At) {
			c.At = last
		}
		*of = c
		a.Losses = append(a.Losses, text)
	}
	return nil
}

// inFlight is for how long a certificate may have been signed before the event of its
// issuance was written.
const inFlight = time.Minute

// compareJournals finds the certificates that keys have signed since the newest event
// and that the ledger does not know. Some may have been refused after their signature.
func (a *Admission) compareJournals(ctx context.Context, db *store.DB, issuers []telamon.Issuer, keys *keystore.Inspection) error {
	issued := map[telamon.Serial]bool{}
	for _, i := range issuers {
		if serial, ok := telamon.SerialFromInt(i.Certificate.SerialNumber); ok {
			issued[serial] = true
		}
	}
	page, err := db.AuditEvents(ctx, store.AuditFilter{Newest: true, Limit: 1})
	if err != nil {
		return err
	}
	var since time.Time
	if len(page.Events) > 0 {
		since = page.Events[0].At.Add(-inFlight)
	}
	for _, k := range keys.Keys {
		if !k.Last.After(since) || k.Purpose.Role == telamon.RoleResponder || k.Purpose.Role == telamon.RoleKeyPair {
			continue // it has signed nothing since
		}
		err := keys.ReadJournal(k.Name, func(r keystore.Record) error {
			if !r.At.After(since) || !r.OfCertificate() || issued[r.Serial] {
				return nil
			}
			known, err := db.KnowsSerial(ctx, r.Serial)
			if err == nil && !known {
				a.Unledgered = append(a.Unledgered, r.Serial)
			}
			return err
		})
		if err != nil {
			a.Warnings = append(a.Warnings, err.Error())
		}
	}
	if n := len(a.Unledgered); n > 0 {
		a.Losses = append(a.Losses, fmt.Sprintf("%d certificates were signed since and are not in the ledger, the first one %s", n, a.Unledgered[0]))
	}
	return nil
}

// admit carries the admission out: revocations and CRL numbers first, the epoch last.
// It may be called again after it was cut short.
func (a *Admission) admit(ctx context.Context, db *store.DB, actor telamon.Actor, details map[string]any) error {
	if err := a.reapply(ctx, db, actor); err != nil {
		return err
	}
	details["audit_log"] = LogState{Size: a.Tree.Size, Root: base64Of(a.Tree.Root[:])}
	details["losses"], details["crls"], details["revocations"], details["unknown"] = a.Losses, a.CRLs, a.Revocations, a.Unknown
	if a.branch.note == "" {
		return a.openEpoch(ctx, db, actor, a.lost, details)
	}
	err := a.openEpoch(ctx, db, actor, a.branch, details)
	if err == nil && a.lost.note != "" { // an epoch gives up one log alone
		err = a.openEpoch(ctx, db, actor, a.lost, details)
	}
	return err
}

// openEpoch opens an epoch that gives up what the checkpoint is of, if it is of anything.
func (a *Admission) openEpoch(ctx context.Context, db *store.DB, actor telamon.Actor, lost checkpoint, details map[string]any) error {
	if lost.note != "" {
		details["lost_audit_log"] = LogState{Size: lost.Tree.Size, Root: base64Of(lost.Tree.Root[:]), Checkpoint: lost.note}
	}
	return db.OpenEpoch(ctx, actor, &store.Epoch{Tree: a.Tree, Lost: lost.Checkpoint, LostNote: lost.note}, details)
}
