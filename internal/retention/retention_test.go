package retention_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/retention"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestCheck(t *testing.T) {
	const years = 730 * rules.Day
	tests := []struct {
		certificates, audit time.Duration
		want                string // part of the problem, "" for none
	}{
		{0, 0, ""}, {years, 0, ""}, {0, years, ""}, {2 * years, years, ""},
		{years - 1, 0, "certificates"}, {0, years - 1, "audit"}, {-years, 0, "certificates"}, {years, -1, "audit"},
	}
	for _, tt := range tests {
		err := retention.Check(rules.Default(), tt.certificates, tt.audit)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Check(%s, %s) = %v, want something about %q", tt.certificates, tt.audit, err, tt.want)
		}
	}
}

func TestArchive(t *testing.T) {
	dir := t.TempDir()
	archive := &retention.Archive{Dir: dir}
	at := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	old := telamon.NewSerial(at)
	certificates := []store.ExpiredCertificate{
		{Certificate: telamon.Certificate{Serial: telamon.NewSerial(at), NotAfter: at, AcceptedAt: at}, Blob: store.Blob{DER: []byte("DER"), Request: []byte(`{"a":1}`)}},
		{Certificate: telamon.Certificate{
			Serial: telamon.NewSerial(at), NotAfter: at.Add(time.Second), RekeyOf: &old,
			Revocation: &telamon.Revocation{At: at, Reason: telamon.ReasonSuperseded},
		}, Blob: store.Blob{DER: []byte("other")}},
	}
	for range 2 { // a transaction that failed is done again
		if err := archive.Write(certificates); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(filepath.Join(dir, "2026-11", certificates[0].Certificate.Serial.String()+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(text)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if err != nil || len(lines) != 2 || !strings.Contains(lines[0], `"request":{"a":1}`) || !strings.Contains(lines[1], `"reason":"superseded"`) {
		t.Errorf("the archive holds %q, %v", lines, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := archive.Write(certificates); err == nil {
		t.Error("an archive that is no directory takes certificates")
	}
}

func TestPace(t *testing.T) {
	if err := retention.Pace(t.Context(), time.Microsecond); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := retention.Pace(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a pause of a server that stops ends with %v", err)
	}
}
