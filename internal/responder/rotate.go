package responder

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/ocsp"
	"github.com/telamon-ca/telamon/internal/store"
)

// RefreshEvery is how often Refresh is to be called.
const RefreshEvery = time.Minute

const (
	// life is how long a responder's certificate is valid.
	life = 30 * 24 * time.Hour
	// renewBefore is how long before its end a responder has a successor: an answer of
	// the longest validity still fits in, and five days of failures.
	renewBefore = MaxValidity + 5*24*time.Hour
	// retireAfter is how long the successor is there when a responder is retired:
	// every process looks each minute.
	retireAfter = time.Hour
	// lease is held by the process that makes and destroys responders, so that those
	// with one keystore do not all do it.
	lease      = "ocsp responders"
	leaseLasts = 30 * time.Second
)

// system is who makes responders.
var system = telamon.Actor{Kind: telamon.ActorSystem}

// signer is a responder whose key this process has.
type signer struct {
	keyName string
	cert    *x509.Certificate
	keyHash []byte
}

// Refresh does what is due: it makes a responder for each issuing CA that needs one
// or whose responder will end, retires and destroys those that have a successor, and
// has the answers signed again that were asked for and whose half-time is near.
// Answers that nobody asked for since they were signed are dropped.
func (r *Responder) Refresh(ctx context.Context) error {
	err := r.Rotate(ctx)
	now := r.cfg.Clock.Now()
	used, idle := r.cache.due(func(e *entry) bool {
		half := e.answer.KeepUntil.Sub(e.answer.ThisUpdate)
		return !now.Before(e.answer.ThisUpdate.Add(half * 3 / 4))
	})
	for _, k := range idle {
		r.cache.remove(k)
	}
	for _, k := range used {
		if ctx.Err() != nil {
			break
		}
		if e := r.cache.get(k); e != nil {
			if issuer, _ := r.issuer(e.status.Issuer); issuer != nil {
				r.renew(ctx, issuer, k, true)
			} else {
				r.cache.remove(k)
			}
		}
	}
	return err
}

// Rotate is the part of Refresh that is about responders.
func (r *Responder) Rotate(ctx context.Context) error {
	r.rotating.Lock()
	defer r.rotating.Unlock()
	return r.rotate(ctx, "")
}

// rotate is Rotate. It makes a responder for the issuer asked too, if there is none.
// The caller holds r.rotating.
func (r *Responder) rotate(ctx context.Context, asked telamon.IssuerID) error {
	responders, err := r.load(ctx)
	if err != nil {
		return err
	}
	var errs []error
	missing, ending := r.missing(responders, asked)
	for _, issuer := range missing { // at once: there is no answer without one
		errs = append(errs, r.create(ctx, issuer))
	}
	stale := r.stale(responders)
	if len(ending)+len(stale) == 0 {
		return errors.Join(errs...)
	}
	held, err := r.cfg.Store.TakeLease(ctx, lease, leaseLasts)
	if err != nil || !held {
		return errors.Join(append(errs, err)...)
	}
	if responders, err = r.load(ctx); err != nil { // another may just have done it
		errs = append(errs, err)
	} else {
		_, ending = r.missing(responders, asked)
		for _, issuer := range ending {
			errs = append(errs, r.create(ctx, issuer))
		}
		for _, s := range r.stale(responders) {
			errs = append(errs, r.end(ctx, s))
		}
	}
	return errors.Join(append(errs, r.cfg.Store.DropLease(ctx, lease))...)
}

// load reads the responders and chooses, for each issuer, the one that lasts longest
// of those whose key this process has.
func (r *Responder) load(ctx context.Context) ([]store.Responder, error) {
	responders, err := r.cfg.Store.Responders(ctx)
	if err != nil {
		return nil, err
	}
	now, signers := r.cfg.Clock.Now(), map[telamon.IssuerID]*signer{}
	if r.cfg.ReadKeys != nil && slices.ContainsFunc(responders, func(p store.Responder) bool { return !r.hasKey(p.KeyName) }) {
		if err := r.cfg.ReadKeys(); err != nil {
			return nil, err
		}
	}
	for i := range responders {
		p := &responders[i]
		if p.Status != store.ResponderActive || now.Before(p.Certificate.NotBefore) || now.After(p.Certificate.NotAfter) || !r.hasKey(p.KeyName) {
			continue
		}
		keyHash, err := ocsp.KeyHash(p.Certificate)
		if err != nil {
			return nil, err
		}
		signers[p.Issuer] = &signer{p.KeyName, p.Certificate, keyHash} // they come in order
	}
	r.signers.Store(&signers)
	return responders, nil
}

// hasKey reports whether this process has a key, or may have it: a keystore that does
// not answer still holds what it held.
func (r *Responder) hasKey(name string) bool {
	_, err := r.cfg.Keys.Public(name)
	return !errors.Is(err, keystore.ErrNoKey)
}

// missing returns the issuers that want a responder and have none that this process
// can use, and those whose responder needs a successor. An issuer wants one if its
// certificates name it, or once somebody has asked for a certificate's status.
func (r *Responder) missing(responders []store.Responder, asked telamon.IssuerID) (none, ending []*telamon.Issuer) {
	now, signers, engine := r.cfg.Clock.Now(), *r.signers.Load(), r.cfg.Engine
	for _, issuer := range engine.Issuers() {
		id := issuer.ID
		if !r.serves(issuer) || now.Before(issuer.Certificate.NotBefore) {
			continue
		}
		switch s := signers[id]; {
		case s == nil:
			series, err := engine.Series(issuer.Series)
			if id == asked || err == nil && slices.Contains(r.cfg.Always, series.Name) ||
				slices.ContainsFunc(responders, func(p store.Responder) bool { return p.Issuer == id }) {
				none = append(none, issuer)
			}
		case now.Before(s.cert.NotAfter.Add(-renewBefore)), !s.cert.NotAfter.Before(issuer.Certificate.NotAfter):
		default:
			ending = append(ending, issuer)
		}
	}
	return none, ending
}

// signer returns the responder of an issuer, and makes one if there is none.
func (r *Responder) signer(ctx context.Context, issuer *telamon.Issuer) (*signer, error) {
	if s := (*r.signers.Load())[issuer.ID]; s != nil && !r.cfg.Clock.Now().After(s.cert.NotAfter) {
		return s, nil
	}
	if err := r.rotateSoon(ctx, issuer.ID); err != nil {
		return nil, err
	}
	if s := (*r.signers.Load())[issuer.ID]; s != nil {
		return s, nil
	}
	return nil, errNoResponder
}

// rotateSoon is Rotate for a request, of which many may come: what failed is not
// tried again within signRetry.
func (r *Responder) rotateSoon(ctx context.Context, asked telamon.IssuerID) error {
	r.rotating.Lock()
	defer r.rotating.Unlock()
	now := r.cfg.Clock.Now()
	if now.Before(r.rotateAgain) {
		return errNoResponder
	}
	err := r.rotate(ctx, asked)
	if err != nil {
		r.rotateAgain = now.Add(signRetry)
	}
	return err
}

// create makes a responder and begins to use it. The caller holds r.rotating.
func (r *Responder) create(ctx context.Context, issuer *telamon.Issuer) error {
	var random [3]byte
	rand.Read(random[:]) // does not fail (crypto/rand)
	const most = 40      // characters of 64, see keystore
	name := fmt.Sprintf("%s-ocsp-%s-%s", issuer.KeyName[:min(len(issuer.KeyName), most)], r.cfg.Clock.Now().Format("20060102"),
		hex.EncodeToString(random[:]))
	cert, err := r.cfg.Engine.CreateResponder(ctx, issuer.ID, name, life)
	if err != nil {
		return err
	}
	if err := r.cfg.Store.CreateResponder(ctx, system, store.Responder{KeyName: name, Issuer: issuer.ID, Certificate: cert}); err != nil {
		return err
	}
	r.cfg.Log.InfoContext(ctx, "made OCSP responder", "issuer", issuer.ID, "key", name, "not_after", cert.NotAfter)
	_, err = r.load(ctx)
	return err
}

// stale returns the responders that are to be retired or destroyed by this process:
// those whose key it has, and those that nobody has cared for since they expired.
func (r *Responder) stale(responders []store.Responder) []store.Responder {
	now, signers := r.cfg.Clock.Now(), *r.signers.Load()
	var out []store.Responder
	for _, p := range responders {
		lapsed := now.After(p.Certificate.NotAfter.Add(retireAfter))
		switch own := r.hasKey(p.KeyName); p.Status {
		case store.ResponderActive:
			next := signers[p.Issuer]
			succeeded := next != nil && next.keyName != p.KeyName && now.After(next.cert.NotBefore.Add(backdate+retireAfter))
			if lapsed || own && succeeded {
				out = append(out, p)
			}
		case store.ResponderRetired: // its last answer ends with its certificate, if not before
			if lapsed || own && now.After(p.RetiredAt.Add(r.cfg.Validity)) {
				out = append(out, p)
			}
		}
	}
	return out
}

// backdate is how much earlier a responder's certificate begins than it is made.
const backdate = time.Hour

// end moves a responder one step on. Its key goes first, so that what the ledger
// says of it is true; if the process dies in between, the step is done again when
// the certificate has lapsed.
func (r *Responder) end(ctx context.Context, p store.Responder) error {
	to, change := store.ResponderRetired, r.cfg.Keys.Retire
	if p.Status == store.ResponderRetired {
		to, change = store.ResponderDestroyed, r.cfg.Keys.Destroy
	}
	if r.hasKey(p.KeyName) {
		if err := change(p.KeyName); err != nil {
			return fmt.Errorf("end responder %s: %w", p.KeyName, err)
		}
	}
	return r.cfg.Store.MoveResponder(ctx, system, p.KeyName, to)
}
