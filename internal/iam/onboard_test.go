package iam_test

import (
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// delivered is what a customer finds in a delivery.
type delivered struct {
	Key    string `json:"api_key"`
	Secret string `json:"api_secret"`
}

// open decrypts a delivery as customers do, by the command that they are told, and
// by crypto/rsa.
func open(t testing.TB, delivery iam.Delivery, i int) delivered {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), []byte(privatePEM(t, i)), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "credential.enc"), delivery, 0o600))
	text := openssl(t, dir, iam.DecryptCommand)
	same := got(rsa.DecryptOAEP(sha256.New(), nil, goodKeys()[i], delivery, nil))(t)
	if string(text) != string(same) {
		t.Errorf("openssl reads %q, and crypto/rsa %q", text, same)
	}
	var d delivered
	must(t, json.Unmarshal(text, &d))
	return d
}

// TestOnboard goes the whole way of a customer who sent a public key: decrypt, log
// in with the certificate, and be authorized.
func TestOnboard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for name, text := range map[string]string{"public_key": good(0).public(t), "csr": good(0).csr(t)} {
			spec := w.spec(name)
			spec.MTLS, spec.AllowedIPs = telamon.MTLSNone, []string{"192.0.2.7"}
			made := got(w.Onboard(ctx, operator, spec, text))(t)
			if made.Credential.MTLS != telamon.MTLSRequired || !slices.Equal(made.ClientCert.Credentials, []telamon.CredentialID{made.Credential.ID}) {
				t.Errorf("%s: the credential is %+v, its certificate is linked to %v", name, made.Credential, made.ClientCert.Credentials)
			}
			if cn := made.ClientCert.Certificate.Subject.CommonName; cn != made.Credential.ID.String() {
				t.Errorf("%s: the certificate is %s's, want the credential's", name, cn)
			}
			verify(t, &made.ClientCert, w.clock.Now())
			d := open(t, made.Delivery, 0)
			if d.Key != made.Credential.Key {
				t.Errorf("%s: the key %s was delivered, want %s", name, d.Key, made.Credential.Key)
			}
			peer := made.ClientCert.Certificate.Raw
			token := got(w.Login(ctx, home, peer, d.Key, d.Secret))(t)
			if actor := got(w.Authorize(ctx, token, home, peer))(t); actor.ClientCert != made.ClientCert.ID {
				t.Errorf("%s: %+v is authorized", name, actor)
			}
			mustBe(t, errorOf(w.Login(ctx, home, nil, d.Key, d.Secret)), fault.Unauthenticated, "unauthorized")
		}
	})
}

func TestCreateEncryptedCredential(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		spec := w.spec("api")
		spec.MTLS = telamon.MTLSNone
		c, delivery, err := w.CreateEncryptedCredential(ctx, operator, spec, good(1).public(t))
		must(t, err)
		d := open(t, delivery, 1)
		if c.MTLS != telamon.MTLSNone || d.Key != c.Key {
			t.Errorf("the credential is %+v, and %s was delivered", c, d.Key)
		}
		must(t, errorOf(w.Login(ctx, home, nil, d.Key, d.Secret)))
		if all := got(w.ClientCerts(ctx, operator, w.account, store.Page{Limit: 9}))(t); len(all) != 0 {
			t.Errorf("there are the certificates %v", all)
		}
		if again := errorOf3(w.CreateEncryptedCredential(ctx, operator, spec, good(1).public(t))); !fault.Is(again, fault.Conflict) {
			t.Errorf("the same name: %v, want a conflict", again)
		}
	})
}

// TestOnboardInvalid checks that a key that cannot be used is refused, and what is
// refused leaves nothing.
func TestOnboardInvalid(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		p, q := goodKeys()[0].Primes[0], goodKeys()[0].Primes[1]
		forged := good(0).request(t)
		forged[len(forged)-1] ^= 1
		curve := curveCSR(t, elliptic.P256())
		tests := []struct{ name, text, code string }{
			{"nothing", "", "public_key_unreadable"},
			{"no PEM", "ssh-rsa AAAA", "public_key_unreadable"},
			{"no DER", block("PUBLIC KEY", []byte("key")), "key_not_allowed"},
			{"a key in PKCS #1", block("RSA PUBLIC KEY", []byte("key")), "public_key_unreadable"},
			{"two keys", good(0).public(t) + good(1).public(t), "public_key_unreadable"},
			{"a key and a request", good(0).public(t) + good(0).csr(t), "public_key_unreadable"},
			{"a private key", privatePEM(t, 0), "private_key"},
			{"a private key behind the public one", good(0).public(t) + privatePEM(t, 0), "private_key"},
			{"a forged request", block("CERTIFICATE REQUEST", forged), "csr_signature"},
			{"an EC key", curve, "key_not_allowed"},
			{"RSA of 1024 bits", shortKey(t).public(t), "key_not_allowed"},
			{"the exponent 1", newKey(t, 1, p, q).public(t), "key_not_allowed"},
			{"close primes", closeKey(t).public(t), "key_weak"},
			{"ROCA", rocaKey(t).public(t), "key_weak"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for _, err := range []error{
					errorOf(w.Onboard(t.Context(), operator, w.spec("api"), tt.text)),
					errorOf3(w.CreateEncryptedCredential(t.Context(), operator, w.spec("api"), tt.text)),
				} {
					mustBe(t, err, fault.Invalid, tt.code)
					if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != "public_key" {
						t.Errorf("the fields are %v", f.Fields)
					}
				}
			})
		}
		w.nothing(t)
		bad := w.spec("No Name")
		mustBe(t, errorOf(w.Onboard(ctx, operator, bad, good(0).public(t))), fault.Invalid, "invalid_credential")
		foreign := w.spec("api")
		foreign.Identity = w.newIdentity(t, w.other)
		mustBe(t, errorOf(w.Onboard(ctx, operator, foreign, good(0).public(t))), fault.NotFound, "identity_not_found")
		w.nothing(t)
	})
}

// nothing checks that the account has neither a credential nor a certificate, and
// that no audit event tells of one.
func (w *world) nothing(t testing.TB) {
	t.Helper()
	credentials := got(w.Credentials(t.Context(), operator, w.account, store.Page{Limit: 9}))(t)
	certs := got(w.ClientCerts(t.Context(), operator, w.account, store.Page{Limit: 9}))(t)
	events := append(w.events(t, "credential.create"), w.events(t, "client_certificate.issue")...)
	if len(credentials)+len(certs)+len(events) > 0 {
		t.Errorf("there are %d credentials, %d certificates and %d events of them", len(credentials), len(certs), len(events))
	}
}

// TestOnboardAllOrNothing checks that a credential without its certificate, or the
// other way round, never is: not if the key turns out to be another account's, not
// if the name is taken, and not if nothing can sign.
func TestOnboardAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		theirs := iam.CredentialSpec{
			Account: w.other, Name: "theirs", Subscription: got(w.Subscribe(ctx, operator, w.other, w.service))(t).ID,
			Identity: w.newIdentity(t, w.other),
		}
		must(t, errorOf(w.Onboard(ctx, operator, theirs, good(0).public(t))))
		mine := func() (int, int) {
			credentials := got(w.Credentials(ctx, operator, w.account, store.Page{Limit: 9}))(t)
			return len(credentials), len(got(w.ClientCerts(ctx, operator, w.account, store.Page{Limit: 9}))(t))
		}
		mustBe(t, errorOf(w.Onboard(ctx, operator, w.spec("api"), good(0).public(t))), fault.Conflict, "key_of_another_account")
		if a, b := mine(); a+b > 0 {
			t.Errorf("another account's key left %d credentials and %d certificates", a, b)
		}
		must(t, errorOf(w.Onboard(ctx, operator, w.spec("api"), good(1).public(t))))
		mustBe(t, errorOf(w.Onboard(ctx, operator, w.spec("api"), good(2).public(t))), fault.Conflict, "name_taken")
		if a, b := mine(); a != 1 || b != 1 {
			t.Errorf("a name that is taken left %d credentials and %d certificates", a, b)
		}
		// Its key was not taken either.
		theirs.Name = "again"
		must(t, errorOf(w.Onboard(ctx, operator, theirs, good(2).public(t))))
		// A retired key signs no certificates.
		must(t, w.keys.Retire("mtls-rsa-202611"))
		mustBe(t, errorOf(w.Onboard(ctx, operator, w.spec("late"), good(1).public(t))), fault.Unavailable, "signing_failed")
		if a, b := mine(); a != 1 || b != 1 {
			t.Errorf("a retired key left %d credentials and %d certificates", a, b)
		}
	})
}

// TestEncryptedWithoutRSA checks that deliveries are encrypted to RSA keys also
// where no mTLS certificate may have one.
func TestEncryptedWithoutRSA(t *testing.T) {
	w := newWorld(t, sqlite(t))
	curves := w.replica(w.clock, "EC-P256")
	must(t, errorOf3(curves.CreateEncryptedCredential(t.Context(), operator, w.spec("api"), good(0).public(t))))
	mustBe(t, errorOf(curves.Onboard(t.Context(), operator, w.spec("late"), good(0).public(t))), fault.Invalid, "key_not_allowed")
}
