//go:build linux

package trials

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
)

// A book is what clients of an installation were told: the memory that no crash of a
// server touches. It is safe for concurrent use.
type book struct {
	mu      sync.Mutex
	entries map[string]*entry // by serial number
	serials []string
	revoked int
	closed  bool // what is acknowledged is not noted
}

// An entry is one certificate whose 201 was read.
type entry struct {
	content [32]byte // SHA-256 of the certificate as it was first shown
	shown   bool
	asked   bool // a revocation was sent
	revoked bool // and its 204 was read, or the server has said REVOKED since
	told    bool // the 204 was read
	fresh   bool // something was acknowledged since the last comparison
}

func newBook() *book { return &book{entries: map[string]*entry{}} }

// close lets nothing be noted until open. When it returns, everything that is noted was
// acknowledged before.
func (b *book) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

func (b *book) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = false
}

// issued notes a 201.
func (b *book) issued(serial string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	if b.entries[serial] != nil {
		return fmt.Errorf("serial number %s was given twice", serial)
	}
	b.entries[serial] = &entry{fresh: true}
	b.serials = append(b.serials, serial)
	return nil
}

// ask picks a certificate whose revocation nobody asked for, and notes that it will
// be: the newest one or, now and then, any.
func (b *book) ask(random *rand.Rand, newest string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.serials) > 0 && random.IntN(4) == 0 {
		if any := b.serials[random.IntN(len(b.serials))]; !b.entries[any].asked {
			newest = any
		}
	}
	if b.closed || b.entries[newest].asked {
		return ""
	}
	b.entries[newest].asked = true
	return newest
}

// revocation notes a 204.
func (b *book) revocation(serial string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	e := b.entries[serial]
	e.revoked, e.told, e.fresh = true, true, true
	b.revoked++
}

// counts returns how many certificates and revocations were acknowledged.
func (b *book) counts() (certificates, revocations int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.serials), b.revoked
}

// pending returns the serial numbers to be compared: of all, or of those about which
// something was acknowledged since the last comparison.
func (b *book) pending(all bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, serial := range b.serials {
		if e := b.entries[serial]; all || e.fresh {
			out = append(out, serial)
		}
	}
	return out
}

// compare holds what the server says of a certificate against the book, and notes what
// is new: what was shown once must stay.
func (b *book) compare(serial string, a *answer) error {
	var shown struct {
		Certificate string `json:"certificate"`
		Status      string `json:"status"`
	}
	if err := json.Unmarshal(a.body, &shown); err != nil || a.status != http.StatusOK || shown.Certificate == "" {
		return fmt.Errorf("certificate %s was acknowledged and is lost: %s", serial, a)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.compareStatus(serial, shown.Status == "REVOKED", []byte(shown.Certificate))
}

// compareStatus is compare for what was read in any way. The caller holds b.mu.
func (b *book) compareStatus(serial string, revoked bool, content []byte) error {
	e := b.entries[serial]
	sum := sha256.Sum256(content)
	switch {
	case e.revoked && !revoked:
		return fmt.Errorf("the revocation of %s was acknowledged and is lost", serial)
	case revoked && !e.asked:
		return fmt.Errorf("%s is revoked, and nobody asked for it", serial)
	case e.shown && sum != e.content:
		return fmt.Errorf("certificate %s is another than it was", serial)
	}
	e.content, e.shown, e.revoked, e.fresh = sum, true, revoked, false
	return nil
}
