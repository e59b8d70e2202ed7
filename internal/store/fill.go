package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// fillStep is how many certificates one transaction of [DB.Fill] writes: a small
// part of what transactionLimit has time for.
const fillStep = 2_000

// A FillSpec says what synthetic certificates [DB.Fill] writes.
type FillSpec struct {
	Actor   telamon.Actor
	Account telamon.AccountID // whose audit events tell of it

	N            int64
	Revoked      int64                  // how many of N are revoked, the oldest ones, as superseded
	Subscription telamon.SubscriptionID // whose quota is drawn; "" draws none

	// Template is a real certificate and Blob its bytes. The synthetic ones
	// differ from it in their serial number, in the ledger and in the bytes, and in
	// their times, in the ledger only; so their signatures do not verify.
	Template telamon.Certificate
	Blob     Blob

	// From and To are the span of time over which the acceptance of the
	// certificates is spread evenly. They are valid for as long as the template.
	From, To time.Time
}

// Fill writes N synthetic certificates, so that growth can be measured: entries,
// bytes, counts and quota agree with one another as if each had been issued, but
// the audit log has one event for each transaction. It returns how many it wrote,
// which is all that is durable.
//
// It reports Invalid if the template's serial number is not in its bytes, and the
// faults of [DB.IssueCertificate].
func (db *DB) Fill(ctx context.Context, spec FillSpec) (written int64, err error) {
	at := bytes.Index(spec.Blob.DER, spec.Template.Serial[:])
	if at < 0 || spec.N < 0 || spec.Revoked < 0 || spec.Revoked > spec.N || spec.To.Before(spec.From) {
		return 0, fault.New(fault.Invalid, "fill_spec", "The serial number is not in the certificate, or the span ends before it starts.")
	}
	for written < spec.N {
		n := min(fillStep, spec.N-written)
		err := db.update(ctx, func(t *txn) error { return t.fill(ctx, &spec, at, written, n) })
		if err != nil {
			return written, fmt.Errorf("fill: %w", err)
		}
		written += n
	}
	return written, nil
}

// fill writes the n certificates of spec from the one at first on, whose serial
// numbers go to offset at of the DER.
func (t *txn) fill(ctx context.Context, spec *FillSpec, at int, first, n int64) error {
	if spec.Subscription != "" {
		if _, err := t.draw(ctx, spec.Subscription, n); err != nil {
			return err
		}
	}
	var rows batchRows
	var revoked []any
	terms := termsOf(&spec.Template, &spec.Blob)
	valid := spec.Template.NotAfter.Sub(spec.Template.NotBefore)
	for i := range n {
		cert := spec.Template
		// In floating point, since the span times the number may overflow.
		part := float64(first+i) / float64(spec.N)
		cert.AcceptedAt = spec.From.Add(time.Duration(part * float64(spec.To.Sub(spec.From)))).UTC()
		cert.Serial = telamon.NewSerial(cert.AcceptedAt)
		cert.NotBefore = cert.AcceptedAt.Truncate(time.Second)
		cert.NotAfter = cert.NotBefore.Add(valid)
		cert.UpdatedAt = cert.AcceptedAt
		der := slices.Clone(spec.Blob.DER)
		copy(der[at:], cert.Serial[:])
		rows.addCertificate(&cert, Blob{DER: der, Request: spec.Blob.Request}, terms)
		if first+i < spec.Revoked {
			own := rows.certs[len(rows.certs)-len(certificateTable.columns):]
			revoked = append(append(revoked, own...), cert.AcceptedAt.UnixMilli(), string(telamon.ReasonSuperseded))
			revoked[len(revoked)-len(revokedTable.columns)+statusColumn] = string(telamon.StatusRevoked)
			rows.certs = rows.certs[:len(rows.certs)-len(own)]
			rows.sums.add(count{cert.Pair, countRevoked, cert.AcceptedAt.Unix(), 1})
			if rows.shards == nil {
				rows.shards = map[shardKey]bool{}
			}
			rows.shards[shardKey{cert.Issuer.String(), int64(cert.CRLShard)}] = true
		}
	}
	if err := t.bulk(ctx, certificateTable, rows.certs); err != nil {
		return err
	}
	if err := t.bulk(ctx, revokedTable, revoked); err != nil {
		return err
	}
	if err := t.reviseShards(ctx, rows.shards); err != nil {
		return err
	}
	if err := t.bulk(ctx, derTable, rows.ders); err != nil {
		return err
	}
	if err := t.bulk(ctx, termTable, rows.terms); err != nil {
		return err
	}
	if err := rows.sums.write(ctx, t); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: spec.Actor, Account: spec.Account, Action: "certificate.fill", Object: fmt.Sprint(spec.Template.Pair), Result: "ok",
		After: map[string]any{"certificates": n},
	})
}

// revokedTable is certificateTable for certificates that are revoked from the start.
var revokedTable = newTable("certificate", strings.Join(certificateTable.columns, ", ")+", revoked_at, reason", "")

// statusColumn is where the status stands in both.
var statusColumn = slices.Index(certificateTable.columns, "status")

// bulk inserts many rows: by COPY on PostgreSQL.
func (t *txn) bulk(ctx context.Context, into *table, args []any) error {
	if t.postgres == nil {
		return t.insert(ctx, into, args)
	}
	if len(args) == 0 {
		return nil
	}
	next := 0
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if next == len(args) {
			return nil, nil
		}
		next += len(into.columns)
		return args[next-len(into.columns) : next], nil
	})
	err := t.raw(func(conn *pgx.Conn) error {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{into.name}, into.columns, source)
		return err
	})
	if err != nil {
		return fmt.Errorf("copy into %s: %w", into.name, err)
	}
	return nil
}

// raw runs f on the connection of a PostgreSQL transaction.
func (t *txn) raw(f func(*pgx.Conn) error) error {
	return t.postgres.Raw(func(driverConn any) error {
		conn, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return errors.New("not a connection of pgx")
		}
		return f(conn.Conn())
	})
}
