package atlas

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files")

// everyFault has at least one fault of each kind, and one of each code that is
// answered in a way of its own.
func everyFault() []*fault.Fault {
	fields := []fault.Field{
		{Path: "subject_dn.common_name", Problem: "is required"}, {Path: "subject_dn.country", Problem: "is static"},
		{Path: "subject_dn.country", Problem: "does not match the required format"},
	}
	cause := errors.New("a secret of the inside")
	return []*fault.Fault{
		{Kind: fault.Internal, Code: "internal", Detail: "a secret of the inside", Cause: cause},
		{Kind: fault.Malformed, Code: "bad_request", Detail: "Bad Request", Fields: []fault.Field{{Path: "body", Problem: "is not JSON"}}},
		{Kind: fault.Malformed, Code: "body_unread", Detail: "Bad Request", Cause: cause},
		{Kind: fault.Malformed, Code: codeMethod, Detail: "GET, HEAD"},
		{Kind: fault.Malformed, Code: codeLengthRequired},
		{Kind: fault.Malformed, Code: codeMediaType},
		{Kind: fault.Invalid, Code: "policy", Detail: "The request does not meet the validation policy.", Fields: fields},
		{Kind: fault.Invalid, Code: "policy", Detail: "The request does not meet the validation policy.", Fields: fields[:1]},
		{Kind: fault.Invalid, Code: "invalid_login_request", Detail: "Invalid login request"},
		{Kind: fault.Invalid, Code: "invalid_serial", Detail: "invalid serial number length"},
		{Kind: fault.Invalid, Code: codeCAValidation, Detail: "a secret of the inside", Fields: fields},
		{Kind: fault.Invalid, Code: codeNotCovered, Detail: "san: failed dns/email domain name verification",
			Fields: []fault.Field{{Path: "shop.example.net", Problem: "no verified claim"}, {Path: "a.example", Problem: "no verified claim"}}},
		{Kind: fault.Invalid, Code: codeCAAForbids, Detail: "san: CAA records do not allow issuance",
			Fields: []fault.Field{{Path: "shop.example.net", Problem: "CAA record at example.net does not allow ca.example."}}},
		{Kind: fault.Invalid, Code: codeClaimName, Detail: "domain: is a public suffix", Fields: []fault.Field{{Path: "domain", Problem: "is a public suffix"}}},
		{Kind: fault.Invalid, Code: codeClaimName, Detail: "blacklist: is blocked", Fields: []fault.Field{{Path: "blacklist", Problem: "is blocked"}}},
		{Kind: fault.Invalid, Code: codeClaimName, Detail: "gsb: is flagged", Fields: []fault.Field{{Path: "gsb", Problem: "is flagged"}}},
		{Kind: fault.Invalid, Code: "claim_pattern", Detail: "not for the wire",
			Fields: []fault.Field{{Path: "domain", Problem: "a wildcard at the start must be followed by a dot"}}},
		{Kind: fault.Invalid, Code: "authorization_domain", Detail: "not for the wire",
			Fields: []fault.Field{{Path: "authorization_domain", Problem: "must be the claimed domain"}}},
		{Kind: fault.Invalid, Code: "email_address", Detail: "not for the wire", Fields: []fault.Field{{Path: "email_address", Problem: "is not allowed"}}},
		{Kind: fault.Invalid, Code: "not_issued", Detail: "Only an ISSUED and unexpired certificate can be rekeyed"},
		{Kind: fault.Unauthenticated, Code: "unauthorized", Detail: "not for the wire"},
		{Kind: fault.Denied, Code: "service_expired", Detail: "The service has expired or has not started."},
		{Kind: fault.NotFound, Code: "certificate_not_found", Detail: "not for the wire"},
		{Kind: fault.NotFound, Code: "claim_not_found", Detail: "not for the wire"},
		{Kind: fault.Conflict, Code: fault.CodeAlreadyRevoked, Detail: "Certificate is already revoked"},
		{Kind: fault.Conflict, Code: fault.CodeClaimExpired, Detail: "not for the wire"},
		{Kind: fault.Conflict, Code: codeClaimMoved, Detail: "not for the wire"},
		{Kind: fault.Conflict, Code: "wrong_state", Detail: "It is disabled."},
		{Kind: fault.NotReady, Code: "issuer_not_active", Detail: "not for the wire"},
		{Kind: fault.NotReady, Code: "check_running", Detail: "not for the wire"},
		{Kind: fault.Limited, Code: fault.CodeQuotaReached, Detail: "Quota Reached"},
		{Kind: fault.Limited, Code: fault.CodeRateLimited, Detail: "Rate Limit Reached", RetryAfter: 1500 * time.Millisecond},
		{Kind: fault.Limited, Code: "other", Detail: "not for the wire"},
		{Kind: fault.Unavailable, Code: "store_unavailable", Detail: "not for the wire", RetryAfter: 2 * time.Second, Cause: cause},
		{Kind: fault.Kind(200), Code: "unknown", Detail: "a secret of the inside"},
	}
}

// TestErrors holds the answer to every kind of fault and every code against a
// golden file.
func TestErrors(t *testing.T) {
	var b strings.Builder
	seen := map[fault.Kind]bool{}
	for _, f := range everyFault() {
		seen[f.Kind] = true
		methods := []string{http.MethodPost}
		if f.Kind == fault.Conflict {
			methods = []string{http.MethodPatch, http.MethodDelete}
		}
		for _, method := range methods {
			w := httptest.NewRecorder()
			writeFault(w, httptest.NewRequest(method, "/v2/x", nil), f, "0123456789abcdef")
			fmt.Fprintf(&b, "%s %s, %s\n  %d\n", f.Kind, f.Code, method, w.Code)
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
			if w.Code >= 300 && w.Code < 400 || (w.Code == http.StatusUnauthorized) != (f.Kind == fault.Unauthenticated) {
				t.Errorf("%s %s is answered by %d", f.Kind, f.Code, w.Code)
			}
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

func TestRetryAfterIsRoundedUp(t *testing.T) {
	tests := []struct {
		after time.Duration
		want  []string
	}{
		{0, []string{"1"}},
		{time.Millisecond, []string{"1"}},
		{1500 * time.Millisecond, []string{"2"}},
		{time.Minute, []string{"60"}},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		f := &fault.Fault{Kind: fault.Limited, Code: fault.CodeRateLimited, RetryAfter: tt.after}
		writeFault(w, httptest.NewRequest(http.MethodGet, "/", nil), f, "")
		if got := w.Header()["Retry-After"]; !slices.Equal(got, tt.want) {
			t.Errorf("Retry-After for %s is %q, want %q", tt.after, got, tt.want)
		}
	}
}
