package app_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// connections are the ways in which each state is tried.
var connections = map[string]dial{
	"TLS 1.3, HTTP/2":   {},
	"TLS 1.2, HTTP/1.1": {version: tls.VersionTLS12, http1: true},
}

// The states of certificates of digicert-one.md, Section 9, each on the face that asks for
// certificates without a key, with the user's key and with one that is none; and on the
// other face, where no certificate is seen.
func TestCertificateStates(t *testing.T) {
	o := newOne(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := o.clock.Now()
	ctx, use := t.Context(), o.app.IAM
	tests := []struct {
		name  string
		state func(login, clientCert) *tls.Certificate // what is shown, nil: the certificate
		want  outcome
		keyed outcome   // with the user's key
		at    time.Time // zero: now
	}{
		{name: "valid and enabled", want: isOK, keyed: isOK},
		{name: "none presented", want: isNoAuth, keyed: isOK, state: func(login, clientCert) *tls.Certificate { return &tls.Certificate{} }},
		{name: "disabled", want: isNoAuth, keyed: isOK, state: func(u login, c clientCert) *tls.Certificate {
			_, err := use.DisableUserCert(ctx, u.Actor, c.ID)
			must(err)
			return nil
		}},
		{name: "re-enabled", want: isOK, keyed: isOK, state: func(u login, c clientCert) *tls.Certificate {
			_, err := use.DisableUserCert(ctx, u.Actor, c.ID)
			must(err)
			_, err = use.EnableUserCert(ctx, u.Actor, c.ID)
			must(err)
			return nil
		}},
		{name: "in its last second", want: isOK, keyed: isOK, at: time.Date(2032, 5, 19, 23, 59, 59, 999, time.UTC)},
		{name: "expired", want: isNoAuth, keyed: isOK, at: time.Date(2032, 5, 20, 0, 0, 0, 0, time.UTC)},
		{name: "in its first second", want: isOK, keyed: isOK, at: time.Date(2031, 5, 20, 0, 0, 0, 0, time.UTC)},
		{name: "not yet valid", want: isNoAuth, keyed: isOK, at: time.Date(2031, 5, 19, 23, 59, 59, 0, time.UTC)},
		{name: "revoked", want: isNoAuth, keyed: isOK, state: func(u login, c clientCert) *tls.Certificate {
			must(use.RevokeClientCert(ctx, oneOperator, o.account, c.ID, telamon.ReasonUnspecified))
			return nil
		}},
		{name: "deleted", want: isNoAuth, keyed: isOK, state: func(u login, c clientCert) *tls.Certificate {
			must(use.DeleteUserCert(ctx, u.Actor, c.ID))
			return nil
		}},
		{name: "of a disabled user", want: isNoAuth, keyed: isKey, state: func(u login, c clientCert) *tls.Certificate {
			must(use.DisableUser(ctx, oneOperator, o.account, u.User))
			return nil
		}},
		{name: "of a user who was enabled again", want: isOK, keyed: isOK, state: func(u login, c clientCert) *tls.Certificate {
			must(use.DisableUser(ctx, oneOperator, o.account, u.User))
			must(use.EnableUser(ctx, oneOperator, o.account, u.User))
			return nil
		}},
		{name: "of a deleted user", want: isNoAuth, keyed: isKey, state: func(u login, c clientCert) *tls.Certificate {
			must(use.DeleteUser(ctx, oneOperator, o.account, u.User))
			return nil
		}},
		{name: "of a locked user", want: isNoAuth, keyed: isKey, state: func(u login, c clientCert) *tls.Certificate {
			must(use.LockUser(ctx, oneOperator, o.account, u.User))
			return nil
		}},
		{name: "self-signed", want: isNoAuth, keyed: isOK, state: func(_ login, c clientCert) *tls.Certificate {
			return foreignCert(t, c.ClientCert.Certificate.RawSubject...)
		}},
		{name: "of a CA of the same name", want: isNoAuth, keyed: isOK, state: func(_ login, c clientCert) *tls.Certificate {
			return forged(t, c.ClientCert.Certificate, c.ca)
		}},
		{name: "for servers, of another CA of the platform", want: isNoAuth, keyed: isOK, state: func(login, clientCert) *tls.Certificate {
			cert, err := tls.LoadX509KeyPair(o.cfg.TLS.CertFile, o.cfg.TLS.KeyFile)
			must(err)
			return &cert
		}},
	}
	users, certs := make([]login, len(tests)), make([]clientCert, len(tests))
	for i := range tests { // before the clock moves: CAs refuse to sign when it has gone back
		users[i] = o.user(o.account, fmt.Sprintf("user %d", i), time.Time{})
		certs[i] = o.issue(users[i], "cert", newKey(t))
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer o.setClock(now)
			u, c := users[i], certs[i]
			shown := &c.Certificate
			if tt.state != nil {
				if other := tt.state(u, c); other != nil {
					shown = other
				}
			}
			if !tt.at.IsZero() {
				o.setClock(tt.at)
			}
			for how, d := range connections {
				d.cert = shown
				for _, req := range []struct {
					host, key string
					want      outcome
				}{
					{clientauthHost, "", tt.want}, {clientauthHost, u.key, tt.keyed}, {clientauthHost, u.wrongKey(), isKey},
					{oneHost, "", isKey}, {oneHost, u.key, tt.keyed},
				} {
					if got := o.me(d, req.host, req.key); !got.is(req.want) || req.want == isOK && !got.isUser(u) {
						t.Errorf("%s to %s with the key %.8s…: %s, want %s", how, req.host, req.key, got, req.want)
					}
				}
			}
		})
	}
}

// What a user, or a user's account, is no more, its certificates and keys are not either:
// each at the last moment and at the next one.
func TestEndsOfUsers(t *testing.T) {
	o := newOne(t)
	now := o.clock.Now()
	day := func(d int, clock string) time.Time {
		at, err := time.Parse(time.RFC3339, fmt.Sprintf("2031-05-%dT%sZ", d, clock))
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	account := func(name string, period iam.Period) telamon.AccountID {
		a, err := o.app.IAM.CreateAccount(t.Context(), oneOperator, iam.NewAccount{Name: name, Period: period})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	disabled := account("disabled", iam.Period{})
	tests := map[string]struct {
		account telamon.AccountID
		ends    time.Time
		change  func() error
		at      time.Time
		ok      bool
	}{
		"a user in their last second":      {account: o.account, ends: day(25, "23:59:59"), at: day(25, "23:59:59"), ok: true},
		"a user who has expired":           {account: o.account, ends: day(25, "23:59:59"), at: day(26, "00:00:00")},
		"an account in its service period": {account: account("a", iam.Period{EndsAt: day(25, "23:59:59")}), at: day(25, "23:59:59"), ok: true},
		"an account after it":              {account: account("b", iam.Period{EndsAt: day(25, "23:59:59")}), at: day(26, "00:00:00")},
		"an account before it":             {account: account("c", iam.Period{StartsAt: day(20, "11:00:00")}), at: day(20, "10:59:59")},
		"an account that is not active":    {account: disabled, change: func() error { return o.app.IAM.DisableAccount(t.Context(), oneOperator, disabled) }, at: now},
	}
	users, certs := map[string]login{}, map[string]clientCert{}
	for name, tt := range tests { // before the clock moves
		users[name] = o.user(tt.account, "ends "+name, tt.ends)
		certs[name] = o.issue(users[name], "cert", newKey(t))
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			defer o.setClock(now)
			u, c := users[name], certs[name]
			if tt.change != nil {
				if err := tt.change(); err != nil {
					t.Fatal(err)
				}
			}
			o.setClock(tt.at)
			cert, key := isOK, isOK
			if !tt.ok {
				cert, key = isNoAuth, isKey
			}
			for how, d := range connections {
				d.cert = &c.Certificate
				if got := o.me(d, clientauthHost, ""); !got.is(cert) {
					t.Errorf("by certificate over %s: %s, want %s", how, got, cert)
				}
				if got := o.me(d, clientauthHost, u.key); !got.is(key) {
					t.Errorf("by both over %s: %s, want %s", how, got, key)
				}
				if got := o.me(d, oneHost, u.key); !got.is(key) {
					t.Errorf("by key over %s: %s, want %s", how, got, key)
				}
			}
		})
	}
}

// forged returns a certificate of the same content, by a CA that only says to be the same.
func forged(t *testing.T, cert, issuer *x509.Certificate) *tls.Certificate {
	t.Helper()
	caKey, key := newKey(t), newKey(t)
	ca, _ := selfSigned(t, caKey, &x509.Certificate{
		RawSubject: issuer.RawSubject, IsCA: true, BasicConstraintsValid: true, SubjectKeyId: issuer.SubjectKeyId,
	})
	leaf := signed(t, &x509.Certificate{
		RawSubject: cert.RawSubject, SerialNumber: cert.SerialNumber, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
		ExtKeyUsage: cert.ExtKeyUsage, KeyUsage: cert.KeyUsage,
	}, ca, key.Public(), caKey)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: key}
}

// Certificates of strangers, of every type of key that TLS knows, get the documented body
// and never a TLS alert; those that users can have authenticate.
func TestCertificateKeys(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "keys", time.Time{})
	for name, tt := range map[string]struct {
		key crypto.Signer
		ok  bool // a user can have a certificate for it
	}{
		"RSA 2048": {rsaKey(t, 2048), true},
		"RSA 3072": {rsaKey(t, 3072), true},
		"RSA 4096": {rsaKey(t, 4096), true},
		"RSA 8192": {rsaKey(t, 8192), false},
		"P-256":    {ecKey(t, elliptic.P256()), true},
		"P-384":    {ecKey(t, elliptic.P384()), true},
		"P-521":    {ecKey(t, elliptic.P521()), false},
		"Ed25519":  {edKey(t), false},
	} {
		t.Run(name, func(t *testing.T) {
			foreign, _ := selfSigned(t, tt.key, &x509.Certificate{Subject: pkix.Name{CommonName: name}})
			for how, d := range connections {
				d.cert = &tls.Certificate{Certificate: [][]byte{foreign.Raw}, PrivateKey: tt.key}
				c := o.client(d)
				if got := o.call(c, "GET", clientauthHost, helloPath, "", nil); !got.is(isNoAuth) {
					t.Errorf("a stranger's over %s: %s", how, got)
				}
				if got := o.call(c, "GET", clientauthHost, helloPath, u.key, nil); !got.is(isOK) {
					t.Errorf("a stranger's with a key over %s: %s", how, got)
				}
			}
			if !tt.ok {
				return
			}
			c := o.issue(u, name, tt.key)
			for how, d := range connections {
				d.cert = &c.Certificate
				if got := o.me(d, clientauthHost, ""); !got.is(isOK) {
					t.Errorf("a user's over %s: %s", how, got)
				}
			}
		})
	}
}

// rsaKey makes an RSA key of many primes of at most 512 bits, which are found at once: large
// keys of two would take most of the time of the tests.
func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	primeBits := min(bits/4, 512)
	one, e := big.NewInt(1), big.NewInt(65537)
	for try := range 100 {
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(1), E: int(e.Int64())}}
		phi := big.NewInt(1)
		for last := false; !last; {
			length, left := primeBits, bits-key.N.BitLen()
			if last = left < 2*primeBits; last {
				length = left + try%2 // which makes up for what the others lack
			}
			p, err := rand.Prime(rand.Reader, length)
			if err != nil {
				t.Fatal(err)
			}
			key.Primes = append(key.Primes, p)
			key.N.Mul(key.N, p)
			phi.Mul(phi, new(big.Int).Sub(p, one))
		}
		if key.D = new(big.Int).ModInverse(e, phi); key.D == nil || key.N.BitLen() != bits {
			continue
		}
		key.Precompute()
		if err := key.Validate(); err != nil {
			t.Fatal(err)
		}
		return key
	}
	t.Fatalf("no RSA key of %d bits was found", bits)
	return nil
}

func ecKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
