package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// partitionsAhead is for how many months to come partitions are made: more than
// the 398 days that a public TLS certificate lives.
const partitionsAhead = 15

// dropStep is how many rows one transaction drops: so few that the requests that wait
// for it meanwhile are not noticeably slower.
const dropStep = 250

// monthOf returns the first instant of the month that is n months after t's.
func monthOf(t time.Time, n int) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
}

// partitionFormat names the partition of the bytes that expire in the month.
const partitionFormat = "certificate_der_2006_01"

// EnsurePartitions makes the partitions of certificate bytes that expire in this
// month and the 15 to come; it is called at start and daily. A month whose bytes
// are already in the default partition stays there, where [DB.DropExpired] drops
// them row by row. On SQLite there is nothing to do.
func (db *DB) EnsurePartitions(ctx context.Context) error {
	if db.engine != enginePostgres {
		return nil
	}
	existing, err := db.partitions(ctx)
	if err != nil {
		return err
	}
	for n := range partitionsAhead + 1 {
		month := monthOf(db.clock.Now(), n)
		if _, ok := existing[month]; ok {
			continue
		}
		if err := db.makePartition(ctx, month); err != nil {
			return fmt.Errorf("make partition of %s: %w", month.Format("2006-01"), err)
		}
	}
	return nil
}

// makePartition makes the partition of a month, unless the default one holds
// bytes that would belong to it.
func (db *DB) makePartition(ctx context.Context, month time.Time) error {
	from, to := month.UnixMilli(), monthOf(month, 1).UnixMilli()
	err := db.update(ctx, func(t *txn) error {
		var taken bool
		err := t.conn.QueryRowContext(ctx,
			"SELECT EXISTS (SELECT 1 FROM certificate_der_rest WHERE not_after >= $1 AND not_after < $2)", from, to).Scan(&taken)
		if err != nil || taken {
			return err
		}
		// The statement locks the default partition. Issuance waits for that lock
		// behind us, so we do not wait long for it ourselves.
		if _, err := t.conn.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		_, err = t.conn.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF certificate_der FOR VALUES FROM (%d) TO (%d)",
			month.Format(partitionFormat), from, to))
		return err
	})
	if code, ok := postgresCode(err); ok && code == "23514" { // bytes came between the look and the lock
		return nil
	}
	return err
}

// partitions returns the names of the monthly partitions by month.
func (db *DB) partitions(ctx context.Context) (map[time.Time]string, error) {
	rows, err := db.read.QueryContext(ctx,
		"SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'certificate_der'::regclass")
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read partitions: %w", err))
	}
	defer rows.Close()
	out := map[time.Time]string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read partitions: %w", err)
		}
		if month, err := time.Parse(partitionFormat, name); err == nil { // or it is the default one
			out[month] = name
		}
	}
	if err := rows.Err(); err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read partitions: %w", err))
	}
	return out, nil
}

// An ExpiredCertificate is what is kept of a certificate, as it is handed to an archive
// before it is dropped.
type ExpiredCertificate struct {
	Certificate telamon.Certificate // without SPKIHash, Status, CRLShard
	Blob        Blob
}

// A Dropping says which expired rows to drop.
type Dropping struct {
	Before time.Time // those that expired before it
	Limit  int64     // at most about so many; 0 is no limit
	// Archive keeps certificates elsewhere, durably. It is called in the transaction
	// that drops them, which fails with it; if that fails later, Archive is called
	// again with the same ones. nil keeps nothing.
	Archive func([]ExpiredCertificate) error
	// Pace is called after each transaction with what it took; nil does not wait.
	Pace func(ctx context.Context, took time.Duration) error
}

// step does one transaction after the other until one drops fewer than it may.
func (d *Dropping) step(ctx context.Context, dropped *int64, do func() (int64, error)) error {
	for d.Limit == 0 || *dropped < d.Limit {
		start := time.Now()
		n, err := do()
		if err != nil {
			return err
		}
		if *dropped += n; n < dropStep {
			return nil
		}
		if d.Pace != nil {
			if err := d.Pace(ctx, time.Since(start)); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropExpired drops the certificates that expired before the bound, in
// transactions of a bounded size: first their entries and counts, with an audit
// event for each transaction, then their bytes, by whole months where they are
// partitioned. All-time counters stay. It returns how many it dropped, and can be
// called again after it was cut short.
func (db *DB) DropExpired(ctx context.Context, d Dropping) (dropped int64, err error) {
	if d.Before.After(db.clock.Now()) {
		return 0, fmt.Errorf("drop expired certificates: %s is not over", d.Before)
	}
	pairs, err := db.queries().PairIDs(ctx)
	if err != nil {
		return 0, db.judge(ctx, fmt.Errorf("read pairs: %w", err))
	}
	for _, pair := range pairs {
		err := d.step(ctx, &dropped, func() (n int64, err error) {
			err = db.update(ctx, func(t *txn) (err error) {
				n, err = t.dropExpired(ctx, telamon.PairID(pair), &d)
				return err
			})
			return n, err
		})
		if err != nil {
			return dropped, fmt.Errorf("drop expired certificates of pair %d: %w", pair, err)
		}
	}
	if d.Limit > 0 && dropped >= d.Limit {
		return dropped, nil // there may be more
	}
	if err := db.dropPrecertificates(ctx, d.Before); err != nil {
		return dropped, err
	}
	return dropped, db.dropPartitions(ctx, d.Before)
}

// dropExpired drops up to dropStep certificates of the pair and returns how many.
func (t *txn) dropExpired(ctx context.Context, pair telamon.PairID, d *Dropping) (int64, error) {
	rows, err := t.DropCertificates(ctx, queries.DropCertificatesParams{PairID: int64(pair), Before: d.Before.UnixMilli(), Lim: dropStep})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	if d.Archive != nil {
		expired := make([]ExpiredCertificate, len(rows))
		for i, r := range rows {
			if expired[i], err = t.expired(ctx, r); err != nil {
				return 0, err
			}
		}
		if err := d.Archive(expired); err != nil {
			return 0, fmt.Errorf("archive: %w", err)
		}
	}
	dropDER := "DELETE FROM certificate_der WHERE serial = $1 AND not_after = $2"
	if t.postgres != nil { // the other partitions are dropped whole
		dropDER = "DELETE FROM certificate_der_rest WHERE serial = $1 AND not_after = $2"
	}
	var sums counts
	for _, r := range rows {
		if err := t.dropTerms(ctx, r); err != nil {
			return 0, err
		}
		if _, err := t.conn.ExecContext(ctx, dropDER, r.Serial, r.NotAfter); err != nil {
			return 0, fmt.Errorf("drop bytes: %w", err)
		}
		if _, err := t.conn.ExecContext(ctx, "DELETE FROM certificate_evidence WHERE serial = $1", r.Serial); err != nil {
			return 0, fmt.Errorf("drop evidence: %w", err)
		}
		sums.add(
			count{pair, countIssued, floorDiv(r.AcceptedAt, 1000), 1},
			count{pair, countExpiring, floorDiv(r.NotAfter, 1000), 1},
		)
		if r.RevokedAt != nil {
			sums.add(count{pair, countRevoked, floorDiv(*r.RevokedAt, 1000), 1})
		}
	}
	if err := sums.subtract(ctx, t); err != nil {
		return 0, err
	}
	n := int64(len(rows))
	return n, t.audit(ctx, telamon.Event{
		Actor: telamon.Actor{Kind: telamon.ActorSystem}, Action: "certificate.drop", Object: fmt.Sprint(pair), Result: "ok",
		After: map[string]any{"certificates": n, "expired_before": d.Before, "archived": d.Archive != nil},
	})
}

// dropTerms drops what a certificate is found by, and who requested it.
func (t *txn) dropTerms(ctx context.Context, r queries.DropCertificatesRow) error {
	cert := telamon.Certificate{Credential: telamon.CredentialID(r.CredentialID), SPKIHash: [32]byte(r.SpkiHash)}
	if len(r.RekeyOf) == len(cert.Serial) {
		old := telamon.Serial(r.RekeyOf)
		cert.RekeyOf = &old
	}
	blob, err := t.CertificateDER(ctx, queries.CertificateDERParams{Serial: r.Serial, NotAfter: r.NotAfter})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read bytes: %w", err)
	}
	for _, term := range termsOf(&cert, &Blob{DER: blob.Der}) {
		err := t.DropTerm(ctx, queries.DropTermParams{PairID: r.PairID, Term: term, AcceptedAt: r.AcceptedAt, Serial: r.Serial})
		if err != nil {
			return fmt.Errorf("drop terms: %w", err)
		}
	}
	if err := t.DropRequester(ctx, r.Serial); err != nil {
		return fmt.Errorf("drop requester: %w", err)
	}
	return nil
}

// expired reads all that there is of a certificate whose entry was just dropped.
func (t *txn) expired(ctx context.Context, r queries.DropCertificatesRow) (ExpiredCertificate, error) {
	cert := telamon.Certificate{
		Serial: telamon.Serial(r.Serial), Pair: telamon.PairID(r.PairID), Credential: telamon.CredentialID(r.CredentialID),
		Issuer: telamon.IssuerID(r.IssuerID), PolicyVersion: r.PolicyVersion, NotBefore: timeOf(r.NotBefore), NotAfter: timeOf(r.NotAfter),
		AcceptedAt: timeOf(r.AcceptedAt),
	}
	if r.RevokedAt != nil && r.Reason != nil {
		cert.Revocation = &telamon.Revocation{
			At: timeOf(*r.RevokedAt), Reason: telamon.RevocationReason(*r.Reason), CompromisedAt: timeOrZero(r.CompromisedAt),
		}
	}
	if len(r.RekeyOf) == len(cert.Serial) {
		old := telamon.Serial(r.RekeyOf)
		cert.RekeyOf = &old
	}
	out := ExpiredCertificate{Certificate: cert}
	blob, err := t.CertificateDER(ctx, queries.CertificateDERParams{Serial: r.Serial, NotAfter: r.NotAfter})
	if err != nil {
		return out, fmt.Errorf("read bytes of %s: %w", cert.Serial, err)
	}
	out.Blob.DER, out.Blob.Request = blob.Der, blob.Request
	out.Blob.Evidence, err = t.CertificateEvidence(ctx, r.Serial)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return out, fmt.Errorf("read evidence of %s: %w", cert.Serial, err)
	}
	out.Blob.Requester, err = requesterOf(ctx, t.Queries, cert.Serial)
	return out, err
}

// DropExpiredClientCerts drops the client certificates that expired before the bound,
// with their links.
func (db *DB) DropExpiredClientCerts(ctx context.Context, d Dropping) (dropped int64, err error) {
	if d.Before.After(db.clock.Now()) {
		return 0, fmt.Errorf("drop expired client certificates: %s is not over", d.Before)
	}
	err = d.step(ctx, &dropped, func() (n int64, err error) {
		err = db.update(ctx, func(t *txn) error {
			rows, err := t.ExpiredClientCerts(ctx, queries.ExpiredClientCertsParams{Before: d.Before.UnixMilli(), Lim: dropStep})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if err := t.dropClientCert(ctx, r); err != nil {
					return fmt.Errorf("drop client certificate %s: %w", r.ID, err)
				}
			}
			n = int64(len(rows))
			return nil
		})
		return n, err
	})
	return dropped, err
}

func (t *txn) dropClientCert(ctx context.Context, r queries.ExpiredClientCertsRow) error {
	if err := t.UnlinkAllOfClientCert(ctx, r.ID); err != nil {
		return err
	}
	if _, err := t.DropDownload(ctx, r.ID); err != nil {
		return err
	}
	if err := t.DropClientCert(ctx, r.ID); err != nil {
		return err
	}
	if err := t.changed(ctx, ChangeClientCert, r.ID); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: telamon.Actor{Kind: telamon.ActorSystem}, Account: telamon.AccountID(r.AccountID), Action: "client_certificate.drop", Object: r.ID,
		Result: "ok", After: map[string]any{"serial": telamon.Serial(r.Serial).String(), "not_after": timeOf(r.NotAfter)},
	})
}

// OldestCertificate returns when the oldest certificate that is still in the ledger was
// issued, to the hour, and false if there is none.
func (db *DB) OldestCertificate(ctx context.Context) (time.Time, bool, error) {
	var oldest time.Time
	some := false
	for _, read := range []func(context.Context) ([][]byte, error){db.queries().OldestCertificate, db.queries().OldestClientCert} {
		rows, err := read(ctx)
		if err != nil {
			return oldest, false, db.judge(ctx, fmt.Errorf("read the oldest certificate: %w", err))
		}
		for _, row := range rows {
			if at := telamon.Serial(row).Hour(); !some || at.Before(oldest) {
				oldest, some = at, true
			}
		}
	}
	return oldest, some, nil
}

// PurgeEvents removes the audit events of before the bound, but for those that keep
// asks for by their action, with what accounts are shown of them. Their places and hashes
// stay, so that the log verifies. It returns how many it removed, and can be called again after it was cut short.
//
// The horizon of what may be missing is kept with the audit event that says so; see
// [DB.AuditHorizon].
func (db *DB) PurgeEvents(ctx context.Context, d Dropping, keep func(action string) bool) (purged int64, err error) {
	if d.Before.After(db.clock.Now()) {
		return 0, fmt.Errorf("purge audit events: %s is not over", d.Before)
	}
	end := audit.FirstID(d.Before)
	lag, err := db.AuditLag(ctx)
	if err != nil {
		return 0, err
	}
	if lag.Pending > 0 && lag.Oldest.Before(d.Before) {
		return 0, errors.New("purge audit events: some of them have no place in the log yet")
	}
	cursor := []byte{}
	rows, err := db.queries().AuditHorizon(ctx)
	if err != nil {
		return 0, db.judge(ctx, fmt.Errorf("read the audit log's horizon: %w", err))
	}
	if len(rows) > 0 {
		cursor = rows[0].Looked
	}
	err = d.step(ctx, &purged, func() (n int64, err error) {
		next := cursor
		err = db.update(ctx, func(t *txn) error {
			n, next, err = t.purgeEvents(ctx, cursor, end[:], d.Before, keep)
			return err
		})
		cursor = next
		return n, err
	})
	return purged, err
}

// purgeEvents removes up to dropStep events after the cursor and returns how many, and
// where it stopped.
func (t *txn) purgeEvents(ctx context.Context, cursor, end []byte, before time.Time, keep func(string) bool) (n int64, next []byte, err error) {
	next = cursor
	for n < dropStep {
		rows, err := t.EventsAfter(ctx, queries.EventsAfterParams{ID: next, Before: end, Lim: dropStep})
		if err != nil {
			return 0, cursor, fmt.Errorf("read events: %w", err)
		}
		for _, row := range rows {
			next = row.ID
			event, err := audit.Decode(row.Payload)
			if err == nil && keep(event.Action) {
				continue
			}
			if err != nil || IsActivity(event.Action) {
				if err := t.PurgeActivity(ctx, queries.PurgeActivityParams{AccountID: row.AccountID, At: row.At, ID: row.ID}); err != nil {
					return 0, cursor, fmt.Errorf("purge activity: %w", err)
				}
			}
			if _, err := t.conn.ExecContext(ctx, "DELETE FROM audit_event WHERE id = $1", row.ID); err != nil {
				return 0, cursor, fmt.Errorf("purge event: %w", err)
			}
			if n++; n == dropStep {
				break
			}
		}
		if len(rows) < dropStep {
			break
		}
	}
	if n == 0 {
		return 0, next, nil
	}
	event := telamon.Event{
		ID: telamon.NewEventID(), Actor: telamon.Actor{Kind: telamon.ActorSystem}, Action: purgeAction, Object: "audit", Result: "ok",
		After: purgedFacts{before.UTC(), n},
	}
	if err := t.record(ctx, eventTable, event); err != nil {
		return 0, cursor, err
	}
	id, _ := event.ID.Bytes()
	return n, next, t.SetAuditHorizon(ctx, queries.SetAuditHorizonParams{Before: before.UnixMilli(), EventID: id[:], Looked: next})
}

// purgeAction is what the audit event of a purge says.
const purgeAction = "audit.purge"

// purgedFacts is what it says of it.
type purgedFacts struct {
	Before time.Time `json:"before"`
	Events int64     `json:"events"`
}

// AuditHorizon returns the end of the time whose events may be missing, zero if none
// may be. It believes only an event of the log that says so and has its place there.
func (db *DB) AuditHorizon(ctx context.Context) (time.Time, error) {
	rows, err := db.queries().AuditHorizon(ctx)
	if err != nil || len(rows) == 0 {
		return time.Time{}, db.judge(ctx, err)
	}
	id, err := eventID(rows[0].EventID)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the audit log's horizon: %w", err)
	}
	proof, err := db.AuditProof(ctx, "", telamon.EventIDFromBytes(id))
	if err != nil {
		return time.Time{}, fmt.Errorf("read the audit log's horizon: %w", err)
	}
	if err := audit.CheckInclusion(proof.Proof, proof.Tree, proof.Seq, audit.LeafHash(proof.Payload)); err != nil {
		return time.Time{}, fmt.Errorf("read the audit log's horizon: %w", err)
	}
	event, err := audit.Decode(proof.Payload)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the audit log's horizon: %w", err)
	}
	var facts purgedFacts
	if err := json.Unmarshal(event.After, &facts); err != nil || event.Action != purgeAction {
		return time.Time{}, fmt.Errorf("read the audit log's horizon: event %s is about something else", event.ID)
	}
	return facts.Before, nil
}

// DropRecords drops verifications of before the bound, and mails and approvals that
// ended before it. The caller knows that no certificate relies on those verifications
// any more.
func (db *DB) DropRecords(ctx context.Context, d Dropping) (dropped int64, err error) {
	if d.Before.After(db.clock.Now()) {
		return 0, fmt.Errorf("drop records: %s is not over", d.Before)
	}
	for _, drop := range []func(context.Context, *txn, int64) (int64, error){dropVerifications, dropApprovals, dropMails} {
		err := d.step(ctx, &dropped, func() (n int64, err error) {
			err = db.update(ctx, func(t *txn) error {
				n, err = drop(ctx, t, d.Before.UnixMilli())
				return err
			})
			return n, err
		})
		if err != nil {
			return dropped, fmt.Errorf("drop records: %w", err)
		}
	}
	return dropped, nil
}

// Their IDs begin with the time: the oldest rows are read and dropped as far as they
// are old enough, whatever the size of the table.

func dropVerifications(ctx context.Context, t *txn, before int64) (n int64, err error) {
	rows, err := t.OldestVerifications(ctx, dropStep)
	for _, r := range rows {
		if r.At >= before {
			break
		}
		if err := t.DropVerification(ctx, r.ID); err != nil {
			return 0, err
		}
		n++
	}
	return n, err
}

func dropApprovals(ctx context.Context, t *txn, before int64) (n int64, err error) {
	rows, err := t.OldestApprovals(ctx, dropStep)
	for _, r := range rows {
		if r.ExpiresAt >= before {
			break
		}
		if err := t.DropApproval(ctx, r.ID); err != nil {
			return 0, err
		}
		n++
	}
	return n, err
}

func dropMails(ctx context.Context, t *txn, before int64) (n int64, err error) {
	rows, err := t.OldestMails(ctx, dropStep)
	for _, r := range rows {
		if r.CreatedAt >= before {
			break
		}
		gone, err := t.DropMail(ctx, r.ID)
		if err != nil {
			return 0, err
		}
		if gone == 0 {
			break // it still waits
		}
		n++
	}
	return n, err
}

// dropPartitions drops the months that ended before the bound.
func (db *DB) dropPartitions(ctx context.Context, before time.Time) error {
	if db.engine != enginePostgres {
		return nil
	}
	existing, err := db.partitions(ctx)
	if err != nil {
		return err
	}
	for month, name := range existing {
		if monthOf(month, 1).After(before) {
			continue
		}
		err := db.update(ctx, func(t *txn) error {
			if _, err := t.conn.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil { // see makePartition
				return err
			}
			_, err := t.conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+name)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop partition %s: %w", name, err)
		}
	}
	return nil
}
