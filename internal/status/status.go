// Package status serves what relying parties and load balancers fetch over plain
// HTTP: CRLs, OCSP answers, issuer certificates (AIA caIssuers), whether the process is alive and
// whether it can do its work. It authenticates nobody, and everything that it
// serves is public.
package status

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// issuers gives the certificates of issuers.
type issuers interface {
	Issuer(id telamon.IssuerID) (*telamon.Issuer, error)
}

// Config names what a status handler serves from.
type Config struct {
	Issuers issuers
	CRLs    crls
	Clock   telamon.Clock
	Log     *slog.Logger
	// Ready reports why the process cannot do its work, nil if it can. Anybody can
	// have it called, so it must cost nothing.
	Ready func(context.Context) error
	OCSP  OCSPConfig
}

// issuerMaxAge is how long caches may keep an issuer's certificate, which never
// changes.
const issuerMaxAge = 24 * time.Hour

// crossMaxAge is the same for the message with cross certificates, which are added.
const crossMaxAge = time.Hour

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
	mux.HandleFunc("GET /ca/{file}", func(w http.ResponseWriter, r *http.Request) { serveIssuer(w, r, cfg.Issuers) })
	lists := &lists{crls: cfg.CRLs, clock: cfg.Clock, log: cfg.Log}
	mux.HandleFunc("GET /crl/{issuer}/{file}", lists.serve)
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

// serveIssuer answers with an issuer's certificate: alone, or as a certs-only message
// with the certificates that other CAs gave it.
func serveIssuer(w http.ResponseWriter, r *http.Request, from issuers) {
	name, ending, _ := strings.Cut(r.PathValue("file"), ".")
	id, err := telamon.ParseIssuerID(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	issuer, err := from.Issuer(id)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	var body []byte
	maxAge := issuerMaxAge
	switch ending {
	case "cer":
		w.Header().Set("Content-Type", "application/pkix-cert") // RFC 2585, Section 4.1
		body = issuer.Certificate.Raw
	case "p7c":
		certs := []*x509.Certificate{issuer.Certificate}
		for _, cross := range issuer.Crosses {
			certs = append(certs, cross.Certificate)
		}
		if body, err = tbs.CertsOnly(certs); err != nil {
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only") // RFC 5280, Section 4.2.2.1
		maxAge = crossMaxAge
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(maxAge.Seconds())))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
