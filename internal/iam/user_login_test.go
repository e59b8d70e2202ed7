package iam_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// The answers to who is not authenticated.
const (
	noKey    = "unauthenticated invalid_api_key"
	noAuth   = "denied no_authentication_data"
	mismatch = "denied credentials_of_different_users"
)

// TestDecide has every row of digicert-one.md, Section 3.3, step 3, on both faces.
func TestDecide(t *testing.T) {
	const unusable = "unusable"
	tests := []struct {
		key, cert      string
		api, asksACert string // what the two faces answer
	}{
		{"", "", noKey, noAuth},
		{"", unusable, noKey, noAuth},
		{"", "ada", noKey, "cert"},
		{"ada", "", "key", "key"},
		{"ada", unusable, "key", "key"},
		{"ada", "ada", "key", "key and cert"},
		{"ada", "bob", "key", mismatch},
		{unusable, "", noKey, noKey},
		{unusable, unusable, noKey, noKey},
		{unusable, "ada", noKey, noKey},
	}
	for _, tt := range tests {
		for asks, want := range map[bool]string{false: tt.api, true: tt.asksACert} {
			got, err := iam.Decide(tt.key, tt.cert, asks)
			if err != nil {
				f := fault.From(err)
				got += f.Kind.String() + " " + f.Code
			}
			if got != want {
				t.Errorf("with the key %q and the certificate %q on a face that asks for one (%v): %q, want %q", tt.key, tt.cert, asks, got, want)
			}
		}
	}
}

// TestAuthenticateUser checks who acts, and that nobody else's factors count.
func TestAuthenticateUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a, b := w.newMachine(t, w.account, "alpha", time.Time{}), w.newMachine(t, w.other, "beta", time.Time{})
		want := telamon.Actor{
			Kind: telamon.ActorUser, Account: w.account, Address: home, User: a.actor.User, UserName: "alpha",
			Roles: []string{"AM_VIEW_ONLY", "SM_SIGNER"}, Token: a.token, ClientCert: a.cert,
		}
		actor := got(w.AuthenticateUser(ctx, iam.Shown{Key: a.key, Certificate: a.der, AsksCertificate: true, Address: home}))(t)
		if !reflect.DeepEqual(actor, want) {
			t.Errorf("AuthenticateUser = %+v, want %+v", actor, want)
		}
		want.Token = ""
		actor = got(w.AuthenticateUser(ctx, iam.Shown{Certificate: a.der, AsksCertificate: true, Address: home}))(t)
		if !reflect.DeepEqual(actor, want) {
			t.Errorf("by the certificate alone AuthenticateUser = %+v, want %+v", actor, want)
		}
		garbage, wrong := []byte("no certificate"), a.key[:len(a.key)-64]+strings.Repeat("0", 64)
		tests := []struct {
			name, key      string
			der            []byte
			api, asksACert string
			refusals       []string // of the face that asks
		}{
			{"nothing", "", nil, noKey, noAuth, []string{"stranger  nothing_shown"}},
			{"the certificate", "", a.der, noKey, "cert", nil},
			{"the key", a.key, nil, "key", "key", nil},
			{"both", a.key, a.der, "key", "key and cert", nil},
			{"those of two users", a.key, b.der, "key", mismatch, []string{
				w.account.String() + " " + a.token.String() + " credentials_of_different_users",
				w.other.String() + " " + b.cert.String() + " credentials_of_different_users",
			}},
			{"the same the other way round", b.key, a.der, "key", mismatch, []string{
				w.account.String() + " " + a.cert.String() + " credentials_of_different_users",
				w.other.String() + " " + b.token.String() + " credentials_of_different_users",
			}},
			{"garbage for a certificate", "", garbage, noKey, noAuth, []string{fmt.Sprintf("stranger %x certificate_unknown", sha256.Sum256(garbage))}},
			{"garbage beside a key", a.key, garbage, "key", "key",
				[]string{fmt.Sprintf("%s %x certificate_unknown", w.account, sha256.Sum256(garbage))}},
			{"no key at all", "x", nil, noKey, noKey, []string{"stranger  api_key_malformed"}},
			{"no key beside a certificate", "x", a.der, noKey, noKey, []string{"stranger  api_key_malformed"}},
			{"a key in capitals", strings.ToUpper(a.key), nil, noKey, noKey, []string{"stranger  api_key_malformed"}},
			{"a key and a blank", a.key + " ", nil, noKey, noKey, []string{"stranger  api_key_malformed"}},
			{"a wrong secret", wrong, a.der, noKey, noKey, []string{w.account.String() + " " + a.token.String() + " secret_wrong"}},
			{"another's secret", a.key[:27] + b.key[27:], nil, noKey, noKey, []string{w.account.String() + " " + a.token.String() + " secret_wrong"}},
			{"an unknown key", "01" + strings.Repeat("0", 24) + a.key[26:], nil, noKey, noKey,
				[]string{"stranger 01" + strings.Repeat("0", 24) + " api_token_unknown"}},
			{"two that are unusable", "x", garbage, noKey, noKey,
				[]string{"stranger  api_key_malformed", fmt.Sprintf("stranger %x certificate_unknown", sha256.Sum256(garbage))}},
		}
		seen := map[telamon.EventID]bool{}
		for _, tt := range tests {
			if got := w.show(t, tt.key, tt.der, false); got != tt.api {
				t.Errorf("%s on the API face: %s, want %s", tt.name, got, tt.api)
			}
			w.refusals(t, seen)
			if got := w.show(t, tt.key, tt.der, true); got != tt.asksACert {
				t.Errorf("%s on the face that asks: %s, want %s", tt.name, got, tt.asksACert)
			}
			if got := w.refusals(t, seen); !slices.Equal(got, tt.refusals) {
				t.Errorf("%s is refused in the audit log by %q, want %q", tt.name, got, tt.refusals)
			}
		}
	})
}

// TestForeignCertificates shows certificates that are not of this platform, of any kind of
// key and from another platform, whose API keys are not known here either.
func TestForeignCertificates(t *testing.T) {
	w, elsewhere := newWorld(t, sqlite(t)), newWorld(t, sqlite(t))
	m := w.newMachine(t, w.account, "alpha", time.Time{})
	visitor := elsewhere.newMachine(t, elsewhere.account, "alpha", time.Time{})
	if got := elsewhere.three(t, visitor); got != "cert; key; key and cert" {
		t.Fatalf("at home the visitor is refused: %s", got)
	}
	ca := got(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	ed, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	long := new(big.Int).Lsh(big.NewInt(1), 8191) // of a modulus; nobody needs the key
	serial, tooLong := big.NewInt(0x1f2e3d), new(big.Int).Lsh(big.NewInt(1), 8*40)
	seen := map[telamon.EventID]bool{}
	for name, der := range map[string][]byte{
		"signed by another CA": foreign(t, ca, &goodKeys()[0].PublicKey, serial),
		"self-signed, EC":      foreign(t, ca, ca.Public(), serial),
		"self-signed, Ed25519": foreign(t, edKey, ed, serial),
		"RSA of 8192 bits":     foreign(t, ca, &rsa.PublicKey{N: long.SetBit(long, 0, 1), E: 65537}, serial),
		"a long serial number": foreign(t, ca, ca.Public(), tooLong),
		"of another platform":  visitor.der,
	} {
		if got, want := w.show(t, "", der, true), noAuth; got != want {
			t.Errorf("%s alone: %s, want %s", name, got, want)
		}
		if got := w.show(t, m.key, der, true); got != "key" {
			t.Errorf("%s beside a key: %s, want the key", name, got)
		}
		object := "1F2E3D"
		switch name {
		case "a long serial number":
			object = fmt.Sprintf("%x", sha256.Sum256(der))
		case "of another platform":
			object = got(elsewhere.dir.ClientCert(t.Context(), sha256.Sum256(der)))(t).Serial.String()
		}
		want := []string{w.account.String() + " " + object + " certificate_unknown", "stranger " + object + " certificate_unknown"}
		if got := w.refusals(t, seen); !slices.Equal(got, want) {
			t.Errorf("%s: the audit log has %q, want %q", name, got, want)
		}
	}
	if got := w.three(t, visitor); got != noAuth+"; "+noKey+"; "+noKey {
		t.Errorf("a visitor: %s", got)
	}
}

// TestCheckChain has what a certificate of the store can be that is none of its issuing
// CA's for authenticating clients.
func TestCheckChain(t *testing.T) {
	key := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	sign := func(name string, parent *x509.Certificate, by *ecdsa.PrivateKey, change func(*x509.Certificate)) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
		}
		change(template)
		if parent == nil {
			parent = template
		}
		return got(x509.ParseCertificate(got(x509.CreateCertificate(rand.Reader, template, parent, by.Public(), by))(t)))(t)
	}
	asCA := func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	}
	ca, other := sign("CA", nil, key, asCA), sign("Other", nil, key, asCA)
	forger := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	usage := func(usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	tests := []struct {
		name   string
		leaf   *x509.Certificate
		issuer *x509.Certificate
		want   string
	}{
		{"good", sign("leaf", ca, key, usage(x509.ExtKeyUsageClientAuth)), ca, ""},
		{"for clients and servers", sign("leaf", ca, key, usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)), ca, ""},
		{"for servers", sign("leaf", ca, key, usage(x509.ExtKeyUsageServerAuth)), ca, "certificate_usage"},
		{"for anything", sign("leaf", ca, key, usage(x509.ExtKeyUsageAny)), ca, "certificate_usage"},
		{"for nothing", sign("leaf", ca, key, usage()), ca, "certificate_usage"},
		{"a CA", sign("leaf", ca, key, func(c *x509.Certificate) { c.IsCA = true }), ca, "certificate_usage"},
		{"with a critical extension that nobody knows", sign("leaf", ca, key, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), ca, "certificate_usage"},
		{"of another name", sign("leaf", other, key, usage(x509.ExtKeyUsageClientAuth)), ca, "certificate_chain"},
		{"of another key", sign("leaf", sign("CA", nil, forger, asCA), forger, usage(x509.ExtKeyUsageClientAuth)), ca, "certificate_chain"},
		{"of one that is no CA", sign("leaf", sign("CA", nil, key, usage()), key, usage(x509.ExtKeyUsageClientAuth)),
			sign("CA", nil, key, usage()), "certificate_chain"},
	}
	for _, tt := range tests {
		if got := iam.CheckChain(tt.leaf, tt.issuer); got != tt.want {
			t.Errorf("one %s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestUserWithoutDatabase checks that a platform that can know nothing refuses, and calls
// nothing that is shown wrong; and that one which was away for a moment goes by the
// database, not by what it knew.
func TestUserWithoutDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.newMachine(t, w.account, "alpha", time.Time{})
		twin, _ := w.secondReplica(t)
		must(t, twin.DisableUser(t.Context(), operator, w.account, m.actor.User))
		if got := w.three(t, m); got != "cert; key; key and cert" {
			t.Fatalf("before it has read the change: %s, so this proves nothing", got)
		}
		w.clock.Advance(2 * time.Second)
		if got := w.three(t, m); got != noAuth+"; "+noKey+"; "+noKey {
			t.Errorf("a replica that has read nothing for two seconds: %s", got)
		}
		must(t, w.db.Close())
		if got, want := w.show(t, m.key, m.der, true), "unavailable directory_unavailable"; got != want { // after two seconds of trying
			t.Errorf("without a database: %s, want %s", got, want)
		}
		if got := w.show(t, "", nil, true); got != noAuth {
			t.Errorf("without a database nothing gives %s", got)
		}
	})
}
