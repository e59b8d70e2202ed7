package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/backup"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/signing"
)

// TestRestoreKeyPair holds that a backup has the keys of key pairs as it has those of CAs,
// that a restored one signs, and that one which was not there is told of.
func TestRestoreKeyPair(t *testing.T) {
	w := newWorld(t)
	var pairs []*telamon.KeyPair
	w.serve(func(a *app.App) {
		account, err := a.IAM.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Acme"})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"kept", "lost"} {
			k, err := a.Signing.Create(t.Context(), operator, signing.NewKeyPair{
				Account: account.ID, Name: name, KeyType: "EC-P256", Certify: &signing.NewCertificate{},
			})
			if err != nil {
				t.Fatal(err)
			}
			pairs = append(pairs, k)
		}
	})
	kept, lost := pairs[0], pairs[1]
	if err := os.Remove(filepath.Join(w.cfg.Keys.Dir, lost.KeyName+".key")); err != nil {
		t.Fatal(err)
	}
	archive := w.backup("backup")
	w.lose(true)
	done, err := w.restore(backup.Options{Archive: archive, Evidence: w.exported(), Act: true})
	if err != nil || len(done.Unledgered) > 0 {
		t.Fatalf("restore: %+v, %v", done, err)
	}
	if len(done.Warnings) != 1 || !strings.Contains(done.Warnings[0], lost.ID.String()) {
		t.Errorf("the restore has the warnings %q, want one of key pair %s", done.Warnings, lost.ID)
	}
	w.serve(func(a *app.App) {
		signer := telamon.Actor{Kind: telamon.ActorUser, Account: kept.Account, User: telamon.NewUserID(), Roles: []string{"SM_SIGNER"}}
		if _, err := a.Signing.Sign(t.Context(), signer, kept.Account, kept.ID, "SHA256withECDSA", make([]byte, 32)); err != nil {
			t.Errorf("the restored key pair: %v", err)
		}
		if _, err := a.Signing.Sign(t.Context(), signer, lost.Account, lost.ID, "SHA256withECDSA", make([]byte, 32)); err == nil {
			t.Error("a key pair without a key signs")
		}
	})
	w.mustHold()
}
