package keystore_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/testkit"
)

func TestSecret(t *testing.T) {
	kek, _ := keystore.NewKEK()
	cfg := keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: testkit.NewClock(t, "2026-11-30T12:00:00Z")}
	ks, err := keystore.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plain, user := []byte("JBSWY3DPEHPK3PXP"), []byte("usr_1")
	sealed, err := ks.SealSecret("totp", user, plain)
	if err != nil || bytes.Contains(sealed, plain) {
		t.Fatalf("SealSecret = %q, %v", sealed, err)
	}
	if again, err := ks.SealSecret("totp", user, plain); err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealed twice alike, %v", err)
	}
	ks.Close()
	if ks, err = keystore.Open(cfg); err != nil { // as another process does
		t.Fatal(err)
	}
	defer ks.Close()
	if opened, err := ks.OpenSecret("totp", user, sealed); err != nil || !bytes.Equal(opened, plain) {
		t.Errorf("OpenSecret = %q, %v", opened, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another label":   func() ([]byte, error) { return ks.OpenSecret("oidc", user, sealed) },
		"another context": func() ([]byte, error) { return ks.OpenSecret("totp", []byte("usr_2"), sealed) },
		"changed":         func() ([]byte, error) { return ks.OpenSecret("totp", user, changed) },
		"cut off":         func() ([]byte, error) { return ks.OpenSecret("totp", user, sealed[:9]) },
		"nothing":         func() ([]byte, error) { return ks.OpenSecret("totp", user, nil) },
		"another version": func() ([]byte, error) { return ks.OpenSecret("totp", user, append([]byte{2}, sealed[1:]...)) },
	} {
		if opened, err := open(); err == nil || opened != nil {
			t.Errorf("%s: OpenSecret = %q, %v", name, opened, err)
		}
	}
}
