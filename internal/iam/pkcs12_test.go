package iam_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// generate makes a certificate with its key.
func (w *world) generate(t testing.TB, actor telamon.Actor, req iam.GeneratedCertRequest) *iam.GeneratedUserCert {
	t.Helper()
	return got(w.GenerateUserCert(t.Context(), actor, req))(t)
}

// TestGenerateUserCert opens the file and checks what is in it.
func TestGenerateUserCert(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, ci := t.Context(), w.serviceUser(t, "ci")
		for encryption, hash := range map[string]string{"AES": "SHA-256", "3DES": "SHA-512", "": ""} {
			made := w.generate(t, ci, iam.GeneratedCertRequest{Name: "by " + encryption, Encryption: encryption, Hash: hash})
			file := got(w.DownloadPKCS12(ctx, ci, made.ID, made.Download.Reveal()))(t)
			key, leaf, chain, err := pkcs12.DecodeChain(file, made.Password.Reveal())
			must(t, err)
			private, ok := key.(*rsa.PrivateKey)
			if !ok || !private.PublicKey.Equal(leaf.PublicKey) || private.N.BitLen() != 2048 || !leaf.Equal(made.Certificate) ||
				len(chain) != 1 || !chain[0].Equal(made.CA) || leaf.Subject.CommonName != strings.TrimSpace("by "+encryption) {
				t.Errorf("the file of %q has a key of %s and %d certificates", encryption, leaf.Subject, 1+len(chain))
			}
			if want := map[string]x509.SignatureAlgorithm{"SHA-512": x509.ECDSAWithSHA512}[hash]; leaf.SignatureAlgorithm != want && want != 0 {
				t.Errorf("it is signed by %s", leaf.SignatureAlgorithm)
			}
			mustBe(t, errorOf(w.DownloadPKCS12(ctx, ci, made.ID, made.Download.Reveal())), fault.NotFound, "download_not_found")
			der := x509.MarshalPKCS1PrivateKey(private)
			for _, event := range w.events(t, "") {
				if strings.Contains(event.Object, made.Download.Reveal()) {
					t.Error("the audit log has the value that fetches the file")
				}
			}
			w.mustNotKeep(t, der, private.Primes[0].Bytes(), []byte(made.Password.Reveal()), []byte(made.Download.Reveal()), file)
		}
		if n := len(w.events(t, "client_certificate.download")); n != 3 {
			t.Errorf("%d downloads are in the audit log, want 3", n)
		}
	})
}

// mustNotKeep checks that a database of SQLite has none of the texts in its files.
func (w *world) mustNotKeep(t testing.TB, secrets ...[]byte) {
	t.Helper()
	path, ok := strings.CutPrefix(w.url, "sqlite:")
	if !ok {
		return
	}
	path, _, _ = strings.Cut(path, "?")
	read := 0
	for _, name := range []string{path, path + "-wal"} {
		content, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		read += len(content)
		for _, secret := range secrets {
			if bytes.Contains(content, secret) {
				t.Errorf("%s holds a secret of %d octets", name, len(secret))
			}
		}
	}
	if read == 0 {
		t.Fatalf("no file of %s was read, so this proves nothing", w.url)
	}
}

// TestDownloadOnce lets several fetch one file at once, with the right value and wrong
// ones.
func TestDownloadOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, ci := t.Context(), w.serviceUser(t, "ci")
		made := w.generate(t, ci, iam.GeneratedCertRequest{Name: "build"})
		mustBe(t, errorOf(w.DownloadPKCS12(ctx, ci, made.ID, "x")), fault.NotFound, "download_not_found")
		mustBeKind(t, errorOf(w.DownloadPKCS12(ctx, w.serviceUser(t, "other"), made.ID, made.Download.Reveal())), fault.NotFound)
		var fetchers sync.WaitGroup
		errs := make([]error, 5)
		for i := range errs {
			fetchers.Go(func() { errs[i] = errorOf(w.DownloadPKCS12(ctx, ci, made.ID, made.Download.Reveal())) })
		}
		fetchers.Wait()
		fetched := 0
		for _, err := range errs {
			if err == nil {
				fetched++
			} else {
				mustBe(t, err, fault.NotFound, "download_not_found")
			}
		}
		if n := len(w.events(t, "client_certificate.download")); fetched != 1 || n != 1 {
			t.Errorf("%d fetched the file and %d events tell of it, want one", fetched, n)
		}
	})
}

// TestDownloadsEnd holds that a file waits for ten minutes, and that what waited for
// longer is purged and nothing else.
func TestDownloadsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, ci := t.Context(), w.serviceUser(t, "ci")
		old, deleted := w.generate(t, ci, iam.GeneratedCertRequest{Name: "old"}), w.generate(t, ci, iam.GeneratedCertRequest{Name: "deleted"})
		must(t, w.DeleteUserCert(ctx, ci, deleted.ID))
		w.clock.Advance(10 * time.Minute)
		late := w.generate(t, ci, iam.GeneratedCertRequest{Name: "late"})
		for _, made := range []*iam.GeneratedUserCert{old, deleted} {
			mustBeKind(t, errorOf(w.DownloadPKCS12(ctx, ci, made.ID, made.Download.Reveal())), fault.NotFound)
		}
		must(t, w.db.PurgeDownloads(ctx))
		w.clock.Advance(10*time.Minute - time.Millisecond)
		must(t, w.db.PurgeDownloads(ctx))
		must(t, errorOf(w.DownloadPKCS12(ctx, ci, late.ID, late.Download.Reveal())))
		for _, made := range []*iam.GeneratedUserCert{old, late} { // by their hashes, as if the first check was not there
			_, err := w.db.TakeDownload(ctx, ci, w.account, made.ID, iam.DownloadHash(made.Download.Reveal()))
			mustBe(t, err, fault.NotFound, "download_not_found")
		}
	})
}

// TestGenerateManyAtOnce holds that those who wait too long for a key are told so, and
// that nothing is left of those who gave up.
func TestGenerateManyAtOnce(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ci := w.serviceUser(t, "ci")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errorOf(w.GenerateUserCert(ctx, ci, iam.GeneratedCertRequest{Name: "gone"})); err == nil {
		t.Error("a request that was given up got its certificate")
	}
	var makers sync.WaitGroup
	for i := range 6 {
		makers.Go(func() {
			if err := errorOf(w.GenerateUserCert(t.Context(), ci, iam.GeneratedCertRequest{Name: "build " + string(rune('a'+i))})); err != nil {
				t.Error(err)
			}
		})
	}
	makers.Wait()
	if list := got(w.UserCerts(t.Context(), ci, ""))(t); len(list) != 6 {
		t.Errorf("%d certificates are there, want 6", len(list))
	}
}

// TestKeysBusy holds that who waits for a key gives up after ten seconds.
func TestKeysBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := iam.New(iam.Config{Clock: testkit.NewClock(t, now)})
		release := got(s.HoldKeys(t.Context()))(t)
		start := time.Now()
		mustBe(t, s.MakeKey(t.Context()), fault.Unavailable, "keys_busy")
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("it waited for %s, want 10 s", waited)
		}
		release()
		must(t, s.MakeKey(t.Context()))
	})
}

// TestP12Passwords holds that each letter and digit comes as often as any other, and that
// printing one hides it.
func TestP12Passwords(t *testing.T) {
	const n = 2000
	counts := map[rune]int{}
	for range n {
		text := iam.NewP12Password().Reveal()
		if len(text) != 12 {
			t.Fatalf("%q is a password", text)
		}
		for _, r := range text {
			counts[r]++
		}
	}
	const expected = float64(n) * 12 / 62
	square := 0.0
	for _, count := range counts {
		square += (float64(count) - expected) * (float64(count) - expected) / expected
	}
	if len(counts) != 62 || square > 150 { // of 61 degrees of freedom: once in 10^9
		t.Errorf("%d characters come, chi square %.0f", len(counts), square)
	}
}
