package playground_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon/internal/playground"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// secrets returns the credentials as their users know them.
func (w *world) secrets() []string {
	var all []string
	for _, c := range w.Description.Credentials {
		all = append(all, c.Name+" "+c.APIKey+" "+c.APISecret)
	}
	return all
}

// tree returns every file below a directory with its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// refused runs a playground that must not start.
func refused(t *testing.T, options playground.Options) {
	t.Helper()
	options.Listen, options.StatusListen, options.Out, options.Log = "127.0.0.1:0", "127.0.0.1:0", io.Discard, io.Discard
	ctx, cancel := context.WithCancel(t.Context())
	options.Started = func(*playground.Running) {
		t.Error("the playground started")
		cancel()
	}
	if err := playground.Run(ctx, options); err == nil {
		t.Error("the playground was not refused")
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	dbtest.EachURL(t, func(t *testing.T, url string) {
		if strings.HasPrefix(url, "sqlite:") {
			url = "" // a playground makes its own
		}
		first := start(t, playground.Options{Database: url})
		before := first.loggedIn("dev_pkcs10")
		serial, cert := before.issue(t, plainRequest(t))
		first.stop()
		second := start(t, playground.Options{Dir: first.dir})
		if diff := cmp.Diff(first.secrets(), second.secrets()); diff != "" {
			t.Errorf("the credentials are others (-first +second):\n%s", diff)
		}
		if got, want := second.Description.StatusURL, first.Description.StatusURL; got != want {
			t.Errorf("issuers are served at %s, but certificates name %s", got, want)
		}
		c := second.loggedIn("dev_pkcs10")
		fresh := c.token
		c.token = before.token
		if a := c.do(http.MethodGet, "/validationpolicy", nil); a.status != http.StatusOK {
			t.Errorf("a token of before: %s", a)
		}
		c.token = fresh
		if a := c.do(http.MethodGet, "/certificates/"+serial, nil); a.member("certificate") != cert {
			t.Errorf("certificate %s: %s", serial, a)
		}
		if a := c.do(http.MethodGet, "/counters/certificates/issued", nil); a.member("value") != "3" {
			t.Errorf("two main jobs and one request later: %s", a)
		}
		// What the first run's certificate says of its issuer, the second serves.
		for _, u := range parseCertificate(t, cert).IssuingCertificateURL {
			res, err := http.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", u, res.Status)
			}
		}
	})
}

func TestReset(t *testing.T) {
	t.Parallel()
	first := start(t, playground.Options{})
	serial, _ := first.loggedIn("dev_pkcs10").issue(t, plainRequest(t))
	own := writeFile(t, filepath.Join(first.dir, "notes.txt"), "a file of the user's own")
	first.stop()
	second := start(t, playground.Options{Dir: first.dir, Reset: true})
	for _, secret := range second.secrets() {
		if slices.Contains(first.secrets(), secret) {
			t.Errorf("%.20s... is that of before", secret)
		}
	}
	if a := second.loggedIn("dev_pkcs10").do(http.MethodGet, "/certificates/"+serial, nil); a.status != http.StatusNotFound {
		t.Errorf("certificate %s of before: %s", serial, a)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
}

// TestResetKeeps resets where that would spoil what is in use.
func TestResetKeeps(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{Database: dbtest.Postgres(t)})
	t.Run("a playground that serves", func(t *testing.T) {
		refused(t, playground.Options{Dir: w.dir, Reset: true})
		w.loggedIn("dev_pkcs10").issue(t, plainRequest(t))
	})
	t.Run("a second server of it", func(t *testing.T) {
		refused(t, playground.Options{Dir: w.dir})
		w.loggedIn("dev_pkcs10").issue(t, plainRequest(t))
	})
	w.stop()
	t.Run("a database that is taken", func(t *testing.T) {
		before := tree(t, w.dir)
		refused(t, playground.Options{Dir: w.dir, Reset: true, Database: w.App.Config.Database})
		if diff := cmp.Diff(before, tree(t, w.dir)); diff != "" {
			t.Errorf("the directory changed (-before +after):\n%s", diff)
		}
	})
}

func TestOtherDirectories(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]string{
		"other things":               {"thesis.tex"},
		"an installation":            {"telamon.yaml", "telamon.db", "kek", filepath.Join("keys", "root.key")},
		"an installation, unstarted": {"telamon.yaml"},
	} {
		for _, reset := range []bool{false, true} {
			how := map[bool]string{false: ", started", true: ", reset"}[reset]
			t.Run(name+how, func(t *testing.T) {
				dir := t.TempDir()
				for _, file := range files {
					path := filepath.Join(dir, file)
					if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
						t.Fatal(err)
					}
					writeFile(t, path, "database: sqlite:telamon.db\n")
				}
				before := tree(t, dir)
				refused(t, playground.Options{Dir: dir, Reset: reset})
				if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
					t.Errorf("the directory changed (-before +after):\n%s", diff)
				}
			})
		}
	}
	t.Run("a file", func(t *testing.T) {
		refused(t, playground.Options{Dir: writeFile(t, filepath.Join(t.TempDir(), "file"), "")})
	})
}

// TestInterruptedStart leaves what a first start leaves that was killed.
func TestInterruptedStart(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	w.stop()
	secrets := w.secrets()
	for _, lost := range [][]string{
		{"dev.json"},
		{"dev_pkcs8.crt", "dev_pkcs8.key", "hvclient-dev_pkcs8.json"},
		{"telamon.db", "telamon.db-wal", "telamon.db-shm"},
		{"keys"},
		{"kek"},
	} {
		for _, name := range append(lost, "dev.json") {
			if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		t.Run("without "+lost[0], func(t *testing.T) {
			w := start(t, playground.Options{Dir: w.dir})
			for _, secret := range w.secrets() {
				if slices.Contains(secrets, secret) {
					t.Errorf("%.20s... is that of before", secret)
				}
			}
			for _, c := range w.Description.Credentials {
				w.loggedIn(c.Name)
			}
		})
	}
}
