package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// JobBulkRevocation counts or revokes what a bulk revocation selects; the key is its ID.
const JobBulkRevocation = "certificate.bulk"

// CreateBulk writes a bulk revocation that is to be counted, with its job and the audit
// event, and sets State, AsOf and CreatedAt.
func (db *DB) CreateBulk(ctx context.Context, actor telamon.Actor, b *telamon.BulkRevocation) error {
	filter, err := json.Marshal(&b.Filter)
	if err != nil {
		return fmt.Errorf("encode the filter of %s: %w", b.ID, err)
	}
	return db.update(ctx, func(t *txn) error {
		b.State, b.AsOf, b.CreatedAt = telamon.BulkCounting, timeOf(t.millis()), timeOf(t.millis())
		err := t.InsertBulk(ctx, queries.InsertBulkParams{
			ID: b.ID.String(), Filter: string(filter), Reason: string(b.Reason), CompromisedAt: millisOrNil(b.CompromisedAt), AsOf: t.millis(),
			Cursor: cursorOf(telamon.Serial{}), RequestedBy: b.RequestedBy, CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert bulk revocation %s: %w", b.ID, err)
		}
		if err := t.putJob(ctx, Job{Kind: JobBulkRevocation, Key: b.ID.String(), RunAt: t.now}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: b.Filter.Account, Action: "bulk.plan", Object: b.ID.String(), Result: "ok",
			After: map[string]any{"filter": b.Filter, "reason": b.Reason},
		})
	})
}

// cursorOf returns a cursor as it is stored: nothing at the start.
func cursorOf(s telamon.Serial) []byte {
	if s == (telamon.Serial{}) {
		return []byte{}
	}
	return s[:]
}

func bulkOf(r queries.BulkRevocation) (telamon.BulkRevocation, error) {
	b := telamon.BulkRevocation{
		ID: telamon.BulkID(r.ID), Reason: telamon.RevocationReason(r.Reason), State: telamon.BulkState(r.State), AsOf: timeOf(r.AsOf),
		Examined: r.Examined, Matched: r.Matched, Revoked: r.Revoked, RequestedBy: r.RequestedBy, CreatedAt: timeOf(r.CreatedAt),
		CompromisedAt: optional(r.CompromisedAt), StartedAt: optional(r.StartedAt), FinishedAt: optional(r.FinishedAt),
	}
	copy(b.Cursor[:], r.Cursor)
	if err := json.Unmarshal([]byte(r.Filter), &b.Filter); err != nil {
		return b, fmt.Errorf("decode the filter of %s: %w", r.ID, err)
	}
	if err := json.Unmarshal([]byte(r.Sample), &b.Sample); err != nil {
		return b, fmt.Errorf("decode the sample of %s: %w", r.ID, err)
	}
	return b, nil
}

// optional returns the zero time for nil.
func optional(millis *int64) time.Time {
	if millis == nil {
		return time.Time{}
	}
	return timeOf(*millis)
}

// Bulk returns a bulk revocation. It reports NotFound.
func (db *DB) Bulk(ctx context.Context, id telamon.BulkID) (telamon.BulkRevocation, error) {
	row, err := db.queries().Bulk(ctx, id.String())
	if err != nil {
		return telamon.BulkRevocation{}, db.judge(ctx, found(err, "revocation_not_found", "bulk revocation"))
	}
	return bulkOf(row)
}

// Bulks lists bulk revocations.
func (db *DB) Bulks(ctx context.Context, page Page) ([]telamon.BulkRevocation, error) {
	rows, err := db.queries().Bulks(ctx, queries.BulksParams{After: page.After, Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list bulk revocations: %w", err))
	}
	return mappedOrError(rows, bulkOf)
}

// BeginBulk lets a planned bulk revocation revoke, with its job and the audit event. It
// reports NotFound, and Conflict with wrong_state.
func (db *DB) BeginBulk(ctx context.Context, actor telamon.Actor, id telamon.BulkID) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.Bulk(ctx, id.String())
		if err != nil {
			return found(err, "revocation_not_found", "bulk revocation")
		}
		now := t.millis()
		err = mustChange(t.MoveBulk(ctx, queries.MoveBulkParams{
			ID: id.String(), FromState: string(telamon.BulkPlanned), ToState: string(telamon.BulkRevoking),
			Cursor: cursorOf(telamon.Serial{}), Restart: true, StartedAt: &now,
		}))
		if isFault(err) {
			return fault.New(fault.Conflict, "wrong_state", "The bulk revocation is "+row.State+"; only a planned one can begin.")
		}
		if err != nil {
			return fmt.Errorf("begin bulk revocation %s: %w", id, err)
		}
		if err := t.putJob(ctx, Job{Kind: JobBulkRevocation, Key: id.String(), RunAt: t.now}); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Action: "bulk.execute", Object: id.String(), Result: "ok", After: map[string]any{"matched": row.Matched},
		})
	})
}

// A Found is a certificate that a bulk revocation selects.
type Found struct {
	Serial     telamon.Serial
	Pair       telamon.PairID
	Account    telamon.AccountID
	Issuer     telamon.IssuerID
	CRLShard   int
	SPKIHash   [32]byte
	NotAfter   time.Time
	AcceptedAt time.Time
}

// A Step is what was read of the certificates from the cursor of a bulk revocation on.
type Step struct {
	Found    []Found // in the order of their serial numbers
	Next     telamon.Serial
	Examined int64
	Done     bool // nothing is left behind Next
}

// ScanBulk reads up to n certificates from the cursor of a bulk revocation on, and
// returns those that are neither revoked nor expired and meet its filter, but for the
// filter's domain, which is in the bytes of the certificates.
func (db *DB) ScanBulk(ctx context.Context, b *telamon.BulkRevocation, n int) (*Step, error) {
	after, past, from, until := scanBounds(b)
	q, step := db.queries(), &Step{}
	ends, err := q.ScanEnd(ctx, queries.ScanEndParams{After: after, Past: past, Skip: int32(n - 1)})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("scan certificates: %w", err))
	}
	last := past
	if len(ends) > 0 {
		last, step.Examined = ends[0], int64(n)
	} else {
		step.Done = true
		if step.Examined, err = q.ScanCount(ctx, queries.ScanCountParams{After: after, Past: past}); err != nil {
			return nil, db.judge(ctx, fmt.Errorf("scan certificates: %w", err))
		}
	}
	copy(step.Next[:], last)
	hash, byKey := b.Filter.KeyHash()
	rows, err := q.ScanCertificates(ctx, queries.ScanCertificatesParams{
		After: after, Last: last, Now: db.clock.Now().UnixMilli(), FromAt: from, UntilAt: until, IssuerID: b.Filter.Issuer.String(),
		ByKey: byKey, SpkiHash: hash[:], AccountID: b.Filter.Account.String(), IdentityID: b.Filter.Identity.String(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("scan certificates: %w", err))
	}
	step.Found = mapped(rows, func(r queries.ScanCertificatesRow) Found {
		return Found{
			Serial: telamon.Serial(r.Serial), Pair: telamon.PairID(r.PairID), Account: telamon.AccountID(r.AccountID),
			Issuer: telamon.IssuerID(r.IssuerID), CRLShard: int(r.CrlShard), SPKIHash: [32]byte(r.SpkiHash), NotAfter: timeOf(r.NotAfter),
			AcceptedAt: timeOf(r.AcceptedAt),
		}
	})
	return step, nil
}

// bulkSettles is how long after a bulk revocation's end a certificate may still be written
// whose request was accepted before it: longer than a request may take by default, with
// its transaction.
const bulkSettles = 45 * time.Second

// LateBulk returns from where on, as a serial number, certificates may still appear that
// a bulk revocation selects, and when none does any more: the requests that were being
// worked on at its end. Until then a scan may have passed them.
func LateBulk(b *telamon.BulkRevocation) (from telamon.Serial, settled time.Time) {
	until := b.AsOf
	if b.Filter.Until != nil && b.Filter.Until.Before(until) {
		until = *b.Filter.Until
	}
	copy(from[:], firstSerial(max(0, floorDiv(until.UnixMilli(), 3_600_000)-1)))
	return from, until.Add(bulkSettles)
}

// scanBounds returns where a scan goes on and ends, exclusively, as serial numbers, and
// the times between which a certificate was accepted, inclusively. A serial number holds
// the hour in which it was signed: that in which the request was accepted, or the next.
func scanBounds(b *telamon.BulkRevocation) (after, past []byte, from, until int64) {
	until = b.AsOf.UnixMilli()
	if b.Filter.Until != nil {
		until = min(until, b.Filter.Until.UnixMilli())
	}
	first := int64(0)
	if b.Filter.From != nil {
		from = b.Filter.From.UnixMilli()
		first = max(0, floorDiv(from, 3_600_000)-1)
	}
	after, past = firstSerial(first), firstSerial(min(floorDiv(until, 3_600_000)+2, math.MaxInt32))
	if b.Cursor != (telamon.Serial{}) {
		after = b.Cursor[:]
	}
	return after, past, from, until
}

// errBulkMoved is the fault of a step that begins where another one has been: somebody
// else goes on with the bulk revocation.
func errBulkMoved() error {
	return fault.New(fault.Conflict, "bulk_moved", "Another process goes on with this bulk revocation.")
}

// CountBulk writes what a step of a bulk revocation has counted; the last one plans it.
// It reports Conflict with bulk_moved unless b is as it was read.
func (db *DB) CountBulk(ctx context.Context, b *telamon.BulkRevocation, step *Step, sample []telamon.BulkSample) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.advanceBulk(ctx, b, step, int64(len(step.Found)), 0, sample); err != nil {
			return err
		}
		if !step.Done {
			return nil
		}
		return mustChange(t.MoveBulk(ctx, queries.MoveBulkParams{
			ID: b.ID.String(), FromState: string(telamon.BulkCounting), ToState: string(telamon.BulkPlanned), Cursor: cursorOf(telamon.Serial{}),
		}))
	})
}

func (t *txn) advanceBulk(ctx context.Context, b *telamon.BulkRevocation, step *Step, matched, revoked int64, sample []telamon.BulkSample) error {
	text, err := json.Marshal(sample)
	if err != nil {
		return fmt.Errorf("encode the sample of %s: %w", b.ID, err)
	}
	changed, err := t.AdvanceBulk(ctx, queries.AdvanceBulkParams{
		ID: b.ID.String(), State: string(b.State), Cursor: cursorOf(b.Cursor), Next: step.Next[:], Examined: step.Examined,
		Matched: matched, Revoked: revoked, Sample: string(text),
	})
	if err != nil {
		return fmt.Errorf("advance bulk revocation %s: %w", b.ID, err)
	}
	if changed != 1 {
		return errBulkMoved()
	}
	return nil
}

// RevokeBulk revokes what a step of a bulk revocation has found and writes, in the same
// transaction, marks of CRL shards, an audit event for each certificate, blocks of its keys if they are
// compromised, and how far it is; the last step ends it. So a step is done once, whoever
// does it again. It reports Conflict with bulk_moved unless b is as it was read.
func (db *DB) RevokeBulk(ctx context.Context, actor telamon.Actor, b *telamon.BulkRevocation, step *Step) error {
	var revoked []telamon.Serial
	err := db.update(ctx, func(t *txn) error {
		revoked = revoked[:0]
		var sums counts
		var events []any
		shards := map[shardKey]bool{}
		for i := range step.Found {
			f := &step.Found[i]
			done, err := t.revokeFound(ctx, b, f)
			if err != nil {
				return err
			}
			if !done {
				continue
			}
			revoked = append(revoked, f.Serial)
			sums.add(count{f.Pair, countRevoked, t.now.Unix(), 1})
			shards[shardKey{f.Issuer.String(), int64(f.CRLShard)}] = true
			if events, err = appendBulkEvent(events, actor, t.now, b, f); err != nil {
				return err
			}
		}
		if err := t.insert(ctx, eventTable, events); err != nil {
			return err
		}
		if err := sums.write(ctx, t); err != nil {
			return err
		}
		if err := t.reviseShards(ctx, shards); err != nil {
			return err
		}
		if err := t.advanceBulk(ctx, b, step, 0, int64(len(revoked)), b.Sample); err != nil {
			return err
		}
		if !step.Done {
			return nil
		}
		return t.finishBulk(ctx, actor, b, step)
	})
	if err != nil {
		return err
	}
	for _, serial := range revoked {
		db.revoked(serial)
	}
	return nil
}

// revokeFound revokes one certificate, and reports whether nobody had.
func (t *txn) revokeFound(ctx context.Context, b *telamon.BulkRevocation, f *Found) (bool, error) {
	changed, err := t.RevokeFound(ctx, queries.RevokeFoundParams{
		Serial: f.Serial[:], Now: t.millis(), Reason: string(b.Reason), CompromisedAt: millisOrNil(b.CompromisedAt),
	})
	if err != nil {
		return false, fmt.Errorf("revoke certificate %s: %w", f.Serial, err)
	}
	if changed != 1 {
		return false, nil
	}
	if b.Reason == telamon.ReasonKeyCompromise {
		block := &telamon.KeyBlock{SPKIHash: f.SPKIHash, Source: telamon.BlockedByStaff, Serial: &f.Serial}
		if _, err := t.blockKey(ctx, block); err != nil {
			return false, err
		}
	}
	return true, nil
}

// appendBulkEvent appends the row of the audit event of one revoked certificate.
func appendBulkEvent(args []any, actor telamon.Actor, now time.Time, b *telamon.BulkRevocation, f *Found) ([]any, error) {
	event := telamon.Event{
		ID: telamon.NewEventID(), At: now, Actor: actor, Account: f.Account, Action: "certificate.revoke", Object: f.Serial.String(),
		Result: "ok", Before: map[string]any{"status": telamon.StatusIssued}, After: map[string]any{"reason": b.Reason, "bulk": b.ID},
	}
	payload, err := encodeEvent(event)
	if err != nil {
		return nil, err
	}
	return appendEvent(args, &event, payload)
}

func (t *txn) finishBulk(ctx context.Context, actor telamon.Actor, b *telamon.BulkRevocation, step *Step) error {
	now := t.millis()
	err := mustChange(t.MoveBulk(ctx, queries.MoveBulkParams{
		ID: b.ID.String(), FromState: string(telamon.BulkRevoking), ToState: string(telamon.BulkDone), Cursor: step.Next[:], FinishedAt: &now,
	}))
	if err != nil {
		return fmt.Errorf("finish bulk revocation %s: %w", b.ID, err)
	}
	row, err := t.Bulk(ctx, b.ID.String())
	if err != nil {
		return fmt.Errorf("read bulk revocation %s: %w", b.ID, err)
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Action: "bulk.finish", Object: b.ID.String(), Result: "ok", After: map[string]any{"revoked": row.Revoked},
	})
}

// CertificateOf returns a certificate of whatever account, and that account. It reports
// NotFound.
func (db *DB) CertificateOf(ctx context.Context, serial telamon.Serial) (*telamon.Certificate, telamon.AccountID, error) {
	kept, err := db.CertificateEvidence(ctx, serial)
	if err != nil {
		return nil, "", err
	}
	return &kept.Certificate, kept.Account, nil
}
