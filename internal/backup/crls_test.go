package backup_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/backup"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
)

// issuer returns the issuing CA that makes the server's certificates.
func (w *world) issuer(a *app.App) telamon.Issuer {
	w.t.Helper()
	issuers, series, err := a.Store.Issuers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range issuers {
		if slices.ContainsFunc(series, func(s telamon.Series) bool { return s.ID == i.Series && s.Name == app.SeriesTLSEC }) {
			return i
		}
	}
	w.t.Fatal("there is no issuer of the server's certificates")
	return telamon.Issuer{}
}

// issued returns the serial numbers of all certificates, the oldest first, and their
// pair.
func (w *world) issued(a *app.App) (serials []telamon.Serial, pair telamon.PairID) {
	w.t.Helper()
	directory, err := a.Store.LoadDirectory(w.t.Context())
	if err != nil || len(directory.Pairs) != 1 {
		w.t.Fatalf("%d pairs, %v; want the system's own", len(directory.Pairs), err)
	}
	pair = directory.Pairs[0].ID
	rows, _, err := a.Store.ListCertificates(w.t.Context(), store.Issued, pair, time.Unix(0, 0), w.clock.Now().Add(time.Hour), 1, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range rows {
		serials = append(serials, row.Serial)
	}
	return serials, pair
}

// revoke revokes certificates.
func (w *world) revoke(a *app.App, pair telamon.PairID, serials ...telamon.Serial) {
	w.t.Helper()
	directory, err := a.Store.LoadDirectory(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, serial := range serials {
		err := a.Store.RevokeCertificate(w.t.Context(), pair, serial, telamon.Revocation{Reason: telamon.ReasonSuperseded}, telamon.Event{
			Actor: operator, Account: directory.Pairs[0].Account, Action: "certificate.revoke", Object: serial.String(), Result: "ok",
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// publish publishes what is due and returns the CRL of the server's issuer.
func (w *world) publish(a *app.App) (der []byte, list *x509.RevocationList) {
	w.t.Helper()
	p := publish.New(publish.Config{Store: a.Store, Issuers: a.Issuance, Keys: a.CAKeys, Clock: w.clock, Schedule: publish.DefaultSchedule})
	if err := p.Turn(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	issuer := w.issuer(a)
	newest := p.Newest(issuer.ID, 0)
	if newest == nil {
		w.t.Fatal("there is no CRL")
	}
	var out bytes.Buffer
	if err := p.Write(w.t.Context(), &out, newest); err != nil {
		w.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(out.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(issuer.Certificate); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes(), list
}

// names reports whether the CRL has the serial number.
func names(list *x509.RevocationList, serial telamon.Serial) bool {
	return slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial.Int()) == 0 })
}

// TestRequirement122RestoredServerIssuesHigherCRLNumber restores a backup that is older
// than a published CRL: what the CRL revoked stays revoked, also a certificate that the
// backup does not know, and the next CRL has a higher number, although the clock has
// not come that far.
func TestRequirement122RestoredServerIssuesHigherCRLNumber(t *testing.T) {
	w := newWorld(t)
	w.serve(func(a *app.App) { w.publish(a) })
	archive := w.backup("backup")
	w.clock.Advance(80 * 24 * time.Hour) // the server issues itself another certificate

	var der []byte
	var published *x509.RevocationList
	var revoked []telamon.Serial
	w.serve(func(a *app.App) {
		serials, pair := w.issued(a)
		if len(serials) != 2 {
			t.Fatalf("%d certificates were issued, want two", len(serials))
		}
		revoked = serials
		ahead := w.clock.Now().Add(24 * time.Hour).UnixMilli()
		if err := a.Store.RaiseCRLNumber(t.Context(), w.issuer(a).ID, 0, ahead); err != nil { // a clock was ahead
			t.Fatal(err)
		}
		w.revoke(a, pair, serials...)
		der, published = w.publish(a)
	})
	file := filepath.Join(w.dir, "published.crl")
	if err := os.WriteFile(file, der, 0o600); err != nil {
		t.Fatal(err)
	}
	w.lose(true)
	for name, content := range map[string][]byte{"cut off": der[:len(der)-1], "altered": alter(der), "no CRL": []byte("hello")} {
		damaged := filepath.Join(w.dir, "damaged.crl")
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		o := backup.Options{Archive: archive, Evidence: backup.Evidence{CRLs: []string{damaged}}, Act: true, AcceptLoss: true}
		if r, err := w.restore(o); err == nil || r.Done {
			t.Errorf("a CRL that is %s is taken for evidence: %+v", name, r.Admission)
		}
	}
	o := backup.Options{Archive: archive, Evidence: backup.Evidence{CRLs: []string{file}}, Act: true}
	if r, err := w.restore(o); !errors.Is(err, backup.ErrLoss) || r.Revocations != 2 || r.Unknown != 1 || len(r.Losses) != 2 {
		t.Fatalf("a backup older than a published CRL: %+v, %v; want two revocations, one of them unknown", r.Admission, err)
	}
	o.AcceptLoss = true
	if _, err := w.restore(o); err != nil {
		t.Fatal(err)
	}
	w.cfg.Audit.CheckpointFile = "" // the exported checkpoint is another matter
	w.serve(func(a *app.App) {
		_, next := w.publish(a)
		if next.Number.Cmp(published.Number) <= 0 {
			t.Errorf("the next CRL has the number %s, and %s was published", next.Number, published.Number)
		}
		for _, serial := range revoked {
			if !names(next, serial) {
				t.Errorf("the next CRL does not name %s", serial)
			}
			if is, _, err := a.Store.IsRevoked(t.Context(), serial); !is || err != nil {
				t.Errorf("%s is no more revoked: %v", serial, err)
			}
		}
		for _, e := range next.RevokedCertificateEntries {
			was := slices.IndexFunc(published.RevokedCertificateEntries, func(p x509.RevocationListEntry) bool { return p.SerialNumber.Cmp(e.SerialNumber) == 0 })
			if was < 0 || !published.RevokedCertificateEntries[was].RevocationTime.Equal(e.RevocationTime) || published.RevokedCertificateEntries[was].ReasonCode != e.ReasonCode {
				t.Errorf("the next CRL has %+v, which was published otherwise", e)
			}
		}
	})
	w.mustHold()
}

func alter(der []byte) []byte {
	out := slices.Clone(der)
	out[len(out)/2] ^= 1
	return out
}

// TestFetchedCRLs finds published CRLs by itself.
func TestFetchedCRLs(t *testing.T) {
	w := newWorld(t)
	archive := w.backup("backup")
	file := filepath.Join(w.dir, "published.crl")
	var of telamon.IssuerID
	w.serve(func(a *app.App) {
		der, _ := w.publish(a)
		of = w.issuer(a).ID
		if err := os.WriteFile(file, der, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	w.lose(true)
	asked := 0
	o := backup.Options{Archive: archive, Evidence: backup.Evidence{Fetch: func(_ context.Context, issuer telamon.IssuerID, shard int) (string, error) {
		if asked++; issuer == of && shard == 0 {
			return file, nil
		}
		return "", nil
	}}}
	if r, err := w.restore(o); !errors.Is(err, backup.ErrLoss) || len(r.CRLs) != 1 || asked != 8 {
		t.Errorf("%d CRLs were asked for: %+v, %v", asked, r.Admission, err)
	}
	o.Evidence.Fetch = func(context.Context, telamon.IssuerID, int) (string, error) { return "", errors.New("no route") }
	if r, err := w.restore(o); err != nil || len(r.Warnings) != 8 || !strings.Contains(r.Warnings[0], "no route") {
		t.Errorf("without a network, and without a CRL in the backup: %+v, %v; want warnings", r.Admission, err)
	}
	// A CRL of somebody else who has taken the issuer's name is no evidence.
	other := newOther(t)
	other.serve(func(a *app.App) {
		der, _ := other.publish(a)
		if err := os.WriteFile(file, der, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	o.Evidence = backup.Evidence{CRLs: []string{file}}
	if r, err := w.restore(o); !errors.Is(err, crl.ErrSignature) {
		t.Errorf("a CRL of another installation: %+v, %v; want ErrSignature", r.Admission, err)
	}
}

// TestCRLsOutOfSight restores a backup that knows of CRLs, and does not find each of them.
func TestCRLsOutOfSight(t *testing.T) {
	w := newWorld(t)
	old, newest := filepath.Join(w.dir, "old.crl"), filepath.Join(w.dir, "newest.crl")
	var of telamon.IssuerID
	keep := func(file string) func(*app.App) {
		return func(a *app.App) {
			der, _ := w.publish(a)
			of = w.issuer(a).ID
			if err := os.WriteFile(file, der, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.serve(keep(old))
	w.clock.Advance(5 * 24 * time.Hour) // another CRL is due
	w.serve(keep(newest))
	archive := w.backup("backup")
	w.lose(true)
	for _, tt := range []struct {
		name  string
		given []string
		path  string // of what is fetched of the issuer
		err   error
		lost  string // what is told of the issuer; "" for nothing
	}{
		{"a network that is down", nil, "", errors.New("no route"), "no route"},
		{"nothing is there", nil, "", nil, "not where it was published"},
		{"an old one is there", nil, old, nil, "and the database knows"},
		{"no CRL is there", nil, filepath.Join(w.dir, "backup"), nil, "1 of 1 CRLs"},
		{"it is there", nil, newest, nil, ""},
		{"an old one was given", []string{old}, "", nil, "not where it was published"},
		{"an old one was given, and it is there", []string{old}, newest, nil, ""},
		{"it was given", []string{newest}, "", errors.New("no route"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			others := 0
			r, err := w.restore(backup.Options{Archive: archive, Evidence: backup.Evidence{
				CRLs: tt.given,
				Fetch: func(_ context.Context, issuer telamon.IssuerID, _ int) (string, error) {
					if issuer == of {
						return tt.path, tt.err
					}
					others++
					return "", nil
				},
			}})
			if !errors.Is(err, backup.ErrLoss) || others != 7 {
				t.Fatalf("%d other CRLs were looked for, and it is %v; want 7, whose lack is a loss", others, err)
			}
			told := slices.ContainsFunc(r.Losses, func(loss string) bool {
				return strings.Contains(loss, of.String()) && strings.Contains(loss, cmp.Or(tt.lost, "CRL"))
			})
			if told != (tt.lost != "") {
				t.Errorf("the losses are %q, want one with %q", r.Losses, tt.lost)
			}
		})
	}
}
