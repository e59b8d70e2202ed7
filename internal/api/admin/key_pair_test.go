package admin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestKeyPairs takes a key pair through its life.
func TestKeyPairs(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: "Acme"})
	const all = "/accounts/Acme/key-pairs"
	k := do[admin.KeyPair](w, post, all, admin.NewKeyPair{
		Name: "release", KeyType: "EC-P256", Certificate: &admin.KeyPairCertificate{CommonName: "Acme release", Days: 90},
	})
	if k.Subject != "CN=Acme release,O=Acme" || k.State != telamon.Active || !strings.HasPrefix(k.Certificate, "-----BEGIN CERTIFICATE") ||
		!strings.HasPrefix(k.PublicKey, "-----BEGIN PUBLIC KEY") {
		t.Errorf("the key pair is %+v", k)
	}
	bare := do[admin.KeyPair](w, post, all, admin.NewKeyPair{Name: "bare", KeyType: "RSA-2048"})
	if list := do[admin.List[admin.KeyPair]](w, get, all+"?limit=1", nil); len(list.Items) != 1 || list.Next != k.ID.String() {
		t.Errorf("the first page is %+v", list)
	}
	if list := do[admin.List[admin.KeyPair]](w, get, all+"?after="+k.ID.String(), nil); len(list.Items) != 1 || list.Items[0].ID != bare.ID || list.Next != "" {
		t.Errorf("the second page is %+v", list)
	}
	one := all + "/" + k.ID.String()
	state := func() telamon.State { return do[admin.KeyPair](w, get, one, nil).State }
	do[any](w, post, one+"/disable", nil)
	if got := state(); got != telamon.Disabled {
		t.Errorf("the disabled key pair is %s", got)
	}
	do[any](w, post, one+"/enable", nil)
	do[any](w, post, one+"/revoke", admin.Revocation{Reason: telamon.ReasonKeyCompromise})
	if got := do[admin.KeyPair](w, get, one, nil); got.State != telamon.Revoked || got.RevokedAt == nil || got.Reason != telamon.ReasonKeyCompromise {
		t.Errorf("the revoked key pair is %+v", got)
	}
	do[any](w, del, all+"/"+bare.ID.String(), nil)
	for _, name := range []string{k.KeyName, bare.KeyName} {
		if _, err := w.app.CAKeys.Public(name); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("the key %s: %v, want none", name, err)
		}
	}
	for _, tt := range []struct {
		method, path string
		body         any
		code         string
	}{
		{get, all + "/" + bare.ID.String(), nil, "key_pair_not_found"},
		{get, all + "/x", nil, "key_pair_not_found"},
		{post, one + "/enable", nil, "wrong_state"},
		{post, all, admin.NewKeyPair{Name: "a/b", KeyType: "EC-P256"}, "invalid_key_pair"},
		{post, all + "/" + bare.ID.String() + "/revoke", admin.Revocation{Reason: telamon.ReasonSuperseded}, "no_certificate"},
	} {
		err := w.Do(t.Context(), tt.method, tt.path, tt.body, nil)
		if problem, ok := errors.AsType[*admin.Problem](err); !ok || problem.Code != tt.code {
			t.Errorf("%s %s: %v, want %s", tt.method, tt.path, err, tt.code)
		}
	}
}
