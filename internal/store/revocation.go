package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

func sortedShards(keys map[shardKey]bool) []shardKey {
	return slices.SortedFunc(maps.Keys(keys), shardKey.compare)
}

// A RevokedEntry is a revoked certificate as a CRL needs it.
type RevokedEntry struct {
	Serial        telamon.Serial
	NotAfter      time.Time
	At            time.Time
	Reason        telamon.RevocationReason
	CompromisedAt time.Time // zero if not told
}

// The tables that hold revoked certificates, each read by its index over the shard.
var revokedQueries = []string{
	"SELECT serial, not_after, revoked_at, reason, compromised_at FROM certificate" +
		" WHERE issuer_id = $1 AND crl_shard = $2 AND revoked_at IS NOT NULL ORDER BY serial",
	"SELECT serial, not_after, revoked_at, reason, CAST(NULL AS BIGINT) FROM client_certificate" +
		" WHERE issuer_id = $1 AND crl_shard = $2 AND revoked_at IS NOT NULL ORDER BY serial",
	"SELECT serial, not_after, revoked_at, reason, CAST(NULL AS BIGINT) FROM key_pair" +
		" WHERE issuer_id = $1 AND crl_shard = $2 AND revoked_at IS NOT NULL ORDER BY serial",
	"SELECT serial, not_after, revoked_at, reason, compromised_at FROM ca_revocation" +
		" WHERE issuer_id = $1 AND crl_shard = $2 ORDER BY serial",
}

// RevokedOf calls yield with the revoked certificates of a CRL shard that expire at
// since or later, in the order of their serial numbers: those of subscribers, then the
// client certificates, then those of key pairs, then CAs. It holds none of them, and ends at yield's first
// error, which it returns.
func (db *DB) RevokedOf(ctx context.Context, issuer telamon.IssuerID, shard int, since time.Time, yield func(*RevokedEntry) error) error {
	var from int64
	if !since.IsZero() {
		from = since.UnixMilli()
	}
	for _, query := range revokedQueries {
		rows, err := db.reader.QueryContext(ctx, query, issuer.String(), int64(shard))
		if err != nil {
			return db.judge(ctx, fmt.Errorf("read what %s/%d revoked: %w", issuer, shard, err))
		}
		var refused error // yield's own, which says nothing of the database
		err = eachRevoked(rows, from, func(r *RevokedEntry) error {
			refused = yield(r)
			return refused
		})
		if refused != nil {
			return refused
		}
		if err != nil {
			return db.judge(ctx, err)
		}
	}
	return nil
}

// eachRevoked reads and closes the rows.
func eachRevoked(rows *sql.Rows, from int64, yield func(*RevokedEntry) error) (err error) {
	defer rows.Close()
	var serial, reason sql.RawBytes
	var notAfter, at int64
	var compromised sql.NullInt64
	var one RevokedEntry
	for rows.Next() {
		if err := rows.Scan(&serial, &notAfter, &at, &reason, &compromised); err != nil {
			return fmt.Errorf("read a revoked certificate: %w", err)
		}
		if notAfter < from {
			continue
		}
		if len(serial) != len(one.Serial) {
			return fmt.Errorf("a revoked certificate has the serial %x", serial)
		}
		one = RevokedEntry{NotAfter: timeOf(notAfter), At: timeOf(at), Reason: reasonOf(reason)}
		copy(one.Serial[:], serial)
		if compromised.Valid {
			one.CompromisedAt = timeOf(compromised.Int64)
		}
		if err := yield(&one); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read revoked certificates: %w", err)
	}
	return nil
}

// reasonOf returns the reason of this name, without a copy of the name.
func reasonOf(name []byte) telamon.RevocationReason {
	for _, r := range telamon.RevocationReasons {
		if string(r) == string(name) {
			return r
		}
	}
	if len(name) == 0 {
		return telamon.ReasonUnspecified
	}
	return telamon.RevocationReason(name)
}

// A RevokedCA is a certificate of a CA that its parent has revoked.
type RevokedCA struct {
	Parent   telamon.IssuerID // whose CRL names it
	Issuer   telamon.IssuerID // the CA itself, for the audit log
	Serial   telamon.Serial   // of the CA's certificate, or of a cross-certificate of it
	NotAfter time.Time
}

// RevokeCA has the parent's next CRL name a CA's certificate, and writes the audit
// event. rev.At is set by the store. It reports Conflict with already_revoked.
func (db *DB) RevokeCA(ctx context.Context, actor telamon.Actor, ca RevokedCA, rev telamon.Revocation) error {
	return db.update(ctx, func(t *txn) error { return t.revokeCA(ctx, actor, ca, rev) })
}

func (t *txn) revokeCA(ctx context.Context, actor telamon.Actor, ca RevokedCA, rev telamon.Revocation) error {
	added, err := t.InsertCARevocation(ctx, queries.InsertCARevocationParams{
		IssuerID: ca.Parent.String(), Serial: ca.Serial[:], CrlShard: 0, NotAfter: ca.NotAfter.UnixMilli(),
		RevokedAt: t.millis(), Reason: string(rev.Reason), CompromisedAt: millisOrNil(rev.CompromisedAt),
	})
	if err != nil {
		return fmt.Errorf("revoke CA certificate %s: %w", ca.Serial, err)
	}
	if added != 1 {
		return fault.New(fault.Conflict, fault.CodeAlreadyRevoked, "Certificate is already revoked")
	}
	if err := t.reviseShards(ctx, map[shardKey]bool{{ca.Parent.String(), 0}: true}); err != nil {
		return err
	}
	if err := t.changed(ctx, ChangeIssuer, ca.Issuer.String()); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Action: "issuer.revoke", Object: ca.Issuer.String(), Result: "ok",
		After: map[string]any{"serial": ca.Serial.String(), "reason": rev.Reason, "parent": ca.Parent},
	})
}

// LastExpiry returns when the last certificate expires that a retired issuer signed,
// zero if it signed none. It is counted once and kept, so it must not be called before
// the issuer has signed its last: see [LateSigning]. signed is the time from the first
// to the last certificate.
//
// The serial numbers begin with the hour, so that each of its queries reads one hour.
func (db *DB) LastExpiry(ctx context.Context, issuer telamon.IssuerID, from, to time.Time) (time.Time, error) {
	known, err := db.queries().IssuerEnd(ctx, issuer.String())
	if err != nil {
		return time.Time{}, db.judge(ctx, fmt.Errorf("read the end of %s: %w", issuer, err))
	}
	if len(known) == 0 {
		last, err := db.countExpiry(ctx, issuer, from, to)
		if err != nil {
			return time.Time{}, db.judge(ctx, fmt.Errorf("look for the last certificate of %s: %w", issuer, err))
		}
		err = db.update(ctx, func(t *txn) error {
			return t.InsertIssuerEnd(ctx, queries.InsertIssuerEndParams{IssuerID: issuer.String(), NotAfter: last, CountedAt: t.millis()})
		})
		if err != nil {
			return time.Time{}, fmt.Errorf("keep the end of %s: %w", issuer, err)
		}
		known = []int64{last}
	}
	if known[0] == 0 {
		return time.Time{}, nil
	}
	return timeOf(known[0]), nil
}

// LateSigning is how long after its retirement an issuer may still sign what was begun
// before: the life of a token and the clocks of replicas.
const LateSigning = time.Hour

// countExpiry returns the greatest notAfter of the issuer's certificates, 0 for none.
func (db *DB) countExpiry(ctx context.Context, issuer telamon.IssuerID, from, to time.Time) (int64, error) {
	q := db.queries()
	last, err := q.LastClientExpiry(ctx, issuer.String())
	if err != nil {
		return 0, err
	}
	pairs, err := q.LastKeyPairExpiry(ctx, textOrNil(issuer))
	if err != nil {
		return 0, err
	}
	pre, err := q.LastPrecertificateExpiry(ctx, issuer.String())
	if err != nil {
		return 0, err
	}
	lost, err := db.lastLost(ctx, issuer)
	if err != nil {
		return 0, err
	}
	last = max(last, pairs, pre, lost)
	for hour := from.Add(-LateSigning).Unix() / 3600; hour <= to.Add(LateSigning).Unix()/3600; hour++ {
		n, err := q.LastExpiryOfHour(ctx, queries.LastExpiryOfHourParams{
			First: firstSerial(hour), Past: firstSerial(hour + 1), IssuerID: issuer.String(),
		})
		if err != nil {
			return 0, err
		}
		last = max(last, n)
	}
	return last, nil
}

// lastLost returns the greatest notAfter of serial numbers that are revoked without their
// certificates, as after a restore; 0 for none.
func (db *DB) lastLost(ctx context.Context, issuer telamon.IssuerID) (int64, error) {
	var last int64
	err := db.reader.QueryRowContext(ctx, "SELECT CAST(coalesce(max(not_after), 0) AS BIGINT) FROM ca_revocation WHERE issuer_id = $1",
		issuer.String()).Scan(&last)
	return last, err
}

// firstSerial returns the least serial number of a Unix hour: see [telamon.Serial].
func firstSerial(hour int64) []byte {
	var s telamon.Serial
	binary.BigEndian.PutUint32(s[:4], uint32(hour)&0xffffff)
	s[0] = 0x01
	return s[:]
}

// A LastCRL says how far the CRLs of a retired issuer are: when the last one of each of
// its shards is out, its key has nothing left to sign.
type LastCRL struct {
	// End is when the issuer's last certificate expires, or when it cannot sign any
	// more if that is later; zero while it can.
	End time.Time
	// At is when the last of the last CRLs was issued, after End; zero if one is to come.
	At time.Time
	// Until is the earliest of their nextUpdates, after At.
	Until time.Time
}

// LastCRL returns how far the CRLs of an issuer are.
func (db *DB) LastCRL(ctx context.Context, issuer *telamon.Issuer) (LastCRL, error) {
	var last LastCRL
	if issuer.Status != telamon.IssuerRetired || issuer.RetireAt.IsZero() || !db.clock.Now().After(issuer.RetireAt.Add(LateSigning)) {
		return last, nil
	}
	expiry, err := db.LastExpiry(ctx, issuer.ID, issuer.ActivateAt, issuer.RetireAt)
	if err != nil {
		return last, err
	}
	last.End = issuer.RetireAt.Add(LateSigning)
	if expiry.After(last.End) {
		last.End = expiry
	}
	shards, err := db.CRLShards(ctx)
	if err != nil {
		return last, err
	}
	out := 0
	var at, until time.Time
	for _, s := range shards {
		if s.Issuer != issuer.ID || s.CRL == nil || !s.CRL.ThisUpdate.After(last.End) || s.IsDirty() {
			continue
		}
		out++
		if s.CRL.ThisUpdate.After(at) {
			at = s.CRL.ThisUpdate
		}
		if until.IsZero() || s.CRL.NextUpdate.Before(until) {
			until = s.CRL.NextUpdate
		}
	}
	if out == issuer.CRLShards {
		last.At, last.Until = at, until
	}
	return last, nil
}
