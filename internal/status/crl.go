package status

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
)

// crls gives the CRLs that are published.
type crls interface {
	// Loaded reports whether it is known what is published; before that Newest has
	// nothing.
	Loaded() bool
	Newest(issuer telamon.IssuerID, shard int) *store.CRL
	Write(ctx context.Context, w io.Writer, crl *store.CRL) error
}

// lists serves CRLs.
type lists struct {
	crls  crls
	clock telamon.Clock
	log   *slog.Logger
}

// serve answers with the newest CRL of a shard, whole and not compressed: caches and
// clients of CRLs are simple, and a part of one is of no use.
func (l *lists) serve(w http.ResponseWriter, r *http.Request) {
	crl := l.find(r.PathValue("issuer"), r.PathValue("file"))
	if crl == nil && !l.crls.Loaded() { // a cache might keep that there is none
		w.Header().Set("Retry-After", "1")
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	if crl == nil {
		http.NotFound(w, r)
		return
	}
	tag := fmt.Sprintf(`"%x"`, crl.SHA256[:16])
	header := w.Header()
	header.Set("ETag", tag)
	header.Set("Last-Modified", crl.ThisUpdate.UTC().Format(http.TimeFormat))
	header.Set("Cache-Control", publish.CacheControl(crl, l.clock.Now()))
	header.Set("Accept-Ranges", "none")
	if isUnchanged(r, tag, crl.ThisUpdate) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", "application/pkix-crl") // RFC 2585, Section 4.2
	header.Set("Content-Length", strconv.FormatInt(crl.Size, 10))
	if r.Method == http.MethodHead {
		return
	}
	l.send(w, r, crl)
}

// find returns the CRL that a path asks for, nil if there is none.
func (l *lists) find(issuer, file string) *store.CRL {
	name, ok := strings.CutSuffix(file, ".crl")
	id, err := telamon.ParseIssuerID(issuer)
	if !ok || err != nil {
		return nil
	}
	shard, err := strconv.ParseUint(name, 10, 31)
	if err != nil || strconv.FormatUint(shard, 10) != name { // one path for one CRL
		return nil
	}
	return l.crls.Newest(id, int(shard))
}

// isUnchanged reports whether the client has the CRL (RFC 9110, Section 13.2.2).
func isUnchanged(r *http.Request, tag string, modified time.Time) bool {
	if tags := r.Header.Values("If-None-Match"); len(tags) > 0 {
		for one := range strings.SplitSeq(strings.Join(tags, ","), ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && !modified.After(since)
}

// A client may take chunkTimeout for every chunkSize octets of a CRL: a large one takes
// longer over a slow line than any other answer.
const (
	chunkSize    = 64 << 10
	chunkTimeout = 30 * time.Second
)

// send writes the CRL. A failure before its first octet is answered with 503, a later
// one ends the connection.
func (l *lists) send(w http.ResponseWriter, r *http.Request, crl *store.CRL) {
	out := &patientWriter{w: w, control: http.NewResponseController(w)}
	err := l.crls.Write(context.WithoutCancel(r.Context()), out, crl)
	switch {
	case err == nil:
	case out.n > 0:
		l.log.DebugContext(r.Context(), "a CRL was cut short", "issuer", crl.Issuer, "shard", crl.Shard, "error", err)
		panic(http.ErrAbortHandler)
	default:
		l.log.ErrorContext(r.Context(), "cannot serve a CRL", "issuer", crl.Issuer, "shard", crl.Shard, "error", err)
		for _, name := range []string{"ETag", "Last-Modified", "Content-Length", "Accept-Ranges"} {
			w.Header().Del(name)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Retry-After", "5")
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
	}
}

// patientWriter gives each chunk of a write a time of its own.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
	n       int64
}

// Write implements io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	written := 0
	for chunk := range slices.Chunk(b, chunkSize) {
		// A writer without deadlines, such as a test's, needs none.
		_ = p.control.SetWriteDeadline(time.Now().Add(chunkTimeout))
		n, err := p.w.Write(chunk)
		written += n
		p.n += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
