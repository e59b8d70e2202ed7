package directory_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

const now = "2026-11-22T23:59:30Z"

var operator = telamon.Actor{Kind: telamon.ActorOperator}

// template is a policy whose organization comes from the identity.
const template = `{
	"validity": {"secondsmin": 1, "secondsmax": 86400},
	"subject_dn": {
		"common_name": {"presence": "REQUIRED", "format": "^[a-z]+$"},
		"organization": {"presence": "STATIC", "format": "{{identity.organization}}"}
	},
	"extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.2"]}},
	"signature": {
		"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]},
		"hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}
	},
	"public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
	"public_key_signature": "OPTIONAL"
}`

// world is one account with a credential and a client certificate.
type world struct {
	url        string
	db         *store.DB
	clock      *testkit.Clock
	series     telamon.Series
	issuer     telamon.Issuer
	account    telamon.Account
	service    telamon.Service
	sub        telamon.Subscription
	identity   telamon.Identity
	credential telamon.Credential
	cert       telamon.ClientCert
}

// each runs f on both databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := testkit.NewClock(t, now)
		w := &world{url: url, db: dbtest.Open(t, url, clock), clock: clock}
		w.fill(t)
		f(t, w)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) fill(t testing.TB) {
	t.Helper()
	ctx, hierarchy := t.Context(), telamon.NewHierarchyID()
	w.series = telamon.Series{
		ID: telamon.NewSeriesID(), Hierarchy: hierarchy, Name: "tls-ec", KeyType: "EC-P256", EKUFamily: telamon.EKUTLS,
		Rotation: telamon.RotateYearly, LeadDays: 60,
	}
	w.issuer = telamon.Issuer{
		ID: telamon.NewIssuerID(), Hierarchy: hierarchy, Series: w.series.ID, Role: telamon.RoleIssuing, Status: telamon.IssuerActive,
		KeyName: "tls-1", Certificate: caCertificate(t, w.clock.Now()), CRLShards: 1, ActivateAt: w.clock.Now(),
	}
	must(t, w.db.CreateHierarchy(ctx, operator, store.Hierarchy{
		ID: hierarchy, Kind: telamon.HierarchyTLS, Name: "tls", Series: []telamon.Series{w.series}, Issuers: []telamon.Issuer{w.issuer},
	}))
	w.account = telamon.Account{ID: telamon.NewAccountID(), Name: "Acme"}
	must(t, w.db.CreateAccount(ctx, operator, &w.account))
	w.service = telamon.Service{ID: telamon.NewServiceID(), Name: "tls", PolicyTemplate: []byte(template), Series: w.series.ID, Unlimited: true}
	must(t, w.db.CreateService(ctx, operator, &w.service))
	w.sub = telamon.Subscription{ID: telamon.NewSubscriptionID(), Account: w.account.ID, Service: w.service.ID}
	must(t, w.db.CreateSubscription(ctx, operator, &w.sub))
	w.identity = telamon.Identity{ID: telamon.NewIdentityID(), Account: w.account.ID, Name: "Acme", Data: map[string]string{"organization": "Acme K.K."}}
	must(t, w.db.CreateIdentity(ctx, operator, &w.identity))
	w.move(t, telamon.IdentityDraft, telamon.IdentityActive, time.Time{})
	w.credential = w.newCredential("first")
	must(t, w.db.CreateCredential(ctx, operator, &w.credential, w.sub.ID, w.identity.ID, nil))
	id := telamon.NewClientCertID()
	w.cert = telamon.ClientCert{
		ID: id, Account: w.account.ID, Fingerprint: sha256.Sum256([]byte(id)), Serial: telamon.NewSerial(w.clock.Now()), Issuer: w.issuer.ID,
		Certificate: w.issuer.Certificate, NotAfter: w.clock.Now().Add(time.Hour), Credentials: []telamon.CredentialID{w.credential.ID},
	}
	must(t, w.db.CreateClientCert(ctx, operator, &w.cert))
}

func (w *world) newCredential(name string) telamon.Credential {
	id := telamon.NewCredentialID()
	return telamon.Credential{
		ID: id, Account: w.account.ID, Name: name, Key: id.String()[len(id)-16:], SecretMAC: []byte("mac"), MTLS: telamon.MTLSRequired,
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
}

func (w *world) move(t testing.TB, from, to telamon.IdentityState, expires time.Time) {
	t.Helper()
	must(t, w.db.MoveIdentity(t.Context(), operator, w.account.ID, w.identity.ID, store.IdentityMove{
		From: from, To: to, Action: "identity.activate", ExpiresAt: expires,
	}))
}

func caCertificate(t testing.TB, at time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: at.Add(-time.Hour), NotAfter: at.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

func (w *world) open(t testing.TB, db *store.DB) *directory.Directory {
	t.Helper()
	d, err := directory.New(t.Context(), directory.Config{Store: db, Clock: w.clock})
	must(t, err)
	return d
}

func mustBe(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != kind || f.Code != code {
		t.Errorf("the error is %v, want %s %s", err, kind, code)
	}
}

// TestLookups finds everything in a fresh snapshot, and the same by queries when
// the snapshot is stale.
func TestLookups(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.open(t, w.db)
		check := func(t *testing.T) {
			ctx := t.Context()
			byKey, err := d.CredentialByKey(ctx, w.credential.Key)
			if err != nil || byKey.ID != w.credential.ID || byKey.AllowedIPs[0] != w.credential.AllowedIPs[0] || byKey.Epoch != 1 {
				t.Errorf("CredentialByKey = %+v, %v, want %+v", byKey, err, w.credential)
			}
			if c, err := d.Credential(ctx, w.credential.ID); err != nil || c.Key != w.credential.Key {
				t.Errorf("Credential = %+v, %v, want %+v", c, err, w.credential)
			}
			cert, err := d.ClientCert(ctx, w.cert.Fingerprint)
			if err != nil || cert.ID != w.cert.ID || !slices.Equal(cert.Credentials, w.cert.Credentials) || cert.Certificate != nil {
				t.Errorf("ClientCert = %+v, %v, want %+v without its parsed form", cert, err, w.cert)
			}
			if a, err := d.Account(ctx, w.account.ID); err != nil || *a != w.account {
				t.Errorf("Account = %+v, %v, want %+v", a, err, w.account)
			}
			if i, err := d.ActiveIssuer(ctx, w.credential.Pair); err != nil || i.ID != w.issuer.ID {
				t.Errorf("ActiveIssuer = %+v, %v, want %s", i, err, w.issuer.ID)
			}
			if s, err := d.SeriesNamed(ctx, "tls-ec"); err != nil || *s != w.series {
				t.Errorf("SeriesNamed = %+v, %v, want %+v", s, err, w.series)
			}
			scope, err := d.Scope(ctx, w.credential.Pair)
			if err != nil {
				t.Fatal(err)
			}
			if scope.Account != w.account || scope.Subscription != w.sub || scope.Service.ID != w.service.ID || scope.Identity.ID != w.identity.ID {
				t.Errorf("Scope = %+v", scope)
			}
			if org := scope.Policy.Model().SubjectDN.Strings["organization"].Format; org != "Acme K.K." {
				t.Errorf("the policy's organization is %q, want the identity's", org)
			}
			for name, err := range map[string]error{
				"key":         errorOf(d.CredentialByKey(ctx, "0000000000000000")),
				"credential":  errorOf(d.Credential(ctx, telamon.NewCredentialID())),
				"certificate": errorOf(d.ClientCert(ctx, [32]byte{1})),
				"account":     errorOf(d.Account(ctx, telamon.NewAccountID())),
				"pair":        errorOf(d.Scope(ctx, 99)),
				"issuer":      errorOf(d.ActiveIssuer(ctx, 99)),
				"series":      errorOf(d.SeriesNamed(ctx, "none")),
			} {
				if !fault.Is(err, fault.NotFound) {
					t.Errorf("an unknown %s: %v, want not found", name, err)
				}
			}
		}
		t.Run("snapshot", check)
		w.clock.Advance(1001 * time.Millisecond)
		if d.Fresh() {
			t.Error("the directory is fresh a second after its last poll")
		}
		t.Run("queries", check)
	})
}

func errorOf[T any](_ T, err error) error { return err }

// TestFreshness checks that what another process changed is not known until a
// poll, that a stale directory asks the database, and that one without a database
// refuses.
func TestFreshness(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.open(t, w.db)
		state := func() telamon.State {
			t.Helper()
			c, err := d.Credential(ctx, w.credential.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c.State
		}
		_, err := w.db.SetCredentialState(ctx, operator, w.account.ID, w.credential.ID, telamon.Disabled)
		must(t, err)
		if s := state(); s != telamon.Active {
			t.Errorf("before the poll the credential is %s; the snapshot was not used", s)
		}
		w.clock.Advance(1001 * time.Millisecond)
		if s := state(); s != telamon.Disabled {
			t.Errorf("a stale directory says %s, want disabled", s)
		}
		must(t, d.Poll(ctx))
		if s := state(); !d.Fresh() || s != telamon.Disabled {
			t.Errorf("after the poll: fresh %t, %s, want disabled", d.Fresh(), s)
		}
		w.clock.Advance(1001 * time.Millisecond)
		must(t, w.db.Close())
		if err := d.Poll(ctx); err == nil {
			t.Error("a poll without a database succeeds")
		}
		_, err = d.Credential(ctx, w.credential.ID)
		mustBe(t, err, fault.Unavailable, "directory_unavailable")
		_, err = d.Scope(ctx, w.credential.Pair)
		mustBe(t, err, fault.Unavailable, "directory_unavailable")
	})
}

// TestRefresh checks that a change is known as soon as Refresh returns, and that a
// directory that could not read one does not go on as if nothing had happened.
func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.open(t, w.db)
		changes, err := w.db.SetCredentialState(ctx, operator, w.account.ID, w.credential.ID, telamon.Deleted)
		must(t, err)
		d.Refresh(ctx, changes...)
		_, err = d.CredentialByKey(ctx, w.credential.Key)
		mustBe(t, err, fault.NotFound, "credential_not_found")
		if cert, err := d.ClientCert(ctx, w.cert.Fingerprint); err != nil || len(cert.Credentials) != 0 {
			t.Errorf("the certificate is %+v, %v, want one without links", cert, err)
		}
		must(t, w.db.Close())
		d.Refresh(ctx, store.Change{Kind: store.ChangeAccount, Object: w.account.ID.String()})
		if d.Fresh() {
			t.Error("the directory is fresh although it could not read a change")
		}
	})
}

// TestFollow changes everything through another process's database and checks that
// one poll brings it all.
func TestFollow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		other := dbtest.Open(t, w.url, w.clock)
		var announced []telamon.IssuerID
		d, err := directory.New(ctx, directory.Config{
			Store: other, Clock: w.clock, OnIssuers: func(issuers []telamon.Issuer, _ []telamon.Series) {
				for _, i := range issuers {
					announced = append(announced, i.ID)
				}
			},
		})
		must(t, err)
		w.clock.Advance(store.ChangeGap) // not yet the time of a reconciliation
		second := w.newCredential("second")
		must(t, w.db.CreateCredential(ctx, operator, &second, w.sub.ID, w.identity.ID, nil))
		must(t, w.db.ChangeClientCertLinks(ctx, operator, w.account.ID, w.cert.ID, []telamon.CredentialID{second.ID}, w.cert.Credentials))
		must(t, w.db.SetAccountState(ctx, operator, w.account.ID, telamon.Disabled))
		changed := w.service
		changed.StrictCAA = true
		must(t, w.db.ChangeService(ctx, operator, &changed))
		alone := telamon.Identity{ID: telamon.NewIdentityID(), Account: w.account.ID, Name: "of no credential", Data: w.identity.Data}
		must(t, w.db.CreateIdentity(ctx, operator, &alone))
		pair, made, err := w.db.MakePair(ctx, w.account.ID, w.sub.ID, alone.ID)
		if err != nil || !made {
			t.Fatalf("MakePair = %+v, %v, %v", pair, made, err)
		}
		if again, made, err := w.db.MakePair(ctx, w.account.ID, w.sub.ID, alone.ID); err != nil || made || again != pair {
			t.Errorf("MakePair = %+v, %v, %v, want %+v again", again, made, err, pair)
		}
		hierarchy := telamon.NewHierarchyID()
		must(t, w.db.CreateHierarchy(ctx, operator, store.Hierarchy{
			ID: hierarchy, Kind: telamon.HierarchySigning, Name: "signing",
			Series: []telamon.Series{{ID: telamon.NewSeriesID(), Hierarchy: hierarchy, Name: "signing", KeyType: "EC-P256", EKUFamily: telamon.EKUSigning}},
			Issuers: []telamon.Issuer{{
				ID: telamon.NewIssuerID(), Hierarchy: hierarchy, Role: telamon.RoleRoot, Status: telamon.IssuerActive, KeyName: "s",
				Certificate: caCertificate(t, w.clock.Now()), CRLShards: 1, ActivateAt: w.clock.Now(),
			}},
		}))
		must(t, d.Poll(ctx))
		if c, err := d.CredentialByKey(ctx, second.Key); err != nil || c.ID != second.ID {
			t.Errorf("the new credential: %+v, %v", c, err)
		}
		if cert, err := d.ClientCert(ctx, w.cert.Fingerprint); err != nil || !slices.Equal(cert.Credentials, []telamon.CredentialID{second.ID}) {
			t.Errorf("the certificate is linked to %v, %v, want %s", cert.Credentials, err, second.ID)
		}
		_, err = d.ReadScope(ctx, w.credential.Pair)
		mustBe(t, err, fault.Denied, "account_not_active")
		must(t, w.db.SetAccountState(ctx, operator, w.account.ID, telamon.Active))
		must(t, d.Poll(ctx))
		if scope, err := d.Scope(ctx, w.credential.Pair); err != nil || !scope.Service.StrictCAA || scope.Service.Version != 2 {
			t.Errorf("the scope is %+v, %v, want version 2 of the service", scope, err)
		}
		if scope, err := d.ReadScope(ctx, pair.ID); err != nil || scope.Identity.ID != alone.ID {
			t.Errorf("the scope of the new pair is %+v, %v", scope, err)
		}
		if _, err := d.SeriesNamed(ctx, "signing"); err != nil || len(announced) != 3 {
			t.Errorf("the new series: %v; announced were %v, want one issuer and then two", err, announced)
		}
	})
}

// TestReconcile checks that the minute's reading brings what the feed did not tell.
func TestReconcile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.open(t, w.db)
		behind := testkit.NewClock(t, "2026-11-22T23:58:30Z") // so that the feed does not reach back to the change
		second := w.newCredential("second")
		must(t, dbtest.Open(t, w.url, behind).CreateCredential(ctx, operator, &second, w.sub.ID, w.identity.ID, nil))
		for range 59 {
			w.clock.Advance(time.Second)
			must(t, d.Poll(ctx))
		}
		if _, err := d.Credential(ctx, second.ID); err == nil {
			t.Fatal("the feed still had the change; this proves nothing")
		}
		w.clock.Advance(time.Second)
		must(t, d.Poll(ctx))
		if _, err := d.Credential(ctx, second.ID); err != nil {
			t.Errorf("after the reconciliation: %v", err)
		}
	})
}

// TestStall checks that the first poll after a time without one knows everything,
// also what the feed does not tell any more, and whichever way the clock went.
func TestStall(t *testing.T) {
	for name, at := range map[string]string{
		"longer than the feed reaches back": "2026-11-22T23:59:50Z",
		"longer than a gap":                 "2026-11-22T23:59:35.001Z",
		"a clock that went back":            "2026-11-22T23:59:10Z",
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				clock := &struct{ telamon.Clock }{w.clock}
				ctx := t.Context()
				d, err := directory.New(ctx, directory.Config{Store: dbtest.Open(t, w.url, clock), Clock: clock})
				must(t, err)
				behind := testkit.NewClock(t, "2026-11-22T23:58:30Z") // the feed tells nothing
				_, err = dbtest.Open(t, w.url, behind).SetCredentialState(ctx, operator, w.account.ID, w.credential.ID, telamon.Disabled)
				must(t, err)
				clock.Clock = testkit.NewClock(t, at)
				if d.Fresh() {
					t.Error("the directory is fresh without a poll")
				}
				must(t, d.Poll(ctx))
				if c, err := d.Credential(ctx, w.credential.ID); err != nil || c.State != telamon.Disabled || !d.Fresh() {
					t.Errorf("after the first poll: fresh %t, %+v, %v, want disabled", d.Fresh(), c, err)
				}
			})
		})
	}
}

// TestScopeOfIdentity goes through what an identity allows.
func TestScopeOfIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.open(t, w.db)
		refresh := func() {
			d.Refresh(ctx, store.Change{Kind: store.ChangeIdentity, Object: w.identity.ID.String()})
		}
		expires := w.clock.Now().Add(time.Minute)
		w.move(t, telamon.IdentityActive, telamon.IdentityActive, expires)
		refresh()
		if _, err := d.Scope(ctx, w.credential.Pair); err != nil {
			t.Errorf("before its end: %v", err)
		}
		w.clock.Advance(time.Minute)
		must(t, d.Poll(ctx))
		_, err := d.Scope(ctx, w.credential.Pair)
		mustBe(t, err, fault.Denied, "identity_expired")
		w.move(t, telamon.IdentityActive, telamon.IdentityExpired, expires)
		refresh()
		_, err = d.Scope(ctx, w.credential.Pair)
		mustBe(t, err, fault.Denied, "identity_not_active")
		if scope, err := d.ReadScope(ctx, w.credential.Pair); err != nil || scope.Policy == nil {
			t.Errorf("for reading: %v, want a scope with its policy", err)
		}
	})
}

// TestPolicy checks that a policy is compiled once per version of the service and
// kept, and that a service that does not fit the identity is refused.
func TestPolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.open(t, w.db)
		first, err := d.Scope(ctx, w.credential.Pair)
		must(t, err)
		again, err := d.Scope(ctx, w.credential.Pair)
		must(t, err)
		if first.Policy != again.Policy {
			t.Error("the policy was compiled twice")
		}
		if model, err := w.db.PolicyVersion(ctx, first.PolicyVersion); err != nil || len(model) == 0 {
			t.Errorf("the policy version %s is kept as %q, %v", first.PolicyVersion, model, err)
		}
		w.service.PolicyTemplate = []byte(`{"public_key": {"key_type": "ECDSA"}}`)
		must(t, w.db.ChangeService(ctx, operator, &w.service))
		d.Refresh(ctx, store.Change{Kind: store.ChangeService, Object: w.service.ID.String()})
		_, err = d.Scope(ctx, w.credential.Pair)
		mustBe(t, err, fault.Denied, "policy_unusable")
		if _, err := d.Compile(ctx, &w.service, w.identity.Data); !fault.Is(err, fault.Invalid) {
			t.Errorf("Compile of a broken template: %v, want invalid", err)
		}
		if first.PolicyVersion == "" || first.Policy.Model() == nil {
			t.Error("the scope of before changed")
		}
	})
}

// TestAtOnce reads while others change: every answer must be one of the states
// that were committed, and the last one must win.
func TestAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.open(t, w.db)
		done, stop := context.WithCancel(ctx)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for done.Err() == nil {
					if c, err := d.CredentialByKey(ctx, w.credential.Key); err != nil || c.State == telamon.Deleted {
						t.Errorf("while it changes: %+v, %v", c, err)
						return
					}
					if _, err := d.Scope(ctx, w.credential.Pair); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		readers.Go(func() {
			for done.Err() == nil {
				if err := d.Poll(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for i := range 20 {
			to := telamon.Disabled
			if i%2 == 1 {
				to = telamon.Active
			}
			changes, err := w.db.SetCredentialState(ctx, operator, w.account.ID, w.credential.ID, to)
			if err != nil {
				t.Error(err)
				break
			}
			d.Refresh(ctx, changes...)
			if c, err := d.Credential(ctx, w.credential.ID); err != nil || c.State != to || c.Epoch != int64(i+2) {
				t.Errorf("change %d: %+v, %v, want %s of epoch %d", i, c, err, to, i+2)
			}
		}
		stop()
		readers.Wait()
	})
}

// TestRun follows the feed by itself until its context ends.
func TestRun(t *testing.T) {
	clock := testkit.NewClock(t, now)
	w := &world{url: dbtest.SQLite(t), clock: clock}
	w.db = dbtest.Open(t, w.url, clock)
	w.fill(t)
	d := w.open(t, w.db)
	clock.Advance(2 * time.Second)
	if d.Fresh() {
		t.Fatal("the directory is fresh without a poll; this proves nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, ticks := make(chan struct{}), make(chan time.Time)
	go func() {
		d.Run(ctx, ticks)
		close(ended)
	}()
	ticks <- clock.Now()
	ticks <- clock.Now() // received when the first poll is over
	if !d.Fresh() {
		t.Error("the directory did not poll")
	}
	cancel()
	<-ended
}

// BenchmarkScope is a lookup of every request.
func BenchmarkScope(b *testing.B) {
	clock := testkit.NewClock(b, now)
	w := &world{url: dbtest.SQLite(b), clock: clock}
	w.db = dbtest.Open(b, w.url, clock)
	w.fill(b)
	d := w.open(b, w.db)
	for b.Loop() {
		if _, err := d.Scope(b.Context(), w.credential.Pair); err != nil {
			b.Fatal(err)
		}
	}
}
