package digicertone

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	userPath = "/account/api/v1/user/{id}"
	signPath = "/signingmanager/api/v1/keypairs/{id}/sign"
)

// everyFault has at least one fault of each kind, and one of each code that is answered in
// a way of its own, with the path of a route.
func everyFault() []struct {
	path string
	*fault.Fault
} {
	cause := errors.New("a secret of the inside")
	fields := []fault.Field{{Path: "csr", Problem: "is required"}, {Path: "name", Problem: "has more than 255 characters"}}
	type entry = struct {
		path string
		*fault.Fault
	}
	return []entry{
		{userPath, &fault.Fault{Kind: fault.Internal, Code: "internal", Detail: "a secret of the inside", Cause: cause}},
		{userPath, &fault.Fault{Kind: fault.Malformed, Code: "bad_request", Fields: fields[:1]}},
		{userPath, &fault.Fault{Kind: fault.Malformed, Code: "body_unread", Detail: "The request's body could not be read.", Cause: cause}},
		{userPath, fault.New(fault.Malformed, codeMethod, "GET, HEAD")},
		{userPath, errMediaType},
		{userPath, errNotAcceptable},
		{"", errMisdirected},
		{userPath, &fault.Fault{Kind: fault.Invalid, Code: "invalid_user", Detail: "not for the wire", Fields: fields}},
		{userPath, fault.New(fault.Invalid, "invalid_csr", "csr: is not signed by its key")},
		{userPath, fault.New(fault.Unauthenticated, "invalid_api_key", "not for the wire")},
		{userPath, fault.New(fault.Denied, codeNoAuthentication, "not for the wire")},
		{userPath, fault.New(fault.Denied, codeOtherUser, "not for the wire")},
		{userPath, errFactor},
		{signPath, errFactor},
		{signPath, errKeyFactor},
		{userPath, fault.New(fault.Denied, "access_denied", "not for the wire")},
		{"", errNoRoute},
		{userPath, fault.New(fault.NotFound, "not_found", "not for the wire")},
		{signPath, fault.New(fault.NotFound, "key_pair_not_found", "not for the wire")},
		{"/elsewhere/{id}", fault.New(fault.NotFound, "not_found", "not for the wire")},
		{userPath, fault.New(fault.Conflict, "name_taken", "Nickname build & <sign> already exists. Enter a different nickname.")},
		{userPath, fault.New(fault.Conflict, "wrong_state", "It is deleted.")},
		{userPath, fault.New(fault.NotReady, "issuer_not_active", "The issuing CA is not active yet.")},
		{userPath, &fault.Fault{Kind: fault.Limited, Code: fault.CodeRateLimited, Detail: "not for the wire", RetryAfter: 1500 * time.Millisecond}},
		{userPath, &fault.Fault{Kind: fault.Unavailable, Code: "store_unavailable", Detail: "not for the wire", Cause: cause}},
		{userPath, &fault.Fault{Kind: fault.Unavailable, Code: "store_unavailable", Detail: "not for the wire", RetryAfter: time.Minute}},
		{userPath, fault.New(fault.Kind(200), "unknown", "a secret of the inside")},
	}
}

// TestErrors holds the answer to every kind of fault and every code against a golden
// file.
func TestErrors(t *testing.T) {
	var b strings.Builder
	seen := map[fault.Kind]bool{}
	for _, f := range everyFault() {
		seen[f.Kind] = true
		w := httptest.NewRecorder()
		writeFault(w, f.path, f.Fault)
		fmt.Fprintf(&b, "%s %s, %q\n  %d\n", f.Kind, f.Code, f.path, w.Code)
		for _, name := range []string{"Allow", "Content-Type", "Retry-After", "Www-Authenticate"} {
			for _, value := range w.Header()[name] {
				fmt.Fprintf(&b, "  %s: %s\n", name, value)
			}
		}
		fmt.Fprintf(&b, "  %s\n\n", w.Body)
		for _, secret := range []string{"secret", "not for the wire"} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s %s says %q", f.Kind, f.Code, secret)
			}
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s is answered by %s", f.Kind, f.Code, w.Body)
		}
		if w.Code >= 300 && w.Code < 400 || (w.Code == 401) != (f.Kind == fault.Unauthenticated) {
			t.Errorf("%s %s is answered by %d", f.Kind, f.Code, w.Code)
		}
	}
	for _, kind := range fault.Kinds() {
		if !seen[kind] {
			t.Errorf("no fault of kind %s is in the golden file", kind)
		}
	}
	golden(t, "testdata/errors.golden", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}
