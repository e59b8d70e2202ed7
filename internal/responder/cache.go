package responder

import (
	"container/list"
	"crypto"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// key names an answer: a certificate, and the hash by which the client names its
// issuer. No two issuers give one serial number.
type key struct {
	serial telamon.Serial
	hash   crypto.Hash
}

// entry is an answer that is ready. It is never changed but for used.
type entry struct {
	status    store.SerialStatus
	answer    *Answer
	revision  int64     // of the certificate's CRL shard, from before the status was read
	readAt    time.Time // when that was
	signAgain time.Time // when the answer is past half of its life, or the signer is tried again
	used      atomic.Bool
}

// fresh reports whether the entry may be given out at now, without a look at its row:
// nothing of its shard was revoked since it was read, as far as rev tells.
func (e *entry) fresh(now time.Time, rev *revisions) bool {
	age := now.Sub(e.readAt)
	return rev != nil && rev.of[e.shard()] == e.revision && age >= 0 && age < readEvery && now.Before(e.signAgain) && !now.After(e.status.NotAfter)
}

func (e *entry) shard() store.Shard {
	return store.Shard{Issuer: e.status.Issuer, Number: e.status.CRLShard}
}

// revisions are those of all CRL shards at a time.
type revisions struct {
	at time.Time
	of map[store.Shard]int64
}

// cache keeps the entries that were used last, in a bounded number of octets. It is
// safe for concurrent use.
type cache struct {
	limit int // octets

	mu     sync.Mutex
	size   int // octets
	byKey  map[key]*list.Element
	recent list.List // of *cached, the last to be used first
}

// cached is an element of the list.
type cached struct {
	key   key
	entry *entry
}

// overhead is about what an entry takes beside its answer, in octets.
const overhead = 600

func newCache(limit int) *cache { return &cache{limit: limit, byKey: map[key]*list.Element{}} }

// get returns an entry and notes that it is used; nil if there is none.
func (c *cache) get(k key) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.byKey[k]
	if element == nil {
		return nil
	}
	c.recent.MoveToFront(element)
	e := element.Value.(*cached).entry
	e.used.Store(true)
	return e
}

// put replaces the entry of the key, and drops those that were used longest ago if
// they are too many.
func (c *cache) put(k key, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.byKey[k])
	c.byKey[k] = c.recent.PushFront(&cached{k, e})
	c.size += len(e.answer.DER) + overhead
	for c.size > c.limit && c.recent.Len() > 1 {
		c.drop(c.recent.Back())
	}
}

func (c *cache) remove(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.byKey[k])
}

// drop removes an element unless it is nil. The caller holds c.mu.
func (c *cache) drop(element *list.Element) {
	if element == nil {
		return
	}
	old := c.recent.Remove(element).(*cached)
	delete(c.byKey, old.key)
	c.size -= len(old.entry.answer.DER) + overhead
}

// due returns the keys of the answers of which at is past, those that were used
// since they were signed and the others.
func (c *cache) due(past func(*entry) bool) (used, idle []key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, element := range c.byKey {
		switch e := element.Value.(*cached).entry; {
		case !past(e):
		case e.used.Load():
			used = append(used, k)
		default:
			idle = append(idle, k)
		}
	}
	return used, idle
}
