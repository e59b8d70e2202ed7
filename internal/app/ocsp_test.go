package app_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/staff"
)

// TestRequirement93OfReplicas has one replica issue and revoke, and another one, which has
// the same keystore, answer for it over HTTP.
func TestRequirement93OfReplicas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cfg.AdminSocket = ""
		w.cfg.OCSP.InCertificates = []string{app.SeriesTLSEC}
		other := &world{t: t, cfg: w.cfg, clock: w.clock, log: &buffer{}}
		other.start()
		w.start()
		chain := w.shown("ca.example.com")
		leaf, issuer := chain[0], chain[1]
		if len(leaf.OCSPServer) != 1 || !strings.HasPrefix(leaf.OCSPServer[0], w.cfg.StatusBaseURL+"/ocsp/iss_") {
			t.Fatalf("the certificate names OCSP at %q", leaf.OCSPServer)
		}
		path := strings.TrimPrefix(leaf.OCSPServer[0], w.cfg.StatusBaseURL)
		ask := func(of *world) *ocsp.Response {
			t.Helper()
			response, err := of.status(path, leaf, issuer)
			if err != nil {
				t.Fatal(err)
			}
			return response
		}
		here, there := ask(w), ask(other)
		if here.Status != ocsp.Good || there.Status != ocsp.Good {
			t.Errorf("after its issue one says %+v, the other %+v", here, there)
		}
		serial, ok := telamon.SerialFromInt(leaf.SerialNumber)
		if !ok {
			t.Fatal("the serial number has another form")
		}
		if _, err := w.app.Staff.Revoke(t.Context(), app.System, serial, staff.Revocation{Reason: telamon.ReasonSuperseded}); err != nil {
			t.Fatal(err)
		}
		if got := ask(w); got.Status != ocsp.Revoked || got.RevocationReason != ocsp.Superseded {
			t.Errorf("the replica that revoked it says %+v", got)
		}
		w.advance(time.Second)
		if got := ask(other); got.Status != ocsp.Revoked || got.RevocationReason != ocsp.Superseded {
			t.Errorf("a second later the other replica says %+v", got)
		}
		if _, metrics := w.get("http://" + other.server.MetricsAddr.String() + "/metrics"); !strings.Contains(metrics, `telamon_ocsp_answers_total{kind="signed"} 2`) {
			t.Error("the answers are not counted")
		}
	})
}

// status returns what the world answers by OCSP at a path.
func (w *world) status(path string, leaf, issuer *x509.Certificate) (*ocsp.Response, error) {
	der, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+w.server.StatusAddr.String()+path, bytes.NewReader(der))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return ocsp.ParseResponseForCert(body, leaf, issuer)
}

// TestOCSPOff serves no OCSP.
func TestOCSPOff(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.cfg.OCSP.Off = true
		w.start()
		if status, _ := w.get("http://" + w.server.StatusAddr.String() + "/ocsp/" + telamon.NewIssuerID().String()); status != http.StatusNotFound {
			t.Errorf("it answers with %d", status)
		}
	})
}
