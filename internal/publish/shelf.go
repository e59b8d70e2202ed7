package publish

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// The bytes of CRLs that are kept in memory, in octets: of all, and of one.
const (
	shelfSize = 32 << 20
	shelfItem = 4 << 20
)

// shelf is what a process serves: the newest CRL of each shard, as of the last turn,
// and the bytes of small ones. While the database is away, what is in memory is served
// on.
type shelf struct {
	newest  atomic.Pointer[map[shard]*store.CRL] // nil before the first turn
	reading singleflight.Group                   // of bytes that are not here, by CRL

	mu    sync.Mutex
	bytes map[telamon.CRLID][]byte // guarded by mu
	size  int                      // of bytes, guarded by mu
}

func (s *shelf) init() {
	s.bytes = map[telamon.CRLID][]byte{}
}

// refresh reads what is published.
func (p *Publisher) refresh(ctx context.Context) ([]State, error) {
	shards, err := p.cfg.Store.CRLShards(ctx)
	if err != nil {
		return nil, err
	}
	newest := make(map[shard]*store.CRL, len(shards))
	current := make(map[telamon.CRLID]bool, len(shards))
	for _, s := range shards {
		if s.CRL != nil {
			newest[shard{s.Issuer, s.Shard}] = s.CRL
			current[s.CRL.ID] = true
		}
	}
	p.shelf.newest.Store(&newest)
	p.shelf.keep(current)
	return p.states(ctx, shards)
}

// keep forgets the bytes of CRLs that are not current.
func (s *shelf) keep(current map[telamon.CRLID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, b := range s.bytes {
		if !current[id] {
			s.size -= len(b)
			delete(s.bytes, id)
		}
	}
}

// Newest returns the newest CRL of a shard as of the last turn, nil if there is none.
func (p *Publisher) Newest(issuer telamon.IssuerID, n int) *store.CRL {
	newest := p.shelf.newest.Load()
	if newest == nil {
		return nil
	}
	return (*newest)[shard{issuer, n}]
}

// Loaded reports whether a turn has read what is published.
func (p *Publisher) Loaded() bool { return p.shelf.newest.Load() != nil }

// Write writes the bytes of a CRL. A small one is in memory once, however many are
// written; of a large one a chunk at a time is. It reports NotFound, before anything was
// written, if the CRL was dropped meanwhile.
func (p *Publisher) Write(ctx context.Context, w io.Writer, crl *store.CRL) error {
	if crl.Size > shelfItem {
		return p.writeChunks(ctx, w, crl)
	}
	b := p.shelf.get(crl.ID)
	if b == nil {
		read := p.shelf.reading.DoChan(crl.ID.String(), func() (any, error) { return p.read(context.WithoutCancel(ctx), crl) })
		select {
		case <-ctx.Done():
			return ctx.Err()
		case result := <-read:
			if result.Err != nil {
				return result.Err
			}
			b = result.Val.([]byte)
		}
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write CRL: %w", err)
	}
	return nil
}

// read returns the bytes of a small CRL, and keeps them.
func (p *Publisher) read(ctx context.Context, crl *store.CRL) ([]byte, error) {
	if b := p.shelf.get(crl.ID); b != nil { // since the caller looked
		return b, nil
	}
	b := bytes.NewBuffer(make([]byte, 0, crl.Size))
	if err := p.writeChunks(ctx, b, crl); err != nil {
		return nil, err
	}
	p.shelf.put(crl.ID, b.Bytes())
	return b.Bytes(), nil
}

func (p *Publisher) writeChunks(ctx context.Context, w io.Writer, crl *store.CRL) error {
	for n := range crl.Chunks() {
		chunk, err := p.cfg.Store.CRLChunk(ctx, crl.ID, n)
		if err != nil {
			return err
		}
		if _, err := w.Write(chunk); err != nil {
			return fmt.Errorf("write CRL: %w", err)
		}
	}
	return nil
}

func (s *shelf) get(id telamon.CRLID) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes[id]
}

// put keeps the bytes of a CRL, in the place of others if there is no room.
func (s *shelf) put(id telamon.CRLID, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes[id] != nil {
		return
	}
	for other, old := range s.bytes {
		if s.size+len(b) <= shelfSize {
			break
		}
		s.size -= len(old)
		delete(s.bytes, other)
	}
	s.bytes[id] = b
	s.size += len(b)
}
