package status_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/status"
	"github.com/telamon-ca/telamon/internal/store"
)

// issuers is one issuer, by its ID.
type issuers map[telamon.IssuerID]*telamon.Issuer

func (i issuers) Issuer(id telamon.IssuerID) (*telamon.Issuer, error) {
	if issuer := i[id]; issuer != nil {
		return issuer, nil
	}
	return nil, errors.New("no such issuer")
}

func TestStatus(t *testing.T) {
	id := telamon.NewIssuerID()
	known := issuers{id: {ID: id, Certificate: &x509.Certificate{Raw: []byte("the DER")}}}
	var notReady error
	handler := status.New(status.Config{Issuers: known, CRLs: &shelf{crl: &store.CRL{}}, Ready: func(context.Context) error { return notReady }})
	tests := []struct {
		name, path string
		notReady   error
		status     int
		body       string
	}{
		{"alive", "/healthz", errors.New("disk full"), http.StatusOK, "alive\n"},
		{"ready", "/readyz", nil, http.StatusOK, "ready\n"},
		{"not ready, and the cause stays inside", "/readyz", errors.New("disk full"), http.StatusServiceUnavailable, "not ready\n"},
		{"an issuer", "/ca/" + id.String() + ".cer", nil, http.StatusOK, "the DER"},
		{"an unknown issuer", "/ca/" + telamon.NewIssuerID().String() + ".cer", nil, http.StatusNotFound, "404 page not found\n"},
		{"no ending", "/ca/" + id.String(), nil, http.StatusNotFound, "404 page not found\n"},
		{"not an id", "/ca/iss_x.cer", nil, http.StatusNotFound, "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			notReady = tt.notReady
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("GET %s = %d %q, want %d %q", tt.path, w.Code, w.Body, tt.status, tt.body)
			}
		})
	}
}
