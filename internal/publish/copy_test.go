package publish_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// bucket is an S3 service that takes objects of one access key. It computes the
// signature by the steps of "Authenticating Requests (AWS Signature Version 4)".
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte // by path
	puts    int
	fail    bool
}

const (
	accessKey = "AKIDEXAMPLE"
	region    = "eu-central-1"
)

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := sha256.Sum256(body)
	switch {
	case err != nil || b.fail:
		http.Error(w, "<Error><Code>InternalError</Code></Error>", http.StatusInternalServerError)
	case r.Method != http.MethodPut || r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]):
		http.Error(w, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>", http.StatusBadRequest)
	case r.Header.Get("Authorization") != authorization(r):
		http.Error(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>", http.StatusForbidden)
	default:
		b.puts++
		b.objects[r.URL.Path] = body
	}
}

// authorization returns the header that the request must have.
func authorization(r *http.Request) string {
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	names := strings.Split(list, ";")
	for _, name := range []string{"host", "x-amz-content-sha256", "x-amz-date"} {
		if !slices.Contains(names, name) {
			return "SignedHeaders lack " + name
		}
	}
	var headers strings.Builder
	for _, name := range names {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, headers.String(), list, r.Header.Get("X-Amz-Content-Sha256")}, "\n")
	date := r.Header.Get("X-Amz-Date")
	scope := fmt.Sprintf("%.8s/%s/s3/aws4_request", date, region)
	hashed := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + testSecret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, hex.EncodeToString(hashed[:])}, "\n"))
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", accessKey, scope, list, signature)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// testSecret is of no service.
var testSecret = rand40()

func rand40() string { return strings.Repeat(string(telamon.NewCRLID())[4:], 2)[:40] }

func bucketOf(t *testing.T, url string) publish.Target {
	t.Helper()
	target, err := publish.NewBucket(publish.BucketConfig{
		Endpoint: url, Name: "status", Prefix: "a ca/", Region: region, AccessKey: accessKey, Secret: testSecret,
	})
	must(t, err)
	return target
}

// TestCopies copies every CRL to a directory and a bucket, has the bucket fail, and
// brings it back.
func TestCopies(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	b := &bucket{objects: map[string][]byte{}}
	server := httptest.NewServer(b)
	defer server.Close()
	dir := t.TempDir()
	w.targets = []publish.Target{publish.NewDirectory(dir), bucketOf(t, server.URL)}
	w.start()
	same := func(bucketToo bool) {
		t.Helper()
		for place := range w.issuers {
			for shard := range w.issuers[place].CRLShards {
				path := fmt.Sprintf("crl/%s/%d.crl", w.issuers[place].ID, shard)
				got, err := os.ReadFile(filepath.Join(dir, path))
				if want := w.der(t, place, shard); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the file of CRL %s has %d octets of %d: %v", path, len(got), len(want), err)
				}
				b.mu.Lock()
				if (bucketToo || place == root) != bytes.Equal(b.objects["/status/a ca/"+path], got) {
					t.Errorf("the bucket has the CRL %s: %t", path, !bucketToo)
				}
				b.mu.Unlock()
			}
		}
	}
	w.turn(t)
	must(t, w.publisher.Copy(t.Context()))
	same(true)
	must(t, w.publisher.Copy(t.Context()))
	if b.puts != 7 {
		t.Errorf("%d objects were put, want 7", b.puts)
	}
	b.mu.Lock()
	b.fail = true
	b.mu.Unlock()
	w.clock.Advance(day)
	w.turn(t) // publishes whatever becomes of copies; the root's is not due
	if err := w.publisher.Copy(t.Context()); err == nil || strings.Contains(err.Error(), testSecret) {
		t.Errorf("a bucket that fails is told as %v", err)
	}
	same(false)
	must(t, w.publisher.Copy(t.Context())) // it waits
	w.turn(t)
	if h := w.publisher.Health(); h.Uncopied != 6 {
		t.Errorf("%d CRLs are said not to be copied, want 6", h.Uncopied)
	}
	b.mu.Lock()
	b.fail = false
	b.mu.Unlock()
	w.clock.Advance(time.Minute)
	must(t, w.publisher.Copy(t.Context()))
	same(true)
	if left, err := filepath.Glob(filepath.Join(dir, "crl", "*", ".telamon-*")); len(left) > 0 || err != nil {
		t.Errorf("files are left behind: %v", left)
	}
	if info, err := os.Stat(filepath.Join(dir, "crl", w.issuers[single].ID.String(), "0.crl")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file's mode: %v", err)
	}
}

// TestBucketOfOne has two processes copy to one bucket: one of them does.
func TestBucketOfOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := &bucket{objects: map[string][]byte{}}
		server := httptest.NewServer(b)
		defer server.Close()
		w.targets = []publish.Target{bucketOf(t, server.URL)}
		w.start()
		w.turn(t)
		other := &world{db: dbtest.Open(t, w.url, w.clock), engine: w.engine, keys: w.keys, clock: w.clock, targets: w.targets}
		other.start()
		other.turn(t)
		must(t, w.publisher.Copy(t.Context()))
		must(t, other.publisher.Copy(t.Context()))
		if b.puts != 7 {
			t.Errorf("%d objects were put, want 7", b.puts)
		}
		other.turn(t)
		if n := other.publisher.Health().Uncopied; n != 0 {
			t.Errorf("%d CRLs are not copied by who need not", n)
		}
		w.clock.Advance(10 * time.Minute) // the first one has died
		must(t, other.publisher.Copy(t.Context()))
		if b.puts != 14 {
			t.Errorf("after the other one took over, %d objects were put, want 14", b.puts)
		}
	})
}

// TestDirectoryFails has a CRL fail half-way: the old one stays.
func TestDirectoryFails(t *testing.T) {
	dir := t.TempDir()
	d := publish.NewDirectory(dir)
	put := func(text string, fail error) error {
		return d.Put(t.Context(), "crl/a/0.crl", &store.CRL{}, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, fail)
		})
	}
	must(t, put("old", nil))
	broken := errors.New("the database is away")
	if err := put("ne", broken); !errors.Is(err, broken) {
		t.Errorf("a CRL that was cut short: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "crl/a/0.crl")); string(text) != "old" || err != nil {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "crl/a")); len(files) != 1 || err != nil {
		t.Errorf("%d files are there, %v; want one", len(files), err)
	}
}

func TestBucketConfig(t *testing.T) {
	good := publish.BucketConfig{Endpoint: "https://s3.example.com", Name: "b", Region: region, AccessKey: "a", Secret: "s"}
	if _, err := publish.NewBucket(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*publish.BucketConfig){
		"no URL":             func(c *publish.BucketConfig) { c.Endpoint = "s3.example.com" },
		"another scheme":     func(c *publish.BucketConfig) { c.Endpoint = "ftp://s3.example.com" },
		"a secret in it":     func(c *publish.BucketConfig) { c.Endpoint = "https://a:b@s3.example.com" },
		"a URL with control": func(c *publish.BucketConfig) { c.Endpoint = "https://s3\x00" },
		"no name":            func(c *publish.BucketConfig) { c.Name = "" },
		"a path as name":     func(c *publish.BucketConfig) { c.Name = "a/b" },
		"no region":          func(c *publish.BucketConfig) { c.Region = "" },
		"no key":             func(c *publish.BucketConfig) { c.AccessKey = "" },
		"no secret":          func(c *publish.BucketConfig) { c.Secret = "" },
	} {
		c := good
		change(&c)
		if _, err := publish.NewBucket(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
