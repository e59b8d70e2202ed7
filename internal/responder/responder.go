// Package responder answers OCSP requests for the certificates of all issuing CAs.
// It keeps signed answers in memory and has new ones signed ahead of their half-time;
// it makes the responders' keys and certificates, and destroys them. It speaks no
// HTTP, and stores no answer: whoever asks could fill the database.
//
// An answer is given out only if, within the last second, nothing was revoked in the
// certificate's CRL shard since its row was read: each transaction that revokes raises
// the shard's revision, and one small query reads all of them. So every process knows
// a revocation by then, whichever process wrote it; those of this process it knows at
// once.
package responder

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/ocsp"
	"github.com/telamon-ca/telamon/internal/store"
)

// Keys is what the responder needs of a keystore by itself; issuance makes and uses
// the keys.
type Keys interface {
	Public(name string) (crypto.PublicKey, error)
	Retire(name string) error
	Destroy(name string) error
}

// Config names what a responder is made of.
type Config struct {
	Store  *store.DB
	Engine *issuance.Engine
	Keys   Keys
	// ReadKeys has the keystore read the keys that other processes have made; nil if it
	// knows them by itself.
	ReadKeys func() error
	Clock    telamon.Clock
	Log      *slog.Logger
	// Validity is how long an answer holds, MinValidity to MaxValidity.
	Validity time.Duration
	// CacheOctets bounds the memory that answers are kept in.
	CacheOctets int
	// LiveNonce answers a nonce by a signature of its own.
	LiveNonce bool
	// Without names the series for which nothing is answered, and Always those whose
	// issuing CAs have a responder before anybody asks.
	Without, Always []string
}

// The bounds of an answer's validity (BR 4.9.9).
const (
	MinValidity = 8 * time.Hour
	MaxValidity = 10 * 24 * time.Hour
)

const (
	// lookAfter is the age of revisions at which one request reads them anew, and checkEvery
	// that at which all wait for it.
	lookAfter  = checkEvery / 2
	checkEvery = time.Second
	// lookRetry is when revisions are read again that could not be read.
	lookRetry = time.Second
	// readEvery is how long a row is believed if its shard's revision stays: release N-1
	// revokes without raising it.
	readEvery = 20 * time.Second
	// blindFor is how long an answer of a certificate that was good is given out while
	// the database cannot be read.
	blindFor = time.Minute
	// maxAge is the age of an answer after which there must be a newer one (BR 4.9.9).
	maxAge = 4 * 24 * time.Hour
	// signRetry is when the signer is tried again that did not sign.
	signRetry = 10 * time.Second
	// workLimit ends a look at the database and a signature.
	workLimit = 5 * time.Second
	// reads is how many answers may wait for the database at a time.
	reads = 16
)

// Responder answers OCSP requests. It is safe for concurrent use.
type Responder struct {
	cfg     Config
	cache   *cache
	flights singleflight.Group
	reading chan struct{} // holds a token for each read of the database
	signing chan struct{} // and for each signature
	seldom  rate.Sometimes
	stats   Stats

	revisions   atomic.Pointer[revisions] // the last that were read
	looking     atomic.Bool               // whether a request reads them that need not
	lookFailed  atomic.Pointer[time.Time] // when they could not be read; nil if they could since
	revocations atomic.Int64              // how many this process has made
	issuers     sync.Map                  // telamon.IssuerID: *ocsp.Issuer
	signers     atomic.Pointer[map[telamon.IssuerID]*signer]
	rotating    sync.Mutex // held while responders are made and destroyed
	rotateAgain time.Time  // not earlier, after a failure; guarded by rotating
}

// New returns a responder. Its first Refresh makes what responders are missing.
func New(cfg Config) *Responder {
	r := &Responder{
		cfg: cfg, cache: newCache(cfg.CacheOctets), reading: make(chan struct{}, reads),
		signing: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), seldom: rate.Sometimes{Interval: signRetry},
	}
	if r.cfg.Log == nil {
		r.cfg.Log = slog.New(slog.DiscardHandler)
	}
	r.revisions.Store(&revisions{})
	r.signers.Store(&map[telamon.IssuerID]*signer{})
	cfg.Store.OnRevoked(r.forget)
	return r
}

// Stats counts answers.
type Stats struct {
	Ready        atomic.Int64 // given out as they were
	Signed       atomic.Int64 // signed, to be given out again
	Live         atomic.Int64 // signed for one request
	Unauthorized atomic.Int64
	Malformed    atomic.Int64
	TryLater     atomic.Int64
	Failed       atomic.Int64 // signatures and reads that failed, whatever was answered
}

// Stats returns the counters, which go on.
func (r *Responder) Stats() *Stats { return &r.stats }

// An Answer is what a client gets. It is never changed.
type Answer struct {
	DER    []byte   // of the OCSPResponse
	Digest [32]byte // SHA-256 of DER, unless the times are zero
	// The times of what it says, zero if it says nothing of a certificate.
	ThisUpdate, NextUpdate time.Time
	// KeepUntil is when there is a newer answer. Zero says that nobody may keep this one.
	KeepUntil time.Time
}

// The answers that say nothing of a certificate.
var (
	unauthorized = &Answer{DER: ocsp.Error(ocsp.Unauthorized)}
	malformed    = &Answer{DER: ocsp.Error(ocsp.MalformedRequest)}
	tryLater     = &Answer{DER: ocsp.Error(ocsp.TryLater)}
)

// Answer answers a request in DER that was sent to an issuer's URL. mayLive is asked
// once if the answer cannot be one that is ready, and says whether one may be signed
// for this request alone.
//
// A certificate of another issuer, a serial number that was never given, a root's
// certificates, and a certificate that has expired get "unauthorized" (RFC 5019,
// Section 2.2.3): they are neither good nor revoked (BR 4.9.9).
func (r *Responder) Answer(ctx context.Context, issuer telamon.IssuerID, der []byte, mayLive func() bool) *Answer {
	req, err := ocsp.ParseRequest(der)
	if err != nil {
		r.stats.Malformed.Add(1)
		return malformed
	}
	answer := r.answer(ctx, issuer, req, mayLive)
	switch answer {
	case unauthorized:
		r.stats.Unauthorized.Add(1)
	case tryLater:
		r.stats.TryLater.Add(1)
	}
	return answer
}

func (r *Responder) answer(ctx context.Context, id telamon.IssuerID, req *ocsp.Request, mayLive func() bool) *Answer {
	issuer, names := r.issuer(id)
	if issuer == nil {
		return unauthorized
	}
	keys := make([]key, len(req.Certs))
	for i := range req.Certs {
		c := &req.Certs[i]
		serial, ours := telamon.SerialFromInt(c.Serial)
		if !ours || !names.Issued(c) {
			return unauthorized
		}
		keys[i] = key{serial, c.Hash}
	}
	switch {
	case len(keys) > 1 && !mayLive():
		return tryLater
	case len(keys) == 1 && (req.Nonce == nil || !r.cfg.LiveNonce || !mayLive()):
		return r.ready(ctx, issuer, keys[0])
	}
	if !r.cfg.LiveNonce {
		req.Nonce = nil
	}
	return r.live(ctx, issuer, keys, req.Nonce)
}

// issuer returns an issuing CA that is answered for, and what it is named by in
// requests; nil if it is none.
func (r *Responder) issuer(id telamon.IssuerID) (*telamon.Issuer, *ocsp.Issuer) {
	issuer, err := r.cfg.Engine.Issuer(id)
	if err != nil || !r.serves(issuer) {
		return nil, nil
	}
	if names, ok := r.issuers.Load(id); ok {
		return issuer, names.(*ocsp.Issuer)
	}
	names, err := ocsp.NewIssuer(issuer.Certificate)
	if err != nil {
		return nil, nil
	}
	r.issuers.Store(id, names)
	return issuer, names
}

// serves reports whether an issuer's certificates are answered for now.
func (r *Responder) serves(issuer *telamon.Issuer) bool {
	if issuer.Certificate == nil || issuer.Role != telamon.RoleIssuing || issuer.Status == telamon.IssuerExpired || r.cfg.Clock.Now().After(issuer.Certificate.NotAfter) {
		return false
	}
	if len(r.cfg.Without) == 0 {
		return true
	}
	series, err := r.cfg.Engine.Series(issuer.Series)
	return err == nil && !slices.Contains(r.cfg.Without, series.Name)
}

// forget drops the answers of a certificate that this process has revoked.
func (r *Responder) forget(serial telamon.Serial) {
	r.revocations.Add(1)
	r.cache.remove(key{serial, crypto.SHA1})
	r.cache.remove(key{serial, crypto.SHA256})
}

// ready returns the answer that is ready, or has one made. Of those that ask for the
// same at once, one does the work.
func (r *Responder) ready(ctx context.Context, issuer *telamon.Issuer, k key) *Answer {
	rev, e := r.look(ctx), r.cache.get(k)
	if rev == nil {
		return r.blind(e, issuer, r.cfg.Clock.Now())
	}
	if e != nil && e.status.Issuer == issuer.ID && e.fresh(r.cfg.Clock.Now(), rev) {
		r.stats.Ready.Add(1)
		return e.answer
	}
	flight := fmt.Sprintf("%s %x %d", issuer.ID, k.serial, k.hash)
	answer, _, _ := r.flights.Do(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workLimit)
		defer cancel()
		return r.renew(ctx, issuer, k, false), nil
	})
	return answer.(*Answer)
}

// look returns the revisions of all CRL shards, not older than checkEvery; nil if the
// database cannot be read. After a failure it answers at once, but for one request each
// lookRetry that tries again: a database that hangs keeps nobody else waiting.
func (r *Responder) look(ctx context.Context) *revisions {
	rev, now := r.revisions.Load(), r.cfg.Clock.Now()
	age := now.Sub(rev.at)
	if age >= 0 && age < lookAfter {
		return rev
	}
	if age < 0 || age >= checkEvery {
		rev = nil
	}
	failed := r.lookFailed.Load()
	if failed != nil && !now.Before(*failed) && now.Before(failed.Add(lookRetry)) {
		return rev
	}
	if rev != nil || failed != nil {
		if !r.looking.CompareAndSwap(false, true) {
			return rev
		}
		defer r.looking.Store(false)
	}
	read, err, _ := r.flights.Do("revisions", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workLimit)
		defer cancel()
		next := &revisions{at: r.cfg.Clock.Now()}
		var err error
		if next.of, err = r.cfg.Store.Revisions(ctx); err != nil {
			at := r.cfg.Clock.Now()
			r.lookFailed.Store(&at)
			return nil, r.failed(ctx, "read revisions for OCSP", err)
		}
		r.revisions.Store(next)
		r.lookFailed.Store(nil)
		return next, nil
	})
	if err != nil {
		return nil
	}
	return read.(*revisions)
}

// renew reads the status of a certificate and returns an answer that says it: the one
// that is there, unless its half-time is over or ahead is set, or a new one.
func (r *Responder) renew(ctx context.Context, issuer *telamon.Issuer, k key, ahead bool) *Answer {
	old, revocations, now := r.cache.get(k), r.revocations.Load(), r.cfg.Clock.Now()
	rev := r.look(ctx) // before the row, so that what is revoked meanwhile raises the revision
	if rev == nil {
		return r.blind(old, issuer, now)
	}
	status, known, err := r.status(ctx, issuer, k.serial)
	if err != nil {
		return r.blind(old, issuer, now)
	}
	if !known {
		if old != nil && old.status.Issuer == issuer.ID {
			r.cache.remove(k)
		}
		return unauthorized
	}
	e := &entry{status: status, readAt: now}
	e.revision = rev.of[e.shard()]
	if old != nil && sameStatus(&old.status, &status) {
		e.answer, e.signAgain = old.answer, old.signAgain
	}
	switch {
	case e.answer != nil && now.Before(e.signAgain) && !ahead:
		r.stats.Ready.Add(1)
	default:
		signed, err := r.sign(ctx, issuer, []key{k}, []store.SerialStatus{status}, nil)
		switch {
		case err == nil:
			r.stats.Signed.Add(1)
			e.answer, e.signAgain = signed, signed.KeepUntil
		case e.answer == nil || !now.Before(e.answer.NextUpdate):
			return tryLater
		default: // it still holds
			e.signAgain = minTime(now.Add(signRetry), e.answer.NextUpdate)
		}
	}
	if r.revocations.Load() != revocations { // perhaps of this one, after it was read
		e.readAt = time.Time{}
	}
	e.used.Store(!ahead)
	r.cache.put(k, e)
	return e.answer
}

// status reads the status of a serial number. It is not known if it was never given,
// if another issuer gave it, or if its certificate has expired.
func (r *Responder) status(ctx context.Context, issuer *telamon.Issuer, serial telamon.Serial) (status store.SerialStatus, known bool, err error) {
	if err := acquire(ctx, r.reading); err != nil {
		return status, false, r.failed(ctx, "read a status for OCSP", err)
	}
	defer release(r.reading)
	status, err = r.cfg.Store.SerialStatus(ctx, serial)
	switch {
	case isNotFound(err):
		return status, false, nil
	case err != nil:
		return status, false, r.failed(ctx, "read a status for OCSP", err)
	}
	return status, status.Issuer == issuer.ID && !r.cfg.Clock.Now().After(status.NotAfter), nil
}

// blind returns what may be answered while the database cannot be read: a revocation
// stays, and what was good is believed for a moment.
func (r *Responder) blind(old *entry, issuer *telamon.Issuer, now time.Time) *Answer {
	switch {
	case old == nil || old.status.Issuer != issuer.ID || !now.Before(old.answer.NextUpdate) || now.After(old.status.NotAfter):
		return tryLater
	case old.status.Revocation == nil && now.Sub(r.seen(old)) > blindFor:
		return tryLater
	}
	return old.answer
}

// seen returns when it was last known that an entry's status holds.
func (r *Responder) seen(e *entry) time.Time {
	if rev := r.revisions.Load(); rev.of[e.shard()] == e.revision && rev.at.After(e.readAt) {
		return rev.at
	}
	return e.readAt
}

// failed counts and logs an error, not each one of a database or a signer that is
// down for long.
func (r *Responder) failed(ctx context.Context, what string, err error) error {
	r.stats.Failed.Add(1)
	r.seldom.Do(func() { r.cfg.Log.ErrorContext(ctx, "cannot "+what, "error", err) })
	return err
}

func sameStatus(a, b *store.SerialStatus) bool {
	if a.Issuer != b.Issuer || (a.Revocation == nil) != (b.Revocation == nil) {
		return false
	}
	return a.Revocation == nil || a.Revocation.Reason == b.Revocation.Reason && a.Revocation.Date().Equal(b.Revocation.Date())
}

func acquire(ctx context.Context, tokens chan struct{}) error {
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func release(tokens chan struct{}) { <-tokens }

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
