package keystore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestInspect reads a keystore that is in use, and that others have put files into.
func TestInspect(t *testing.T) {
	s := newStore(t)
	leaf := s.leaf(t)
	if _, err := s.SignCertificate("ca", build(t, leaf)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate("fresh", tbs.ECP256); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(s.dir, "ca.journal")
	whole, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	torn := slices.Concat(whole, whole[:17]) // the server is just writing
	for name, content := range map[string][]byte{"ca.journal": torn, "broken.key": []byte("no key"), "kek": []byte("secret")} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := keystore.Config{Dir: s.dir, KEK: s.kek}
	in, err := keystore.Inspect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ca, ok := in.Key("ca")
	if !ok || ca.Err != nil || ca.Purpose.Role != telamon.RoleIssuing || !ca.Last.Equal(s.clock.Now()) || ca.Torn != 17 {
		t.Errorf("the issuing CA's key is %+v", ca)
	}
	var serials []telamon.Serial
	err = in.ReadJournal("ca", func(r keystore.Record) error {
		serials = append(serials, r.Serial)
		return nil
	})
	if err != nil || !slices.Equal(serials, []telamon.Serial{leaf.Serial}) {
		t.Errorf("its journal has %v, %v; want %s", serials, err, leaf.Serial)
	}
	if fresh, ok := in.Key("fresh"); !ok || fresh.Err != nil || fresh.Public == nil || !fresh.Last.IsZero() {
		t.Errorf("the key that has signed nothing is %+v", fresh)
	}
	if broken, ok := in.Key("broken"); !ok || broken.Err == nil {
		t.Errorf("the broken key is %+v", broken)
	}
	if slices.Contains(in.Files, "kek") || !slices.Equal(in.Strange, []string{"kek"}) || !slices.Contains(in.Files, keystore.MasterFile) {
		t.Errorf("its files are %q, and strange are %q", in.Files, in.Strange)
	}
	for _, name := range in.Files {
		if err := keystore.CheckFileName(name); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(in.MAC("x", 1, nil), s.MAC("x", 1, nil)) || !strings.HasPrefix(in.InstallationID(), "ins_") {
		t.Error("the secrets are others than the keystore's")
	}
	other, err := keystore.Inspect(keystore.Config{Dir: newStore(t).dir, KEK: s.kek})
	if err == nil || other != nil {
		t.Error("a keystore under another key-encryption key was read")
	}
	if after, err := os.ReadFile(journal); err != nil || !bytes.Equal(after, torn) {
		t.Errorf("the journal was changed: %v", err)
	}
}

func TestCheckFileName(t *testing.T) {
	for _, name := range []string{"", ".key", "_.key", "a/b.key", "../ca.key", "ca.key.new", "CA.key", "ca.txt", "/ca.key", "ca\x00.key", "__master.key"} {
		if keystore.CheckFileName(name) == nil {
			t.Errorf("%q passes as a file of a keystore", name)
		}
	}
}
