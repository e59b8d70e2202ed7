// Package status serves what relying parties and load balancers fetch over plain
// HTTP: issuer certificates (AIA caIssuers), OCSP answers, whether the process is alive and
// whether it can do its work. It authenticates nobody, and everything that it
// serves is public.
package status

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
)

// issuers gives the certificates of issuers.
type issuers interface {
	Issuer(id telamon.IssuerID) (*telamon.Issuer, error)
}

// Config names what a status handler serves from.
type Config struct {
	Issuers issuers
	// Ready reports why the process cannot do its work, nil if it can. Anybody can
	// have it called, so it must cost nothing.
	Ready func(context.Context) error
	OCSP  OCSPConfig
}

// issuerMaxAge is how long caches may keep an issuer's certificate, which never
// changes.
const issuerMaxAge = 24 * time.Hour

// New returns the handler.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "alive\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := cfg.Ready(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "not ready\n") // the cause is in the log: this listener is public
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /ca/{file}", func(w http.ResponseWriter, r *http.Request) {
		cert := certificate(cfg.Issuers, r.PathValue("file"))
		if cert == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/pkix-cert") // RFC 2585, Section 4.1
		w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(issuerMaxAge.Seconds())))
		w.Write(cert.Raw)
	})
	if cfg.OCSP.Answers == nil {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, ocspPath) {
			cfg.OCSP.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// certificate returns the issuer's certificate that a file name asks for, nil if
// there is none.
func certificate(from issuers, file string) *x509.Certificate {
	name, ok := strings.CutSuffix(file, ".cer")
	if !ok {
		return nil
	}
	id, err := telamon.ParseIssuerID(name)
	if err != nil {
		return nil
	}
	issuer, err := from.Issuer(id)
	if err != nil {
		return nil
	}
	return issuer.Certificate
}
