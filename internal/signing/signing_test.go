package signing_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// digest returns a digest of the hash that an algorithm's name begins with.
func digest(algorithm string) []byte {
	h := map[string]crypto.Hash{"SHA256": crypto.SHA256, "SHA384": crypto.SHA384, "SHA512": crypto.SHA512}[strings.ToUpper(algorithm[:6])].New()
	h.Write([]byte("what is signed"))
	return h.Sum(nil)
}

// TestSign signs by every algorithm of a key of each kind, verifies with the certificate,
// and finds each signature in the audit log.
func TestSign(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			keyType    tbs.KeyType
			algorithms []string
		}{
			{tbs.RSA2048, []string{"SHA256withRSA", "SHA384withRSA", "SHA512WithRSA", "SHA256withRSAandMGF1", "SHA384withRSASSA-PSS"}},
			{tbs.ECP384, []string{"SHA256withECDSA", "SHA384WithECDSA", "sha512withecdsa"}},
		} {
			k := w.create(t, string(tt.keyType), tt.keyType, &signing.NewCertificate{})
			for _, name := range tt.algorithms {
				s, err := w.Sign(t.Context(), w.signer, w.account, k.ID, name, digest(name))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if err := s.Algorithm.VerifyDigest(k.Certificate.PublicKey, digest(name), s.Octets); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				events := w.events(t, "key_pair.sign")
				e := events[len(events)-1]
				var after struct {
					Algorithm, Digest string
					Token             telamon.APITokenID `json:"api_token"`
				}
				if err := json.Unmarshal(e.After, &after); err != nil || e.ID != s.ID || e.Actor != w.signer.User.String() || e.Result != "ok" ||
					e.ClientCert != w.signer.ClientCert || e.Object != k.ID.String() || e.Account != w.account ||
					after.Digest != hex.EncodeToString(digest(name)) || after.Algorithm != s.Algorithm.String() || after.Token != w.signer.Token {
					t.Errorf("%s: the event %s of signature %s is %+v, %+v, %v", name, e.ID, s.ID, e, after, err)
				}
			}
		}
	})
}

func TestSignRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		k := w.create(t, "key", tbs.ECP256, nil)
		foreign, err := w.Create(ctx, operator, signing.NewKeyPair{Account: w.other, Name: "key", KeyType: "EC-P256"})
		must(t, err)
		gone := w.create(t, "gone", tbs.ECP256, nil)
		must(t, w.Delete(ctx, operator, w.account, gone.ID))
		stranger := w.signer
		stranger.Account = w.other
		good := digest("SHA256")
		for _, tt := range []struct {
			name      string
			actor     telamon.Actor
			account   telamon.AccountID
			id        telamon.KeyPairID
			algorithm string
			digest    []byte
			kind      fault.Kind
			code      string
		}{
			{"without the permission", w.reader, w.account, k.ID, "SHA256withECDSA", good, fault.Denied, "access_denied"},
			{"an operator", operator, w.account, k.ID, "SHA256withECDSA", good, fault.Denied, "access_denied"},
			{"in another account", stranger, w.account, k.ID, "SHA256withECDSA", good, fault.NotFound, "not_found"},
			{"another account's", w.signer, w.account, foreign.ID, "SHA256withECDSA", good, fault.NotFound, "key_pair_not_found"},
			{"none", w.signer, w.account, telamon.NewKeyPairID(), "SHA256withECDSA", good, fault.NotFound, "key_pair_not_found"},
			{"a deleted one", w.signer, w.account, gone.ID, "SHA256withECDSA", good, fault.NotFound, "key_pair_not_found"},
			{"by no algorithm", w.signer, w.account, k.ID, "", good, fault.Invalid, "invalid_signature_algorithm"},
			{"by SHA-1", w.signer, w.account, k.ID, "SHA1withECDSA", good[:20], fault.Invalid, "invalid_signature_algorithm"},
			{"by nothing", w.signer, w.account, k.ID, "NONEwithECDSA", good, fault.Invalid, "invalid_signature_algorithm"},
			{"by an algorithm of another key", w.signer, w.account, k.ID, "SHA256withRSA", good, fault.Invalid, "invalid_signature_algorithm"},
			{"by a long name", w.signer, w.account, k.ID, strings.Repeat("SHA256withECDSA", 1e5), good, fault.Invalid, "invalid_signature_algorithm"},
			{"a short digest", w.signer, w.account, k.ID, "SHA256withECDSA", good[:31], fault.Invalid, "invalid_digest"},
			{"a digest of another hash", w.signer, w.account, k.ID, "SHA384withECDSA", good, fault.Invalid, "invalid_digest"},
			{"no digest", w.signer, w.account, k.ID, "SHA256withECDSA", nil, fault.Invalid, "invalid_digest"},
		} {
			s, err := w.Sign(ctx, tt.actor, tt.account, tt.id, tt.algorithm, tt.digest)
			if f, ok := errors.AsType[*fault.Fault](err); !ok || s != nil || f.Kind != tt.kind || f.Code != tt.code {
				t.Errorf("%s: %+v, %v; want %s %s", tt.name, s, err, tt.kind, tt.code)
			}
		}
		for record, err := range w.keys.ReadJournal(k.KeyName) {
			t.Errorf("what was refused is journaled: %+v, %v", record, err)
		}
		if n := len(w.events(t, "key_pair.sign")); n != 0 {
			t.Errorf("the audit log has %d events of signatures", n)
		}
	})
}

// TestDisabled holds that a key pair signs exactly while it is active.
func TestDisabled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		k := w.create(t, "key", tbs.ECP256, nil)
		sign := func() error {
			_, err := w.Sign(ctx, w.signer, w.account, k.ID, "SHA256withECDSA", digest("SHA256"))
			return err
		}
		must(t, w.Disable(ctx, operator, w.account, k.ID))
		mustBe(t, sign(), fault.Conflict, "key_pair_not_active")
		if events := w.events(t, "key_pair.sign"); len(events) != 1 || events[0].Result != "key_pair_not_active" {
			t.Errorf("the audit log has the events %+v, want the refusal", events)
		}
		mustBe(t, w.Disable(ctx, operator, w.account, k.ID), fault.Conflict, "wrong_state")
		must(t, w.Enable(ctx, operator, w.account, k.ID))
		must(t, sign())
		mustBe(t, w.Enable(ctx, w.signer, w.account, k.ID), fault.Denied, "access_denied")
		mustBe(t, w.Disable(ctx, w.reader, w.account, k.ID), fault.Denied, "access_denied")
		mustBe(t, w.Delete(ctx, w.signer, w.account, k.ID), fault.Denied, "access_denied")
		manager := w.reader
		manager.Roles = []string{"SM_KEY_MANAGER"}
		must(t, w.Disable(ctx, manager, w.account, k.ID))
		mustBe(t, sign(), fault.Conflict, "key_pair_not_active")
	})
}

// TestNothingUnrecorded holds that no signature is given whose event is not recorded: of
// many that sign while the key pair is disabled, those have one that got a signature.
func TestNothingUnrecorded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.create(t, "key", tbs.ECP256, nil)
		var mu sync.Mutex
		given := map[telamon.EventID]bool{}
		ctx, signed := t.Context(), make(chan struct{}, 1)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 200 {
					s, err := w.Sign(ctx, w.signer, w.account, k.ID, "SHA256withECDSA", digest("SHA256"))
					if fault.Is(err, fault.Conflict) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					given[s.ID] = true
					mu.Unlock()
					select {
					case signed <- struct{}{}:
					default:
					}
				}
			})
		}
		<-signed
		must(t, w.Disable(ctx, operator, w.account, k.ID))
		all.Wait()
		recorded, filter := 0, store.AuditFilter{Action: "key_pair.sign", Result: "ok", Limit: 1000}
		for range 4 {
			page, err := w.db.AuditEvents(ctx, filter)
			must(t, err)
			for _, e := range page.Events {
				if !given[e.ID] {
					t.Errorf("event %s is of no signature that was given", e.ID)
				}
				recorded++
			}
			if filter.After = page.Next; filter.After == "" {
				break
			}
		}
		if recorded != len(given) || recorded == 0 {
			t.Errorf("%d signatures were given and %d are recorded", len(given), recorded)
		}
	})
}

// TestCreate makes key pairs with certificates by two series.
func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		bare := w.create(t, "Bare key_1", tbs.ECP256, nil)
		if chain, err := w.Chain(bare); bare.Certificate != nil || chain != nil || err != nil {
			t.Errorf("a key pair without a certificate has %v and the chain %v, %v", bare.Certificate, chain, err)
		}
		document := x509.OID{}
		must(t, document.UnmarshalText([]byte("1.3.6.1.5.5.7.3.36")))
		code := x509.OID{}
		must(t, code.UnmarshalText([]byte("1.3.6.1.5.5.7.3.3")))
		for series, usages := range map[string][]x509.OID{"signing-ec": {document}, "any-ec": {code, document}} {
			w.Series = series
			k := w.create(t, series, tbs.ECP256, &signing.NewCertificate{CommonName: "Build", Days: 30})
			got, err := w.KeyPair(ctx, w.signer, w.account, k.ID)
			if err != nil || !got.Certificate.Equal(k.Certificate) {
				t.Errorf("the key pair is %+v, %v", got, err)
			}
			chain, err := w.Chain(&got)
			must(t, err)
			roots, cas := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(chain[1])
			cas.AddCert(chain[0])
			if _, err := got.Certificate.Verify(x509.VerifyOptions{
				Roots: roots, Intermediates: cas, CurrentTime: w.clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			}); err != nil {
				t.Errorf("%s: %v", series, err)
			}
			facts, err := tbs.Inspect(got.Certificate.RawTBSCertificate)
			must(t, err)
			if subject := got.Certificate.Subject.String(); subject != "CN=Build,O=Acme" || !slices.EqualFunc(facts.ExtKeyUsage, usages, x509.OID.Equal) ||
				got.Certificate.KeyUsage != x509.KeyUsageDigitalSignature || !bytes.Equal(got.Certificate.RawSubjectPublicKeyInfo, k.SPKI) {
				t.Errorf("%s: the certificate is for %s with the usages %v and %v", series, subject, facts.ExtKeyUsage, got.Certificate.KeyUsage)
			}
			if want := w.clock.Now().Add(-time.Hour).AddDate(0, 0, 30).Add(-time.Second); !got.Certificate.NotAfter.Equal(want) {
				t.Errorf("%s: it ends at %s, want %s", series, got.Certificate.NotAfter, want)
			}
			if revoked, known, err := w.db.IsRevoked(ctx, k.Serial); revoked || !known || err != nil {
				t.Errorf("%s: it is revoked %t and known %t, %v", series, revoked, known, err)
			}
		}
		events := w.events(t, "key_pair.create")
		if len(events) != 3 || events[0].Object != bare.ID.String() {
			t.Errorf("the audit log has the events %+v, want three", events)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.create(t, "taken", tbs.ECP256, nil)
		before := w.keys.Names()
		for _, tt := range []struct {
			name  string
			actor telamon.Actor
			req   signing.NewKeyPair
			kind  fault.Kind
			code  string
		}{
			{"without the permission", w.signer, signing.NewKeyPair{Account: w.account, Name: "a", KeyType: "EC-P256"}, fault.Denied, "access_denied"},
			{"without a name", operator, signing.NewKeyPair{Account: w.account, KeyType: "EC-P256"}, fault.Invalid, "invalid_key_pair"},
			{"by a bad name", operator, signing.NewKeyPair{Account: w.account, Name: "a/b", KeyType: "EC-P256"}, fault.Invalid, "invalid_key_pair"},
			{"by a long name", operator, signing.NewKeyPair{Account: w.account, Name: strings.Repeat("a", 256), KeyType: "EC-P256"}, fault.Invalid, "invalid_key_pair"},
			{"by a taken name", operator, signing.NewKeyPair{Account: w.account, Name: "TAKEN", KeyType: "EC-P256"}, fault.Conflict, "name_taken"},
			{"of no type", operator, signing.NewKeyPair{Account: w.account, Name: "a", KeyType: "RSA-1024"}, fault.Invalid, "invalid_key_pair"},
			{"of no account", operator, signing.NewKeyPair{Account: telamon.NewAccountID(), Name: "a", KeyType: "EC-P256"}, fault.NotFound, "account_not_found"},
			{"for too long", operator, signing.NewKeyPair{Account: w.account, Name: "a", KeyType: "EC-P256", Certify: &signing.NewCertificate{Days: 1096}}, fault.Invalid, "invalid_key_pair"},
			{"for less than nothing", operator, signing.NewKeyPair{Account: w.account, Name: "a", KeyType: "EC-P256", Certify: &signing.NewCertificate{Days: -1}}, fault.Invalid, "invalid_key_pair"},
			{"for a long common name", operator, signing.NewKeyPair{
				Account: w.account, Name: "a", KeyType: "EC-P256", Certify: &signing.NewCertificate{CommonName: strings.Repeat("a", 65)},
			}, fault.Invalid, "invalid_key_pair"},
		} {
			_, err := w.Create(ctx, tt.actor, tt.req)
			if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Kind != tt.kind || f.Code != tt.code {
				t.Errorf("%s: %v, want %s %s", tt.name, err, tt.kind, tt.code)
			}
		}
		w.Series = "any-ec" // whose CA ends in a year
		_, err := w.Create(ctx, operator, signing.NewKeyPair{Account: w.account, Name: "a", KeyType: "EC-P256", Certify: &signing.NewCertificate{Days: 800}})
		mustBe(t, err, fault.Invalid, "issuer_limit")
		w.keys.bind = errors.New("a fault")
		_, err = w.Create(ctx, operator, signing.NewKeyPair{Account: w.account, Name: "a", KeyType: "EC-P256"})
		mustBe(t, err, fault.Unavailable, "signing_failed")
		if after := w.keys.Names(); !slices.Equal(before, after) {
			t.Errorf("the keystore has the keys %q, and had %q", after, before)
		}
	})
}

// TestDelete holds that the key goes with the key pair, at the latest by a sweep.
func TestDelete(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		deleted, late := w.create(t, "deleted", tbs.ECP256, &signing.NewCertificate{}), w.create(t, "late", tbs.ECP256, nil)
		revoked, kept := w.create(t, "revoked", tbs.ECP256, &signing.NewCertificate{}), w.create(t, "kept", tbs.ECP256, nil)
		must(t, w.Delete(ctx, operator, w.account, deleted.ID))
		mustBe(t, w.Delete(ctx, operator, w.account, deleted.ID), fault.Conflict, "wrong_state")
		if is, _, err := w.db.IsRevoked(ctx, deleted.Serial); is || err != nil {
			t.Errorf("the certificate of the deleted one is revoked: %t, %v", is, err)
		}
		_, err := w.KeyPair(ctx, w.signer, w.account, deleted.ID)
		mustBe(t, err, fault.NotFound, "key_pair_not_found")

		w.keys.destroy = errors.New("a fault")
		mustBe(t, w.Delete(ctx, operator, w.account, late.ID), fault.Unavailable, "key_not_destroyed")
		if err := w.Sweep(ctx); err == nil {
			t.Error("a sweep that destroys nothing reports nothing")
		}
		w.keys.destroy = nil
		for range 2 {
			must(t, w.Sweep(ctx))
		}

		mustBe(t, w.Revoke(ctx, operator, w.account, revoked.ID, "why not"), fault.Invalid, "invalid_reason")
		mustBe(t, w.Revoke(ctx, w.signer, w.account, revoked.ID, telamon.ReasonSuperseded), fault.Denied, "access_denied")
		mustBe(t, w.Revoke(ctx, operator, w.account, kept.ID, telamon.ReasonSuperseded), fault.Conflict, "no_certificate")
		must(t, w.Revoke(ctx, operator, w.account, revoked.ID, telamon.ReasonSuperseded))
		mustBe(t, w.Revoke(ctx, operator, w.account, revoked.ID, telamon.ReasonSuperseded), fault.Conflict, "already_revoked")
		must(t, w.Revoke(ctx, operator, w.account, deleted.ID, telamon.ReasonKeyCompromise)) // what comes to light later
		for _, k := range []*telamon.KeyPair{deleted, revoked} {
			if is, _, err := w.db.IsRevoked(ctx, k.Serial); !is || err != nil {
				t.Errorf("the certificate of %s is revoked: %t, %v", k.Name, is, err)
			}
		}
		_, err = w.Sign(ctx, w.signer, w.account, revoked.ID, "SHA256withECDSA", digest("SHA256"))
		mustBe(t, err, fault.Conflict, "key_pair_not_active")
		for _, k := range []*telamon.KeyPair{deleted, late, revoked} {
			if _, err := w.keys.Public(k.KeyName); !errors.Is(err, keystore.ErrNoKey) {
				t.Errorf("the key of %s: %v, want none", k.Name, err)
			}
		}
		if _, err := w.keys.Public(kept.KeyName); err != nil {
			t.Error(err)
		}
	})
}

// TestKeystoreFails holds that no signature leaves which is wrong, and that nothing is
// recorded of what was not signed.
func TestKeystoreFails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k := w.create(t, "key", tbs.RSA2048, nil)
		sign := func(ctx context.Context) (*signing.Signature, error) {
			return w.Sign(ctx, w.signer, w.account, k.ID, "SHA256withRSA", digest("SHA256"))
		}
		w.keys.flip = true
		if s, err := sign(t.Context()); s != nil || fault.From(err).Kind != fault.Internal {
			t.Errorf("a wrong signature: %+v, %v", s, err)
		}
		w.keys.flip, w.keys.sign = false, errors.New("a fault")
		_, err := sign(t.Context())
		mustBe(t, err, fault.Unavailable, "signing_failed")
		w.keys.sign = nil
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if s, err := sign(ended); s != nil || err == nil {
			t.Errorf("for nobody: %+v, %v", s, err)
		}
		if events := w.events(t, "key_pair.sign"); len(events) > 0 {
			t.Errorf("the audit log has %+v", events[0])
		}
		if _, err := sign(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestReplica signs with a key that another process with the same keystore has made since.
func TestReplica(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		dir, kek := t.TempDir()+"/keys", keystore.KEK{}
		kek, _ = keystore.NewKEK()
		first, err := keystore.Create(keystore.Config{Dir: dir, KEK: kek, Clock: w.clock})
		must(t, err)
		defer first.Close()
		second, err := keystore.Open(keystore.Config{Dir: dir, KEK: kek, Clock: w.clock})
		must(t, err)
		defer second.Close()
		k, err := w.replica(first).Create(t.Context(), operator, signing.NewKeyPair{Account: w.account, Name: "key", KeyType: "EC-P256"})
		must(t, err)
		replica := w.replica(second)
		sign := func() error {
			_, err := replica.Sign(t.Context(), w.signer, w.account, k.ID, "SHA256withECDSA", digest("SHA256"))
			return err
		}
		mustBe(t, sign(), fault.Unavailable, "signing_failed")
		replica.ReadKeys = second.Refresh
		must(t, sign())
		must(t, w.replica(first).Delete(t.Context(), operator, w.account, k.ID))
		mustBe(t, sign(), fault.NotFound, "key_pair_not_found")
		must(t, replica.Sweep(t.Context()))
		if names := second.Names(); len(names) != 0 {
			t.Errorf("the other process has the keys %q", names)
		}
	})
}

func TestKeyPairsAreTheAccounts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.create(t, "a", tbs.ECP256, nil)
		w.create(t, "b", tbs.ECP256, &signing.NewCertificate{})
		pairs, total, err := w.KeyPairs(ctx, w.signer, w.account, store.KeyPairFilter{Limit: 10, Status: store.CertificateActive})
		if err != nil || total != 1 || len(pairs) != 1 || pairs[0].Name != "b" {
			t.Errorf("the key pairs with a certificate are %d: %+v, %v", total, pairs, err)
		}
		_, _, err = w.KeyPairs(ctx, w.reader, w.account, store.KeyPairFilter{Limit: 10})
		mustBe(t, err, fault.Denied, "access_denied")
		_, _, err = w.KeyPairs(ctx, w.signer, w.other, store.KeyPairFilter{Limit: 10})
		mustBe(t, err, fault.NotFound, "not_found")
		_, err = w.KeyPair(ctx, w.reader, w.account, pairs[0].ID)
		mustBe(t, err, fault.Denied, "access_denied")
	})
}
