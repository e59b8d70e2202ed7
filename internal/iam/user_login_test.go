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
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
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

// TestUserStates goes through the tables of digicert-one.md, Section 9: what comes of a
// certificate, a key and both on the face that asks for certificates, of a user whose
// things are in some state, and why, by the audit log.
func TestUserStates(t *testing.T) {
	const (
		fine      = "cert; key; key and cert"
		badCert   = noAuth + "; key; key"
		badKey    = "cert; " + noKey + "; " + noKey
		badOwner  = noAuth + "; " + noKey + "; " + noKey
		ofCert    = "cert "
		ofKey     = "key "
		dayEnd    = 24*time.Hour - time.Second
		longLived = 30 * 24 * time.Hour
	)
	each(t, func(t *testing.T, w *world) {
		ctx, clock := t.Context(), w.clock
		ends := clock.Now().Truncate(24 * time.Hour).Add(24*time.Hour + dayEnd) // of tomorrow
		until := func(at time.Time) { clock.Set(at); must(t, w.dir.Poll(ctx)) }
		tests := []struct {
			name, want, why string // why: the reasons, each with what it is of
			change          func(m *machine)
		}{
			{"nothing", fine, "", func(*machine) {}},
			{"disabled certificate", badCert, ofCert + "certificate_disabled", func(m *machine) {
				got(w.DisableUserCert(ctx, m.actor, m.cert))(t)
			}},
			{"certificate enabled again", fine, "", func(m *machine) {
				got(w.DisableUserCert(ctx, m.actor, m.cert))(t)
				got(w.EnableUserCert(ctx, m.actor, m.cert))(t)
			}},
			{"revoked certificate", badCert, ofCert + "certificate_revoked", func(m *machine) {
				must(t, w.RevokeClientCert(ctx, operator, w.account, m.cert, telamon.ReasonKeyCompromise))
			}},
			{"deleted certificate", badCert, ofCert + "certificate_deleted", func(m *machine) {
				must(t, w.DeleteUserCert(ctx, m.actor, m.cert))
			}},
			{"certificate of tomorrow", badCert, ofCert + "certificate_not_yet_valid", func(m *machine) {
				w.odd(t, m, func(r *issuance.Request) { r.NotBefore = clock.Now().Truncate(time.Second).Add(time.Second) })
			}},
			{"certificate of this second", fine, "", func(m *machine) {
				w.odd(t, m, func(r *issuance.Request) { r.NotBefore = clock.Now().Truncate(time.Second) })
			}},
			{"certificate that ended a second ago", badCert, ofCert + "certificate_expired", func(m *machine) {
				w.odd(t, m, func(r *issuance.Request) { r.NotAfter = clock.Now().Truncate(time.Second).Add(-time.Second) })
			}},
			{"certificate for nothing", badCert, ofCert + "certificate_usage", func(m *machine) {
				w.odd(t, m, func(r *issuance.Request) { r.Content.ExtKeyUsage.OIDs = nil })
			}},
			{"certificate that no issuing CA of ours signed", badCert, ofCert + "certificate_chain", func(m *machine) {
				key, serial := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), telamon.NewSerial(clock.Now())
				issuer := got(w.engine.Active(got(w.dir.SeriesNamed(ctx, "mtls-rsa"))(t).ID))(t)
				w.keep(t, m, foreign(t, key, key.Public(), new(big.Int).SetBytes(serial[:])), issuer.ID, 0)
			}},
			{"certificate for credentials", badCert, ofCert + "certificate_of_no_user", func(m *machine) {
				l := w.newLogin(t, "api", good(0))
				m.der, m.cert = l.peer, l.cert
			}},
			{"disabled key", badKey, ofKey + "api_token_disabled", func(m *machine) { w.setToken(t, m, false) }},
			{"key enabled again", fine, "", func(m *machine) { w.setToken(t, m, false); w.setToken(t, m, true) }},
			{"deleted key", badKey, ofKey + "api_token_deleted", func(m *machine) {
				must(t, w.DeleteAPIToken(ctx, m.actor, w.account, m.token))
			}},
			{"key that was deleted long ago", badKey, ofKey + "api_token_deleted", func(m *machine) {
				must(t, w.DeleteAPIToken(ctx, m.actor, w.account, m.token))
				w.forget(t)
			}},
			{"deleted user", badOwner, ofCert + "certificate_deleted, " + ofKey + "api_token_deleted", func(m *machine) {
				must(t, w.DeleteUser(ctx, operator, w.account, m.actor.User))
			}},
			{"disabled user", badOwner, ofCert + "user_disabled, " + ofKey + "user_disabled", func(m *machine) {
				must(t, w.DisableUser(ctx, operator, w.account, m.actor.User))
			}},
			{"user enabled again", fine, "", func(m *machine) {
				must(t, w.DisableUser(ctx, operator, w.account, m.actor.User))
				must(t, w.EnableUser(ctx, operator, w.account, m.actor.User))
			}},
			{"user enabled again whose certificate is disabled", badCert, ofCert + "certificate_disabled", func(m *machine) {
				got(w.DisableUserCert(ctx, m.actor, m.cert))(t)
				must(t, w.DisableUser(ctx, operator, w.account, m.actor.User))
				must(t, w.EnableUser(ctx, operator, w.account, m.actor.User))
			}},
			{"locked user", badOwner, ofCert + "user_locked, " + ofKey + "user_locked", func(m *machine) {
				must(t, w.LockUser(ctx, operator, w.account, m.actor.User))
			}},
			{"unlocked user", fine, "", func(m *machine) {
				must(t, w.LockUser(ctx, operator, w.account, m.actor.User))
				must(t, w.UnlockUser(ctx, operator, w.account, m.actor.User))
			}},
			{"disabled account", badOwner, ofCert + "account_disabled, " + ofKey + "account_disabled", func(*machine) {
				must(t, w.DisableAccount(ctx, operator, w.account))
			}},
			{"account of tomorrow", badOwner, ofCert + "account_out_of_service, " + ofKey + "account_out_of_service", func(*machine) {
				must(t, w.EnableAccount(ctx, operator, w.account))
				must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{StartsAt: clock.Now().Truncate(time.Second).Add(time.Second)}))
			}},
			{"account whose last second it is", fine, "", func(*machine) {
				must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{EndsAt: clock.Now()}))
			}},
			{"account of yesterday", badOwner, ofCert + "account_out_of_service, " + ofKey + "account_out_of_service", func(*machine) {
				must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{EndsAt: clock.Now().Add(-time.Second)}))
			}},
			{"account without a term", fine, "", func(*machine) {
				must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{}))
			}},
			{"key whose last second it is", fine, "", func(m *machine) {
				m.token, m.key = w.tokenUntil(t, m, ends)
				until(ends.Add(time.Second - 1))
			}},
			{"user whose last second it is", fine, "", func(*machine) {}},
			{"key that has just ended", badKey, ofKey + "api_token_expired", func(m *machine) {
				clock.Set(ends.Add(-time.Second))
				m.token, m.key = w.tokenUntil(t, m, ends)
				until(ends.Add(time.Second))
			}},
			{"user who has just ended", badOwner, ofCert + "user_expired, " + ofKey + "user_expired", func(m *machine) {
				clock.Set(ends.Add(-time.Second))
				*m = *w.newMachine(t, w.account, "ending", ends)
				w.odd(t, m, func(*issuance.Request) {}) // which would end later
				until(ends.Add(time.Second))
			}},
			{"certificate whose last second it is", fine, "", func(m *machine) {
				w.odd(t, m, func(r *issuance.Request) { r.NotAfter = ends.Add(longLived) })
				until(ends.Add(longLived + time.Second - 1))
			}},
			{"certificate that has just ended", badCert, ofCert + "certificate_expired", func(m *machine) {
				w.odd(t, m, func(r *issuance.Request) { r.NotAfter = ends.Add(longLived).Add(time.Second) })
				until(ends.Add(longLived + 2*time.Second))
			}},
			{"revoked issuing CA", badCert, ofCert + "certificate_issuer", func(m *machine) {
				issuer := got(w.dir.Issuer(ctx, got(w.dir.ClientCert(ctx, sha256.Sum256(m.der)))(t).Issuer))(t)
				serial, _ := telamon.SerialFromInt(issuer.Certificate.SerialNumber)
				must(t, w.db.RevokeCA(ctx, operator, store.RevokedCA{
					Issuer: issuer.ID, Parent: issuer.Parent, Serial: serial, NotAfter: issuer.Certificate.NotAfter,
				}, telamon.Revocation{Reason: telamon.ReasonSuperseded}))
				must(t, w.dir.Poll(ctx))
			}},
		}
		seen := map[telamon.EventID]bool{}
		for i, tt := range tests {
			m := w.newMachine(t, w.account, fmt.Sprint("m", i), time.Time{})
			if got := w.three(t, m); got != fine && !strings.Contains(tt.name, "account") {
				t.Errorf("before %s: %s, want %s", tt.name, got, fine)
			}
			w.refusals(t, seen)
			tt.change(m)
			if got := w.three(t, m); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
			var why []string
			for part := range strings.SplitSeq(tt.why, ", ") {
				what, reason, _ := strings.Cut(part, " ")
				if object := map[string]string{"cert": m.cert.String(), "key": m.token.String()}[what]; object != "" {
					why = append(why, w.account.String()+" "+object+" "+reason)
				}
			}
			slices.Sort(why)
			if got := w.refusals(t, seen); !slices.Equal(got, why) {
				t.Errorf("%s: the audit log has %q, want %q", tt.name, got, why)
			}
		}
	})
}

// three returns what comes of the machine's certificate, of its key and of both.
func (w *world) three(t testing.TB, m *machine) string {
	t.Helper()
	return w.show(t, "", m.der, true) + "; " + w.show(t, m.key, nil, true) + "; " + w.show(t, m.key, m.der, true)
}

// setToken disables or enables the machine's API token.
func (w *world) setToken(t testing.TB, m *machine, enabled bool) {
	t.Helper()
	got(w.UpdateAPIToken(t.Context(), m.actor, w.account, m.token, iam.APITokenChange{Enabled: &enabled}))(t)
}

// forget reads the whole directory anew.
func (w *world) forget(t testing.TB) {
	t.Helper()
	w.clock.Advance(time.Minute)
	must(t, w.dir.Poll(t.Context()))
}

// tokenUntil makes an API token of the machine's user with an end.
func (w *world) tokenUntil(t testing.TB, m *machine, ends time.Time) (telamon.APITokenID, string) {
	t.Helper()
	token, key, err := w.CreateAPIToken(t.Context(), m.actor, iam.NewAPIToken{Account: w.account, User: m.actor.User, Name: "until", EndsAt: ends})
	must(t, err)
	return token.ID, key
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
		if got, want := w.refusals(t, seen), []string{"stranger " + object + " certificate_unknown"}; !slices.Equal(got, want) {
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
