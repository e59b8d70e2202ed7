package status

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ocsp"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/web"
)

// answers answers OCSP requests.
type answers interface {
	Answer(ctx context.Context, issuer telamon.IssuerID, der []byte, mayLive func() bool) *responder.Answer
}

// OCSPConfig says how OCSP is served.
type OCSPConfig struct {
	Answers answers // nil serves no OCSP
	Clock   telamon.Clock
	// MaxAge is how long HTTP caches may keep an answer that itself holds longer.
	MaxAge time.Duration
	// Live and LiveAddresses bound the answers that are signed for one request: all
	// together, and those of one address.
	Live, LiveAddresses *web.Limiter
}

// ocspPath is where OCSP is served: POST to the issuer's ID below it, GET below that.
const ocspPath = "/ocsp/"

// ocspRoute is the route in logs and metrics.
const ocspRoute = ocspPath + "{issuer}"

// ServeHTTP serves OCSP over HTTP (RFC 6960, Appendix A.1; RFC 5019, Section 5). What is
// no request gets an OCSP answer that says so, with status 200 like every other.
//
// It is not behind a ServeMux, which would clean the path: the base64 text of a request
// may hold two slashes in a row.
func (c *OCSPConfig) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Pattern = ocspRoute
	id, encoded, below := strings.Cut(strings.TrimPrefix(r.URL.Path, ocspPath), "/")
	issuer, err := telamon.ParseIssuerID(id)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	var der []byte
	switch r.Method {
	case http.MethodPost:
		if below && encoded != "" {
			http.NotFound(w, r)
			return
		}
		// What cannot be read, or is too long, is malformed.
		der, _ = io.ReadAll(io.LimitReader(r.Body, ocsp.MaxRequest+1))
	case http.MethodGet, http.MethodHead:
		der = decodePath(encoded)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	answer := c.Answers.Answer(r.Context(), issuer, der, func() bool { return c.mayLive(r.RemoteAddr) })
	c.write(w, r, answer)
}

// decodePath returns the request that a path holds in base64; nil, which is none, if
// it holds something else. Some clients escape it twice, put a slash too many in front,
// leave the padding out or use the alphabet of base64url.
func decodePath(text string) []byte {
	if strings.Contains(text, "%") {
		once, err := url.PathUnescape(text)
		if err != nil {
			return nil
		}
		text = once
	}
	text = strings.TrimRight(strings.TrimLeft(text, "/"), "=")
	if len(text) > base64.StdEncoding.EncodedLen(ocsp.MaxRequest) {
		return nil
	}
	if strings.ContainsAny(text, "-_") {
		text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	}
	der, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return der
}

// mayLive reports whether one more answer may be signed for a request from the address.
func (c *OCSPConfig) mayLive(remote string) bool {
	address, err := netip.ParseAddrPort(remote)
	return err == nil && c.LiveAddresses.Allow(web.AddressKey(address.Addr().Unmap())) == nil && c.Live.Allow("") == nil
}

// The headers of every answer. They are shared by all answers and never changed.
var (
	ocspType = []string{"application/ocsp-response"}
	noStore  = []string{"no-store"}
)

// write writes an answer with the headers of RFC 5019, Section 5. That to a POST has
// none of them that are for caches, which do not keep it.
func (c *OCSPConfig) write(w http.ResponseWriter, r *http.Request, a *responder.Answer) {
	h := w.Header()
	h["Content-Type"] = ocspType
	h["Content-Length"] = []string{strconv.Itoa(len(a.DER))}
	if r.Method == http.MethodPost {
		w.Write(a.DER)
		return
	}
	now := c.Clock.Now()
	keep := min(a.KeepUntil.Sub(now), c.MaxAge)
	if a.KeepUntil.IsZero() || keep < time.Second {
		h["Cache-Control"] = noStore
		w.Write(a.DER)
		return
	}
	tag := `"` + hex.EncodeToString(a.Digest[:]) + `"`
	h["Etag"] = []string{tag}
	h["Last-Modified"] = []string{a.ThisUpdate.Format(http.TimeFormat)}
	h["Expires"] = []string{a.NextUpdate.Format(http.TimeFormat)}
	h["Cache-Control"] = []string{"max-age=" + strconv.Itoa(int(keep.Seconds())) + ", public, no-transform, must-revalidate"}
	if r.Header.Get("If-None-Match") == tag {
		delete(h, "Content-Length")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(a.DER)
}
