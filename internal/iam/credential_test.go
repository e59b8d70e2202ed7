package iam_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestCreateCredential(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		spec := w.spec("meter_1")
		spec.AllowedIPs = []string{"192.0.2.0/24", "2001:db8::1", "192.0.2.0/24"}
		c, secret, err := w.CreateCredential(ctx, operator, spec)
		must(t, err)
		if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(c.Key) || !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(secret.Reveal()) {
			t.Errorf("the key is %s and the secret %s", c.Key, secret.Reveal())
		}
		read := got(w.Credential(ctx, operator, w.account, c.ID))(t)
		if read.Name != "meter_1" || read.MTLS != telamon.MTLSRequired || read.State != telamon.Active || read.Epoch != 1 || !read.LastUsedAt.IsZero() ||
			!slices.Equal(read.AllowedIPs, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}) {
			t.Errorf("Credential = %+v", read)
		}
		if len(read.SecretMAC) != 32 || bytes.Contains(read.SecretMAC, []byte(secret.Reveal())) {
			t.Errorf("%x is kept of the secret", read.SecretMAC)
		}
		again, other, err := w.CreateCredential(ctx, operator, w.spec("meter_2"))
		must(t, err)
		if again.Key == c.Key || other.Reveal() == secret.Reveal() || again.Pair != c.Pair {
			t.Errorf("a second credential has the key %s, and the pair %d after %d", again.Key, again.Pair, c.Pair)
		}
		all := got(w.Credentials(ctx, operator, w.account, store.Page{Limit: 9}))(t)
		if names := ids(all, func(c telamon.Credential) string { return c.Name }); !slices.Equal(names, []string{"meter_1", "meter_2"}) {
			t.Errorf("Credentials = %v", names)
		}
		mustBe(t, errorOf3(w.CreateCredential(ctx, operator, w.spec("meter_1"))), fault.Conflict, "name_taken")
		must(t, w.DeleteCredential(ctx, operator, w.account, c.ID))
		mustBe(t, errorOf3(w.CreateCredential(ctx, operator, w.spec("meter_1"))), fault.Conflict, "name_taken")
	})
}

func TestCredentialInvalid(t *testing.T) {
	w := newWorld(t, sqlite(t))
	tests := []struct {
		name, path string
		change     func(*iam.CredentialSpec)
	}{
		{"no name", "name", func(s *iam.CredentialSpec) { s.Name = "" }},
		{"capitals", "name", func(s *iam.CredentialSpec) { s.Name = "Meter" }},
		{"a hyphen", "name", func(s *iam.CredentialSpec) { s.Name = "a-b" }},
		{"a line", "name", func(s *iam.CredentialSpec) { s.Name = "a\n" }},
		{"a long name", "name", func(s *iam.CredentialSpec) { s.Name = strings.Repeat("a", 65) }},
		{"a mode that there is not", "mtls", func(s *iam.CredentialSpec) { s.MTLS = "optional" }},
		{"a host name", "allowed_ips", func(s *iam.CredentialSpec) { s.AllowedIPs = []string{"localhost"} }},
		{"many addresses", "allowed_ips", func(s *iam.CredentialSpec) { s.AllowedIPs = make([]string, 257) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := w.spec("api")
			tt.change(&spec)
			err := errorOf3(w.CreateCredential(t.Context(), operator, spec))
			mustBe(t, err, fault.Invalid, "invalid_credential")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
				t.Errorf("the fields are %v, want %s alone", f.Fields, tt.path)
			}
		})
	}
	must(t, errorOf3(w.CreateCredential(t.Context(), operator, w.spec(strings.Repeat("a", 64)))))
}

// TestCredentialFit checks that a credential is made only for a service and an
// identity that can be used together, and is not moved to others either.
func TestCredentialFit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		limited := serviceSpec("limited")
		limited.Unlimited = false
		sub := got(w.Subscribe(ctx, operator, w.account, got(w.CreateService(ctx, operator, limited))(t).ID))(t).ID
		foreign := got(w.Subscribe(ctx, operator, w.other, w.service))(t).ID
		draft := got(w.CreateIdentity(ctx, operator, w.account, "draft", nil))(t).ID
		empty := got(w.CreateIdentity(ctx, operator, w.account, "no organization", map[string]string{"country": "JP"}))(t).ID
		w.move(t, w.account, empty, pathTo[telamon.IdentityActive]...)
		c := got(w.Credential(ctx, operator, w.account, w.newLogin(t, "api", nil).credential.ID))(t)
		check := func(name string, sub telamon.SubscriptionID, identity telamon.IdentityID, kind fault.Kind, code string) {
			t.Helper()
			spec := w.spec(name)
			spec.Subscription, spec.Identity = sub, identity
			mustBe(t, errorOf3(w.CreateCredential(ctx, operator, spec)), kind, code)
			mustBe(t, w.RelinkCredential(ctx, operator, w.account, c.ID, sub, identity), kind, code)
		}
		check("no_quota", sub, w.identity, fault.Conflict, "service_expired")
		check("no_vetting", w.sub, draft, fault.Conflict, "identity_not_active")
		check("no_data", w.sub, empty, fault.Invalid, "identity_incomplete")
		check("another_subscription", foreign, w.identity, fault.NotFound, "subscription_not_found")
		check("another_identity", w.sub, w.newIdentity(t, w.other), fault.NotFound, "identity_not_found")
		if after := got(w.Credential(ctx, operator, w.account, c.ID))(t); after.Epoch != c.Epoch || after.Pair != c.Pair {
			t.Errorf("the refusals changed the credential to %+v", after)
		}
		must(t, errorOf(w.GrantQuota(ctx, operator, iam.Grant{Account: w.account, Subscription: sub, Amount: 1, EndsAt: w.clock.Now().Add(time.Minute)})))
		spec := w.spec("quota")
		spec.Subscription = sub
		must(t, errorOf3(w.CreateCredential(ctx, operator, spec)))
		w.clock.Advance(time.Minute)
		check("quota_ended", sub, w.identity, fault.Conflict, "service_expired")
	})
}

func TestCredentialStates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l, rest := w.newLogin(t, "api", good(0)), w.newLogin(t, "rest", nil)
		must(t, w.ChangeClientCertLinks(ctx, operator, w.account, l.cert, []telamon.CredentialID{rest.credential.ID}, nil))
		id := l.credential.ID
		states(t, func() error { return w.DisableCredential(ctx, operator, w.account, id) },
			func() error { return w.EnableCredential(ctx, operator, w.account, id) },
			func() error { return w.DeleteCredential(ctx, operator, w.account, id) })
		cert := got(w.ClientCert(ctx, operator, w.account, l.cert))(t)
		if !slices.Equal(cert.Credentials, []telamon.CredentialID{rest.credential.ID}) {
			t.Errorf("the certificate of a deleted credential is linked to %v, want the other one alone", cert.Credentials)
		}
		mustBe(t, w.RelinkCredential(ctx, operator, w.account, id, w.sub, w.identity), fault.Conflict, "wrong_state")
		mustBe(t, w.SetAllowedIPs(ctx, operator, w.account, id, nil), fault.Conflict, "wrong_state")
		mustBe(t, w.ChangeClientCertLinks(ctx, operator, w.account, l.cert, []telamon.CredentialID{id}, nil), fault.Conflict, "wrong_state")
	})
}

func TestSetAllowedIPs(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx, id := t.Context(), w.newLogin(t, "api", nil).credential.ID
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "0.0.0.0/0": "0.0.0.0/0", "2001:DB8::/32": "2001:db8::/32", "::/0": "::/0",
		"::ffff:192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.0/120": "192.0.2.0/24", "::ffff:0:0/96": "0.0.0.0/0",
	} {
		must(t, w.SetAllowedIPs(ctx, operator, w.account, id, []string{text}))
		if c := got(w.Credential(ctx, operator, w.account, id))(t); len(c.AllowedIPs) != 1 || c.AllowedIPs[0].String() != want {
			t.Errorf("%s is kept as %v, want %s", text, c.AllowedIPs, want)
		}
	}
	before := got(w.Credential(ctx, operator, w.account, id))(t)
	for _, text := range []string{
		"", " 192.0.2.7", "192.0.2.7 ", "192.0.2", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/024", "010.0.0.1", "fe80::1%eth0", "fe80::/10%eth0",
		"2001:db8::1/32", "::ffff:192.0.2.0/95", "::ffff:192.0.2.1/120", "example.com", "192.0.2.1-9", "192.0.2.7,192.0.2.8", "\x00",
	} {
		err := w.SetAllowedIPs(ctx, operator, w.account, id, []string{"192.0.2.7", text})
		if !fault.Is(err, fault.Invalid) || fault.From(err).Code != "invalid_addresses" {
			t.Errorf("%q: %v, want invalid", text, err)
		}
	}
	if c := got(w.Credential(ctx, operator, w.account, id))(t); c.Epoch != before.Epoch || !slices.Equal(c.AllowedIPs, before.AllowedIPs) {
		t.Errorf("the refusals changed the credential to %+v", c)
	}
	must(t, w.SetAllowedIPs(ctx, operator, w.account, id, nil))
	if c := got(w.Credential(ctx, operator, w.account, id))(t); c.AllowedIPs != nil || c.Epoch != before.Epoch+1 {
		t.Errorf("without a list it is %+v", c)
	}
}

// TestSecretIsHidden prints a secret in every way that it could get out by.
func TestSecretIsHidden(t *testing.T) {
	w := newWorld(t, sqlite(t))
	_, secret, err := w.CreateCredential(t.Context(), operator, w.spec("api"))
	must(t, err)
	type wrapped struct {
		Secret iam.Secret
		inner  iam.Secret
		many   []iam.Secret
		byName map[string]iam.Secret
	}
	shapes := map[string]any{
		"itself": secret, "a pointer": &secret, "a list": []iam.Secret{secret}, "a field": wrapped{Secret: secret},
		"an unexported field": wrapped{inner: secret}, "an unexported list": wrapped{many: []iam.Secret{secret}},
		"an unexported map": wrapped{byName: map[string]iam.Secret{"a": secret}},
	}
	for name, v := range shapes {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%e", "%p", "%o", "%z", "%20.40s"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("a secret", "v", v, slog.Group("g", "v", v))
		}
		out.Write(got(json.Marshal(v))(t))
		revealed := secret.Reveal()
		for _, form := range []string{revealed, revealed[:20], fmt.Sprintf("%x", revealed), fmt.Sprintf("%X", revealed)} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s shows %s:\n%s", name, form, out.String())
			}
		}
	}
	if s := fmt.Sprint(secret); s != "[hidden]" || secret.String() != s {
		t.Errorf("Sprint = %s, and String = %s", s, secret.String())
	}
	if s := (iam.Secret{}).Reveal(); s != "" {
		t.Errorf("the zero value reveals %q", s)
	}
}

// TestSecretIsNotStored looks for a secret in every file of the platform.
func TestSecretIsNotStored(t *testing.T) {
	url := sqlite(t)
	w := newWorld(t, url)
	l := w.newLogin(t, "api", nil)
	w.login(t, l)
	mustBe(t, errorOf(w.Login(t.Context(), home, nil, l.key, strings.ToUpper(l.secret))), fault.Unauthenticated, "unauthorized")
	must(t, w.WriteRefusals(t.Context(), true))
	dir, found := filepath.Dir(strings.TrimPrefix(url, "sqlite:")), false
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(l.key))
		for _, form := range []string{l.secret, strings.ToUpper(l.secret), l.secret[:20]} {
			if bytes.Contains(content, []byte(form)) {
				t.Errorf("%s holds the secret", path)
			}
		}
		return err
	}))
	if !found {
		t.Error("no file holds the key; this proves nothing")
	}
}
