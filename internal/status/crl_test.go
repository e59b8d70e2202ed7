package status_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/status"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// shelf is one CRL of an issuer's shard 3, and how its bytes fail.
type shelf struct {
	crl   *store.CRL
	bytes []byte
	after int   // octets until err
	err   error // nil: they do not
	early bool  // nothing is known yet
}

func (s *shelf) Loaded() bool { return !s.early }

func (s *shelf) Newest(issuer telamon.IssuerID, shard int) *store.CRL {
	if !s.early && issuer == s.crl.Issuer && shard == s.crl.Shard {
		return s.crl
	}
	return nil
}

func (s *shelf) Write(_ context.Context, w io.Writer, _ *store.CRL) error {
	if s.err == nil {
		_, err := w.Write(s.bytes)
		return err
	}
	if s.after > 0 {
		if _, err := w.Write(s.bytes[:s.after]); err != nil {
			return err
		}
	}
	return s.err
}

func newShelf(clock telamon.Clock) *shelf {
	body := bytes.Repeat([]byte("a CRL "), 20_000)
	now := clock.Now().Truncate(time.Second)
	return &shelf{bytes: body, crl: &store.CRL{
		ID: telamon.NewCRLID(), Issuer: telamon.NewIssuerID(), Shard: 3, Number: 7, ThisUpdate: now.Add(-time.Hour),
		NextUpdate: now.Add(time.Hour), Size: int64(len(body)), SHA256: sha256.Sum256(body),
	}}
}

func handler(clock telamon.Clock, known issuers, s *shelf) http.Handler {
	return status.New(status.Config{
		Issuers: known, CRLs: s, Clock: clock, Log: slog.New(slog.DiscardHandler), Ready: func(context.Context) error { return nil },
	})
}

func TestServeCRL(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-30T10:00:00Z")
	s := newShelf(clock)
	server := httptest.NewServer(handler(clock, nil, s))
	defer server.Close()
	path := fmt.Sprintf("/crl/%s/3.crl", s.crl.Issuer)
	get := func(method, path string, header map[string]string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip") // as it is, so that the client does not undo it
		for name, value := range header {
			req.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	res, body := get(http.MethodGet, path, nil)
	tag, modified := res.Header.Get("ETag"), res.Header.Get("Last-Modified")
	if res.StatusCode != http.StatusOK || !bytes.Equal(body, s.bytes) || res.ContentLength != s.crl.Size {
		t.Fatalf("GET %s: %s, %d octets", path, res.Status, len(body))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/pkix-crl", "Content-Encoding": "", "Accept-Ranges": "none", "Last-Modified": "Mon, 30 Nov 2026 09:00:00 GMT",
		"Cache-Control": "public, max-age=300, must-revalidate",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(tag, `"`) || len(tag) < 20 {
		t.Errorf("the entity tag %s is no strong one", tag)
	}
	for _, tt := range []struct {
		name, method, path string
		header             map[string]string
		status, octets     int
	}{
		{"HEAD", "HEAD", path, nil, 200, 0},
		{"the same tag", "GET", path, map[string]string{"If-None-Match": tag}, 304, 0},
		{"one of several tags, a weak one", "GET", path, map[string]string{"If-None-Match": `"x", W/` + tag}, 304, 0},
		{"any tag", "HEAD", path, map[string]string{"If-None-Match": "*"}, 304, 0},
		{"another tag wins over the time", "GET", path, map[string]string{"If-None-Match": `"x"`, "If-Modified-Since": modified}, 200, len(body)},
		{"not modified", "GET", path, map[string]string{"If-Modified-Since": modified}, 304, 0},
		{"modified", "GET", path, map[string]string{"If-Modified-Since": "Mon, 30 Nov 2026 08:59:59 GMT"}, 200, len(body)},
		{"no time", "GET", path, map[string]string{"If-Modified-Since": "yesterday"}, 200, len(body)},
		{"a range", "GET", path, map[string]string{"Range": "bytes=0-9"}, 200, len(body)},
		{"another method", "POST", path, nil, 405, -1},
		{"another shard", "GET", strings.Replace(path, "3.crl", "4.crl", 1), nil, 404, -1},
		{"another issuer", "GET", "/crl/" + telamon.NewIssuerID().String() + "/3.crl", nil, 404, -1},
		{"no issuer", "GET", "/crl/iss_x/3.crl", nil, 404, -1},
		{"no shard", "GET", strings.Replace(path, "3.crl", "x.crl", 1), nil, 404, -1},
		{"a zero before it", "GET", strings.Replace(path, "3.crl", "03.crl", 1), nil, 404, -1},
		{"a sign before it", "GET", strings.Replace(path, "3.crl", "+3.crl", 1), nil, 404, -1},
		{"a shard beyond numbers", "GET", strings.Replace(path, "3.crl", "99999999999999999999.crl", 1), nil, 404, -1},
		{"another ending", "GET", strings.Replace(path, "3.crl", "3.pem", 1), nil, 404, -1},
		{"upper case", "GET", strings.Replace(path, "iss_", "ISS_", 1), nil, 404, -1},
		{"an escaped slash", "GET", strings.Replace(path, "/3.crl", "%2f3.crl", 1), nil, 404, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := get(tt.method, tt.path, tt.header)
			if res.StatusCode != tt.status || tt.octets >= 0 && len(body) != tt.octets {
				t.Errorf("%s %s: %s, %d octets; want %d, %d", tt.method, tt.path, res.Status, len(body), tt.status, tt.octets)
			}
			if tt.status == http.StatusOK && res.ContentLength != s.crl.Size || tt.status == http.StatusNotModified && res.Header.Get("ETag") != tag {
				t.Errorf("%s %s: the length is %d, the tag %s", tt.method, tt.path, res.ContentLength, res.Header.Get("ETag"))
			}
		})
	}
	clock.Advance(58 * time.Minute)
	if res, _ := get("GET", path, nil); res.Header.Get("Cache-Control") != "public, max-age=120, must-revalidate" {
		t.Errorf("two minutes before its end caches may keep the CRL for %s", res.Header.Get("Cache-Control"))
	}
	clock.Advance(time.Hour)
	if res, _ := get("GET", path, nil); res.Header.Get("Cache-Control") != "no-cache" || res.StatusCode != 200 {
		t.Errorf("after its end: %s, %s", res.Status, res.Header.Get("Cache-Control"))
	}
}

// TestServeCRLFails has the database go away before and in the middle of a CRL.
func TestServeCRLFails(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-30T10:00:00Z")
	s := newShelf(clock)
	s.err = errors.New("the database is away")
	server := httptest.NewServer(handler(clock, nil, s))
	defer server.Close()
	at := fmt.Sprintf("%s/crl/%s/3.crl", server.URL, s.crl.Issuer)
	res, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("ETag") != "" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("before the first octet: %s, %v", res.Status, res.Header)
	}
	s.after = 70_000
	if res, err = http.Get(at); err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("a CRL that was cut short reads as a whole one")
	}
}

// patient counts the deadlines that an answer is given, and the most octets between two.
type patient struct {
	*httptest.ResponseRecorder
	deadlines, since, most int
}

func (p *patient) SetWriteDeadline(time.Time) error {
	p.deadlines, p.since = p.deadlines+1, 0
	return nil
}

func (p *patient) Write(b []byte) (int, error) {
	p.since += len(b)
	p.most = max(p.most, p.since)
	return p.ResponseRecorder.Write(b)
}

// TestServeCRLSlowly holds that a client has a time for each part of a CRL that is in
// memory as a whole.
func TestServeCRLSlowly(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-30T10:00:00Z")
	s := newShelf(clock)
	w := &patient{ResponseRecorder: httptest.NewRecorder()}
	handler(clock, nil, s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, fmt.Sprintf("/crl/%s/3.crl", s.crl.Issuer), nil))
	if w.deadlines != 2 || w.most != 64<<10 || !bytes.Equal(w.Body.Bytes(), s.bytes) {
		t.Errorf("%d deadlines for %d octets, %d octets to one of them", w.deadlines, w.Body.Len(), w.most)
	}
}

// TestServePKCS7 asks for an issuer with its cross certificates.
func TestServePKCS7(t *testing.T) {
	id := telamon.NewIssuerID()
	own, cross := &x509.Certificate{Raw: []byte("\x30\x03own")}, &x509.Certificate{Raw: []byte("\x30\x05cross")}
	known := issuers{id: {ID: id, Certificate: own, Crosses: []telamon.CrossCertificate{{Certificate: cross}}}}
	clock := testkit.NewClock(t, "2026-11-30T10:00:00Z")
	w := httptest.NewRecorder()
	handler(clock, known, newShelf(clock)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ca/"+id.String()+".p7c", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/pkcs7-mime; smime-type=certs-only" ||
		!bytes.Contains(w.Body.Bytes(), own.Raw) || !bytes.Contains(w.Body.Bytes(), cross.Raw) {
		t.Errorf("GET .p7c: %d, %v, %x", w.Code, w.Header(), w.Body)
	}
}

// FuzzPath holds that no path of the status face panics, and that what is answered with
// a CRL is the one path of that CRL.
func FuzzPath(f *testing.F) {
	clock := testkit.NewClock(f, "2026-11-30T10:00:00Z")
	s := newShelf(clock)
	id := s.crl.Issuer
	known := issuers{id: {ID: id, Certificate: &x509.Certificate{Raw: []byte("\x30\x00")}}}
	h := handler(clock, known, s)
	f.Add("crl", id.String(), "3.crl", `"x"`)
	f.Add("ca", id.String()+".cer", "", "*")
	f.Add("ca", id.String()+".p7c", "", "")
	f.Add("crl", "..", "%2e%2e", "W/")
	f.Fuzz(func(t *testing.T, a, b, c, match string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/" + a + "/" + b + "/" + c}
		r.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Header().Get("Content-Type") == "application/pkix-crl" && (a != "crl" || b != id.String() || c != "3.crl") {
			t.Errorf("%s gives the CRL", r.URL.Path)
		}
		switch w.Code {
		case http.StatusOK, http.StatusNotModified, http.StatusNotFound, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusBadRequest:
		default:
			t.Errorf("%s is answered with %d", r.URL.Path, w.Code)
		}
	})
}

// TestServeCRLTooEarly asks a server for a CRL that does not know yet what is published.
func TestServeCRLTooEarly(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-30T10:00:00Z")
	s := newShelf(clock)
	s.early = true
	get := func() *http.Response {
		w := httptest.NewRecorder()
		handler(clock, nil, s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, fmt.Sprintf("/crl/%s/3.crl", s.crl.Issuer), nil))
		return w.Result()
	}
	if res := get(); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("before anything is known: %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	s.early = false
	if res := get(); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %s", res.Status)
	}
}
