package doctor

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// How far clocks may be apart. A key does not sign that much behind its last signature.
const (
	clockFail = 5 * time.Minute
	clockWarn = 2 * time.Second
)

// clock compares the system's clock with the database's and with the last signatures.
func (e *examination) clock(ctx context.Context) {
	since := e.count()
	const do = "set the clocks by NTP"
	before := e.options.Clock.Now()
	theirs, err := e.db.Now(ctx)
	apart := max(before.Sub(theirs), theirs.Sub(e.options.Clock.Now())) // whatever the answer took
	switch {
	case err != nil:
		e.fail("clock", "look at the database's own log", "%v", err)
	case apart > clockFail:
		e.fail("clock", do, "the database's clock is %s away", apart.Round(time.Second))
	case apart > clockWarn:
		e.warn("clock", do, "the database's clock is %s away", apart.Round(time.Millisecond))
	}
	if keys := e.allKeys(); len(keys) > 0 {
		last := slices.MaxFunc(keys, func(a, b keystore.InspectedKey) int { return a.Last.Compare(b.Last) })
		e.behind("the last signature, of key "+last.Name, last.Last)
	}
	page, err := e.db.AuditEvents(ctx, store.AuditFilter{Newest: true, Limit: 1})
	if err == nil && len(page.Events) > 0 {
		e.behind("the newest audit event", page.Events[0].At)
	}
	e.sound(since, "clock", "it is with the database's, and not behind the last signature and event")
}

func (e *examination) behind(what string, at time.Time) {
	switch behind := at.Sub(e.now); {
	case behind > clockFail:
		e.fail("clock", "set the clock by NTP: keys do not sign before", "the clock is %s behind %s", behind.Round(time.Second), what)
	case behind > clockWarn:
		e.warn("clock", "set the clock by NTP", "the clock is %s behind %s", behind.Round(time.Second), what)
	}
}

// issuerKeys looks whether the key of each issuer is there, is the certificate's, and
// may do what the issuer's place in its life asks for.
func (e *examination) issuerKeys() {
	if e.keys == nil {
		return
	}
	const do = "restore the key from a backup, or rotate: docs/RECOVERY.md, \"A lost key\""
	since, present := e.count(), 0
	for _, i := range e.issuers {
		if i.Status == telamon.IssuerExpired {
			continue
		}
		k, ok := e.key(i.KeyName)
		switch {
		case !ok && e.signerAway: // which the signer's check tells
		case !ok && i.Role == telamon.RoleRoot:
			e.warn("keys", "nothing, if it is offline; it is needed to rotate and for its CRL", "the key %s of root %s is not here", i.KeyName, i.ID)
		case !ok:
			e.fail("keys", do, "the key %s of issuer %s is not here", i.KeyName, i.ID)
		case k.Err != nil: // told by the keystore's check
		case !sameKey(k.Public, i.Certificate.PublicKey) || k.Purpose.Certificate != nil && !k.Purpose.Certificate.Equal(i.Certificate):
			e.fail("keys", "database and keystore are of different installations or times: docs/RECOVERY.md", "key %s is not that of issuer %s", i.KeyName, i.ID)
		case i.Status == telamon.IssuerActive && k.Purpose.Certificate == nil:
			e.fail("keys", do, "the key %s of issuer %s has no purpose, and signs nothing", i.KeyName, i.ID)
		case i.Status == telamon.IssuerActive && k.Purpose.Retired:
			e.fail("keys", "rotate the series: telamon issuer rotate", "the key %s of the active issuer %s is retired", i.KeyName, i.ID)
		default:
			present++
		}
	}
	if e.signerAway {
		return
	}
	e.sound(since, "keys", "%d keys are those of their issuers' certificates, and may sign what those ask for", present)
}

func sameKey(a, b crypto.PublicKey) bool {
	public, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b)
}

// expiryNotice is how long before its expiry an active issuer is told of, if nothing
// takes its place.
const expiryNotice = 30 * 24 * time.Hour

// validities looks whether each series has an issuer that can sign.
func (e *examination) validities() {
	since := e.count()
	for _, s := range e.series {
		active := slices.IndexFunc(e.issuers, func(i telamon.Issuer) bool { return i.Series == s.ID && i.Status == telamon.IssuerActive })
		const do = "rotate the series: telamon issuer rotate"
		if active < 0 {
			e.fail("issuers", do, "series %s has no active issuer", s.Name)
			continue
		}
		left := e.issuers[active].Certificate.NotAfter.Sub(e.now)
		switch {
		case left <= 0:
			e.fail("issuers", do, "the active issuer of series %s has expired", s.Name)
		case left < expiryNotice:
			e.warn("issuers", do, "the active issuer of series %s expires in %s", s.Name, left.Round(time.Hour))
		}
	}
	e.sound(since, "issuers", "%d series have an active issuer", len(e.series))
}

// responderNotice is how long before its expiry an OCSP responder should have been
// exchanged.
const responderNotice = 12 * time.Hour

// responders looks whether the OCSP responders can answer: of each issuer, the one that
// lasts longest.
func (e *examination) responders(ctx context.Context) {
	all, err := e.db.Responders(ctx)
	if err != nil {
		e.fail("responders", "look at the database's own log", "%v", err)
		return
	}
	newest := map[telamon.IssuerID]store.Responder{}
	for _, r := range all {
		if n, ok := newest[r.Issuer]; r.Status == store.ResponderActive && (!ok || r.Certificate.NotAfter.After(n.Certificate.NotAfter)) {
			newest[r.Issuer] = r
		}
	}
	since := e.count()
	for _, i := range e.issuers {
		r, ok := newest[i.ID]
		if !ok {
			continue // made when the server first needs it
		}
		const do = "start the server, which exchanges it; if it runs, look at its log"
		switch left := r.Certificate.NotAfter.Sub(e.now); {
		case left <= 0:
			e.warn("responders", do, "the OCSP responder of issuer %s has expired", i.ID)
		case left < responderNotice && e.report.Running:
			e.warn("responders", do, "the OCSP responder of issuer %s expires in %s", i.ID, left.Round(time.Minute))
		}
	}
	e.sound(since, "responders", "%d issuers have an OCSP responder that is valid", len(newest))
}

// settled is how old a record must be to be compared: its certificate may be in a
// commit that is on its way.
const settled = time.Minute

var errEnough = errors.New("enough was read")

// journals compares the newest records of each issuer's key with the ledger: every
// certificate that was signed should be known, and every one that is known signed.
func (e *examination) journals(ctx context.Context) {
	if e.keys == nil {
		return
	}
	since, compared := e.count(), 0
	for _, i := range e.issuers {
		k, ok := e.key(i.KeyName)
		if !ok || k.Err != nil {
			continue
		}
		records, whole, err := e.newestRecords(k.Name)
		if err != nil {
			e.fail("journal", "keep a copy of the file, and find out what has damaged it", "%v", err)
			continue
		}
		n, err := e.reconcile(ctx, i, records, whole)
		if err != nil {
			e.fail("journal", "look at the database's own log", "%v", err)
			return
		}
		compared += n
	}
	e.sound(since, "journal", "%d signatures and the ledger agree", compared)
}

// reconcile compares records of an issuer's key with the ledger, and returns how many
// there are. Whole says that they are all of the journal.
func (e *examination) reconcile(ctx context.Context, i telamon.Issuer, records []keystore.Record, whole bool) (int, error) {
	var from time.Time
	if !whole {
		from = keystore.CompareFrom(records)
	}
	// Serial numbers tell their hour alone. Certificates of an hour that has not ended may
	// have come after the journal was read.
	until := e.now.Add(-settled).Truncate(time.Hour).Add(-time.Hour)
	r, err := keystore.Reconcile(records, e.db.SignedBy(ctx, i.ID, from, until))
	if err != nil {
		return 0, err
	}
	const look = "find out who has signed past it, or put its journal back: docs/HSM.md, \"The journal and the ledger\""
	if n := len(r.Unjournaled); n > 0 {
		e.fail("journal", look, "%d certificates of issuer %s are in no record of key %s, the last one %s", n, i.ID, i.KeyName, r.Unjournaled[n-1])
	}
	if n := len(r.Different); n > 0 {
		e.fail("journal", look, "%d certificates of issuer %s are not what key %s was to sign, the last one %s", n, i.ID, i.KeyName, r.Different[n-1])
	}
	unknown, err := e.unknown(ctx, r.Unledgered)
	if err != nil {
		return 0, err
	}
	if n := len(unknown); n > 0 {
		e.warn("journal", "requests that failed after their signature leave such; many, after a restore, are certificates that are lost: revoke each one with telamon revoke certificate SERIAL -issuer "+i.ID.String()+" -reason superseded",
			"key %s has signed %d certificates that are not in the ledger, the last one %s", i.KeyName, n, unknown[n-1])
	}
	return len(records), nil
}

// newestRecords returns the newest records of certificates in a key's journal, the
// oldest first, and whether they are all that are settled.
func (e *examination) newestRecords(name string) (records []keystore.Record, whole bool, err error) {
	most := cmp.Or(e.options.Records, defaultRecords)
	whole = true
	err = e.readJournal(name, func(r keystore.Record) error {
		switch {
		case !r.OfCertificate():
			return nil
		case r.At.After(e.now.Add(-settled)):
			return errEnough
		case len(records) >= 2*most:
			records, whole = append(records[:0], records[most:]...), false
		}
		records = append(records, r)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if len(records) > most {
		records, whole = records[len(records)-most:], false
	}
	return records, whole, err
}

// defaultRecords takes a second or so to compare.
const defaultRecords = 10_000

// unknown returns the serial numbers of neither a certificate nor a CA.
func (e *examination) unknown(ctx context.Context, serials []telamon.Serial) (unknown []telamon.Serial, err error) {
	cas := map[telamon.Serial]bool{}
	for _, i := range e.issuers {
		if serial, ok := telamon.SerialFromInt(i.Certificate.SerialNumber); ok {
			cas[serial] = true
		}
	}
	for _, serial := range serials {
		if cas[serial] {
			continue
		}
		known, err := e.db.KnowsSerial(ctx, serial)
		if err != nil {
			return nil, err
		}
		if !known {
			unknown = append(unknown, serial)
		}
	}
	return unknown, nil
}
