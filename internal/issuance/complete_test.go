package issuance_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestComplete makes a certificate of a precertificate: the same but for the poison and
// the timestamps, of the same serial number, and once.
func TestComplete(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	req := w.request(t)
	req.Precertificate = true
	token, err := w.engine.Prepare(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	list := []byte{0, 2, 0, 0}
	if _, err := w.engine.Complete(t.Context(), token, list); err == nil {
		t.Error("a precertificate is completed that nobody signed")
	}
	pre, err := w.engine.Sign(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine.Complete(t.Context(), token, nil); err == nil {
		t.Error("a precertificate is completed without timestamps")
	}
	final, err := w.engine.Complete(t.Context(), token, list)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := w.engine.Sign(t.Context(), final)
	if err != nil {
		t.Fatal(err)
	}
	promised, err := tbs.Logged(token.TBS())
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := tbs.Logged(final.TBS()); err != nil || !bytes.Equal(kept, promised) {
		t.Errorf("the certificate does not correspond to its precertificate: %v", err)
	}
	if bytes.Equal(token.TBS(), promised) || bytes.Equal(final.TBS(), promised) {
		t.Error("the poison or the timestamps are missing")
	}
	if got, err := tbs.SCTListOf(final.TBS()); err != nil || !bytes.Equal(got, list) {
		t.Errorf("the certificate holds the timestamps %x, %v; want %x", got, err, list)
	}
	if signed.Serial != pre.Serial || signed.CRLShard != pre.CRLShard || !signed.NotAfter.Equal(pre.NotAfter) {
		t.Errorf("the certificate is %+v, the precertificate %+v", signed, pre)
	}
	if _, err := w.engine.Complete(t.Context(), token, list); err == nil {
		t.Error("a precertificate is completed twice")
	}
	if _, err := w.engine.Complete(t.Context(), final, list); err == nil {
		t.Error("a certificate is completed")
	}
}

// TestCompleteIsLinted has a lint that fails once there are timestamps.
func TestCompleteIsLinted(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	engine := issuance.New(issuance.Config{
		Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example",
		Lint: func(_ context.Context, profile telamon.Profile, der []byte) []fault.Field {
			if list, err := tbs.SCTListOf(der); err != nil || list != nil || profile != telamon.ProfileStrictTLS {
				return []fault.Field{{Path: "e_some_lint"}}
			}
			return nil
		},
	})
	engine.Load(w.made.Issuers, w.made.Series)
	req := w.request(t)
	req.Precertificate, req.Profile = true, telamon.ProfileStrictTLS
	token, err := engine.Prepare(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Sign(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Complete(t.Context(), token, []byte{0, 2, 0, 0}); fault.From(err).Code != "lint" {
		t.Errorf("Complete reports %v, want the failed lint", err)
	}
}
