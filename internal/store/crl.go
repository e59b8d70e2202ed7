package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// The bytes of CRLs are kept in chunks, of which one transaction writes or deletes a
// few: other writers never wait for a large CRL.
const (
	crlChunkSize = 64 << 10 // octets
	crlStep      = 16       // chunks
)

// crlBuildLimit is how long a CRL may be building before it is taken for one whose
// process died.
const crlBuildLimit = time.Hour

// CodeCRLSuperseded is the code of a CRL that came too late: another one was published
// since it was begun.
const CodeCRLSuperseded = "crl_superseded"

// A CRL is one that was published.
type CRL struct {
	ID         telamon.CRLID
	Issuer     telamon.IssuerID
	Shard      int
	Number     int64
	ThisUpdate time.Time
	NextUpdate time.Time
	Entries    int64
	Size       int64 // octets
	SHA256     [32]byte
	CreatedAt  time.Time
}

// Chunks returns how many chunks the CRL has.
func (c *CRL) Chunks() int { return int((c.Size + crlChunkSize - 1) / crlChunkSize) }

// A CRLShard is the state of one CRL shard of an issuer.
type CRLShard struct {
	Issuer telamon.IssuerID
	Shard  int
	// Revision counts the transactions that revoked certificates of the shard.
	Revision int64
	// Published is the revision that the newest CRL holds. Below Revision, something
	// was revoked since, first at RevisedAt.
	Published int64
	RevisedAt time.Time
	CRL       *CRL // the newest; nil if there is none yet
}

// IsDirty reports whether something was revoked that no CRL holds.
func (s *CRLShard) IsDirty() bool { return s.Published < s.Revision }

// shardKey names a CRL shard.
type shardKey struct {
	issuer string
	shard  int64
}

func (a shardKey) compare(b shardKey) int {
	return cmp.Or(cmp.Compare(a.issuer, b.issuer), cmp.Compare(a.shard, b.shard))
}

// reviseShards marks shards whose CRL must be published anew, in the order of their
// keys, so that replicas cannot deadlock.
func (t *txn) reviseShards(ctx context.Context, keys map[shardKey]bool) error {
	for _, k := range sortedShards(keys) {
		err := t.ReviseShard(ctx, queries.ReviseShardParams{IssuerID: k.issuer, Shard: k.shard, Now: t.millis()})
		if err != nil {
			return fmt.Errorf("mark CRL shard %d of %s: %w", k.shard, k.issuer, err)
		}
	}
	return nil
}

// CRLShards returns the state of every shard that was ever revised or published.
func (db *DB) CRLShards(ctx context.Context) ([]CRLShard, error) {
	rows, err := db.queries().Shards(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read CRL shards: %w", err))
	}
	return mapped(rows, func(r queries.ShardsRow) CRLShard {
		s := CRLShard{
			Issuer: telamon.IssuerID(r.IssuerID), Shard: int(r.Shard), Revision: r.Revision, Published: r.Published,
			RevisedAt: timeOf(r.RevisedAt),
		}
		if r.CrlID != nil && len(r.Sha256) == sha256.Size {
			s.CRL = &CRL{
				ID: telamon.CRLID(*r.CrlID), Issuer: s.Issuer, Shard: s.Shard, Number: r.CrlNumber,
				ThisUpdate: timeOf(r.ThisUpdate), NextUpdate: timeOf(r.NextUpdate), Entries: r.Entries, Size: r.Size,
				SHA256: [32]byte(r.Sha256), CreatedAt: timeOf(r.CreatedAt),
			}
		}
		return s
	}), nil
}

// A NewCRL is a CRL that BeginCRL has begun. Its caller builds it, sets NextUpdate and
// Entries, and hands it to PublishCRL with its bytes.
type NewCRL struct {
	Issuer     telamon.IssuerID
	Shard      int
	Number     int64
	ThisUpdate time.Time // whole seconds
	NextUpdate time.Time
	Entries    int64
	// Since is the notAfter from which on the CRL must hold what was revoked: what
	// expired earlier was on a CRL that was issued after its expiry (RFC 5280, Section
	// 3.3). Zero if that is everything.
	Since time.Time

	// LastNumber and LastUpdate are the number of the last CRL, or one that was seen
	// elsewhere if it is higher, and the last one's thisUpdate; zero before the first.
	LastNumber int64
	LastUpdate time.Time

	begun    time.Time
	revision int64
}

// expiredFor is for how long after its expiry a revoked certificate stays on CRLs, at
// the least. It covers the clocks of replicas and transactions that were open when the
// CRL before was built.
const expiredFor = 24 * time.Hour

// BeginCRL returns what the next CRL of a shard must say of itself. The number is the
// time in Unix milliseconds, or one more than the last one if that is greater: it
// goes on rising after a database was restored. Entries that are read after BeginCRL
// hold everything that the shard's marks told of until then.
func (db *DB) BeginCRL(ctx context.Context, issuer telamon.IssuerID, shard int) (*NewCRL, error) {
	var row queries.CrlShard
	var now time.Time
	err := db.update(ctx, func(t *txn) (err error) {
		now = t.now
		if err := t.AddShard(ctx, queries.AddShardParams{IssuerID: issuer.String(), Shard: int64(shard)}); err != nil {
			return fmt.Errorf("add CRL shard %d of %s: %w", shard, issuer, err)
		}
		row, err = t.Queries.Shard(ctx, queries.ShardParams{IssuerID: issuer.String(), Shard: int64(shard)})
		if err != nil {
			return fmt.Errorf("read CRL shard %d of %s: %w", shard, issuer, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	next := &NewCRL{
		Issuer: issuer, Shard: shard, Number: max(row.Number+1, now.UnixMilli()), ThisUpdate: now.Truncate(time.Second),
		LastNumber: row.Number, begun: now, revision: row.Revision,
	}
	if row.Number > 0 {
		next.LastUpdate = timeOf(row.ThisUpdate)
		next.Since = next.LastUpdate.Add(-expiredFor)
	}
	return next, nil
}

// PublishCRL stores the bytes of a CRL and makes it the newest of its shard, with the
// audit event: when it returns nil, that is durable. Until then nobody sees it.
//
// It reports Conflict with crl_superseded if another CRL of the shard was published
// since BeginCRL, or Number is not above LastNumber; then this one must not leave the platform, as its number may be the
// lower one.
func (db *DB) PublishCRL(ctx context.Context, actor telamon.Actor, next *NewCRL, body io.Reader) (*CRL, error) {
	crl := &CRL{
		ID: telamon.NewCRLID(), Issuer: next.Issuer, Shard: next.Shard, Number: next.Number, ThisUpdate: next.ThisUpdate,
		NextUpdate: next.NextUpdate, Entries: next.Entries, CreatedAt: timeOf(next.begun.UnixMilli()),
	}
	sum := sha256.New()
	body = io.TeeReader(body, sum)
	for n := 0; ; n += crlStep {
		chunks, last, err := readChunks(body)
		if err != nil {
			return nil, fmt.Errorf("read the CRL: %w", err)
		}
		for _, chunk := range chunks {
			crl.Size += int64(len(chunk))
		}
		if last {
			crl.SHA256 = [32]byte(sum.Sum(nil))
		}
		err = db.update(ctx, func(t *txn) error {
			if n == 0 {
				if err := t.insertCRL(ctx, crl); err != nil {
					return err
				}
			}
			for i, chunk := range chunks {
				err := t.InsertCRLChunk(ctx, queries.InsertCRLChunkParams{CrlID: crl.ID.String(), N: int64(n + i), Data: chunk})
				if err != nil {
					return fmt.Errorf("insert chunk %d of CRL %s: %w", n+i, crl.ID, err)
				}
			}
			if last {
				return t.publishCRL(ctx, actor, next, crl)
			}
			return nil
		})
		if err != nil || last {
			return crl, err
		}
	}
}

// readChunks reads the chunks of one transaction, and reports whether they are the last.
func readChunks(body io.Reader) (chunks [][]byte, last bool, err error) {
	for range crlStep {
		chunk := make([]byte, crlChunkSize)
		n, err := io.ReadFull(body, chunk)
		if n > 0 {
			chunks = append(chunks, chunk[:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return chunks, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return chunks, false, nil
}

func (t *txn) insertCRL(ctx context.Context, crl *CRL) error {
	err := t.InsertCRL(ctx, queries.InsertCRLParams{
		ID: crl.ID.String(), IssuerID: crl.Issuer.String(), Shard: int64(crl.Shard), Number: crl.Number, Sha256: []byte{},
		ThisUpdate: crl.ThisUpdate.UnixMilli(), NextUpdate: crl.NextUpdate.UnixMilli(), Entries: crl.Entries,
		CreatedAt: crl.CreatedAt.UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("insert CRL %s: %w", crl.ID, err)
	}
	return nil
}

func (t *txn) publishCRL(ctx context.Context, actor telamon.Actor, next *NewCRL, crl *CRL) error {
	moved, err := t.MoveShard(ctx, queries.MoveShardParams{
		IssuerID: crl.Issuer.String(), Shard: int64(crl.Shard), LastNumber: next.LastNumber, CrlID: crl.ID.String(),
		Number: crl.Number, Published: next.revision, ThisUpdate: crl.ThisUpdate.UnixMilli(),
		NextUpdate: crl.NextUpdate.UnixMilli(), RevisedAt: next.begun.UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("publish CRL %s: %w", crl.ID, err)
	}
	if moved != 1 {
		return fault.New(fault.Conflict, CodeCRLSuperseded, "Another CRL of this shard was published meanwhile.")
	}
	changed, err := t.Queries.PublishCRL(ctx, queries.PublishCRLParams{ID: crl.ID.String(), Size: crl.Size, Sha256: crl.SHA256[:]})
	if err := mustChange(changed, err); err != nil {
		return fmt.Errorf("publish CRL %s: %w", crl.ID, err)
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Action: "crl.publish", Object: fmt.Sprintf("%s/%d", crl.Issuer, crl.Shard), Result: "ok",
		After: map[string]any{
			"number": crl.Number, "this_update": crl.ThisUpdate, "next_update": crl.NextUpdate, "entries": crl.Entries,
			"sha256": fmt.Sprintf("%x", crl.SHA256),
		},
	})
}

// CRLChunk returns a chunk of a published CRL, from 0. It reports NotFound if the CRL
// was dropped since.
func (db *DB) CRLChunk(ctx context.Context, id telamon.CRLID, n int) ([]byte, error) {
	data, err := db.queries().CRLChunk(ctx, queries.CRLChunkParams{CrlID: id.String(), N: int64(n)})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "crl_not_found", "There is no such CRL.")
	}
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read chunk %d of CRL %s: %w", n, id, err))
	}
	return data, nil
}

// crlReadLimit is for how long the bytes of a CRL are kept after the next one, for
// clients on slow lines that have begun to read it.
const crlReadLimit = 15 * time.Minute

// PurgeCRLs deletes the CRLs of the shard but for the newest ones and those that were
// the newest within a quarter of an hour, and what processes left that died while they
// published, in transactions of a bounded size.
func (db *DB) PurgeCRLs(ctx context.Context, issuer telamon.IssuerID, shard, keep int) error {
	young, err := db.queries().CountCRLsSince(ctx, queries.CountCRLsSinceParams{
		IssuerID: issuer.String(), Shard: int64(shard), Since: db.clock.Now().Add(-crlReadLimit).UnixMilli(),
	})
	if err != nil {
		return db.judge(ctx, fmt.Errorf("count the CRLs of %s/%d: %w", issuer, shard, err))
	}
	keep = max(keep, int(young)+1) // and the one that the first of the young ones replaced
	old, err := db.queries().OldCRLs(ctx, queries.OldCRLsParams{
		IssuerID: issuer.String(), Shard: int64(shard), Keep: int32(keep), Lim: purgeStep,
	})
	if err != nil {
		return db.judge(ctx, fmt.Errorf("read old CRLs of %s/%d: %w", issuer, shard, err))
	}
	left, err := db.queries().LeftCRLs(ctx, queries.LeftCRLsParams{
		Before: db.clock.Now().Add(-crlBuildLimit).UnixMilli(), Lim: purgeStep,
	})
	if err != nil {
		return db.judge(ctx, fmt.Errorf("read CRLs that were left: %w", err))
	}
	for _, id := range append(old, left...) {
		if err := db.dropCRL(ctx, id); err != nil {
			return fmt.Errorf("drop CRL %s: %w", id, err)
		}
	}
	return nil
}

// dropCRL deletes a CRL: first from sight, then its chunks, then its row.
func (db *DB) dropCRL(ctx context.Context, id string) error {
	for {
		var n int64
		err := db.update(ctx, func(t *txn) (err error) {
			if _, err := t.DropCRL(ctx, id); err != nil {
				return err
			}
			if n, err = t.DropCRLChunks(ctx, queries.DropCRLChunksParams{CrlID: id, Lim: crlStep}); err != nil {
				return err
			}
			if n < crlStep {
				_, err = t.ForgetCRL(ctx, id)
			}
			return err
		})
		if err != nil || n < crlStep {
			return err
		}
	}
}

// RaiseCRLNumber has the next CRL of a shard be numbered above a number that was seen
// elsewhere, such as on a published CRL that a restored database does not know.
func (db *DB) RaiseCRLNumber(ctx context.Context, issuer telamon.IssuerID, shard int, number int64) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.AddShard(ctx, queries.AddShardParams{IssuerID: issuer.String(), Shard: int64(shard)}); err != nil {
			return fmt.Errorf("add CRL shard %d of %s: %w", shard, issuer, err)
		}
		err := t.Queries.RaiseCRLNumber(ctx, queries.RaiseCRLNumberParams{IssuerID: issuer.String(), Shard: int64(shard), Number: number})
		if err != nil {
			return fmt.Errorf("raise the CRL number of %s/%d: %w", issuer, shard, err)
		}
		return nil
	})
}
