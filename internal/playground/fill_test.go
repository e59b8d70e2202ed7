package playground_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/telamon-ca/telamon/internal/playground"
)

// TestFill fills the database of a playground that serves.
func TestFill(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.synthetic = true
		d, err := playground.ReadDescription(filepath.Join(w.dir, "dev.json"))
		if err != nil {
			t.Fatal(err)
		}
		credential, err := d.Credential("dev_pkcs10")
		if err != nil {
			t.Fatal(err)
		}
		const n = 250
		steps := 0
		filled, err := playground.Fill(t.Context(), d, credential, n, false, func(string) { steps++ })
		if err != nil {
			t.Fatal(err)
		}
		if filled.Filled != n || filled.Total != n+1 || steps != 1 { // and the main job's
			t.Errorf("Fill: %+v in %d steps", filled, steps)
		}
		c := w.loggedIn("dev_pkcs10")
		if a := c.do(http.MethodGet, "/counters/certificates/issued", nil); a.member("value") != "251" {
			t.Errorf("the counter: %s", a)
		}
		serial, _ := c.issue(t, plainRequest(t))
		if a := c.do(http.MethodDelete, "/certificates/"+serial, nil); a.status != http.StatusNoContent {
			t.Errorf("revoke between synthetic certificates: %s", a)
		}
	})
}

// TestFillRefuses asks for what cannot be filled.
func TestFillRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	if _, err := playground.Fill(t.Context(), w.Description, w.credential("dev_ecdsa"), 10, false, func(string) {}); err == nil {
		t.Error("a credential without a certificate to copy was filled")
	}
	unknown := *w.credential("dev_pkcs10")
	unknown.APIKey = "0000000000000000"
	if _, err := playground.Fill(t.Context(), w.Description, &unknown, 10, false, func(string) {}); err == nil {
		t.Error("a credential that the database has not was filled")
	}
	if _, err := w.Description.Credential("nobody"); err == nil {
		t.Error("there is a credential of nobody")
	}
	if _, err := playground.ReadDescription(writeFile(t, filepath.Join(t.TempDir(), "dev.json"), "{")); err == nil {
		t.Error("half a description was read")
	}
}
