package digicertone

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestActivityFilter(t *testing.T) {
	account := telamon.NewAccountID()
	day := func(text string) time.Time {
		d, err := time.Parse(dayLayout, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	tests := []struct {
		query string
		want  *store.ActivityFilter // without a limit: the default one; nil: refused
	}{
		{"", &store.ActivityFilter{}},
		{"unknown=x&user_name=", &store.ActivityFilter{}},
		{"user_name=Build+Ag&action=CREATE&status=Failure&resource_id=0A1B", &store.ActivityFilter{
			UserName: "Build Ag", Action: "create", Status: store.ActivityFailure, Resource: "0A1B",
		}},
		{"resource_types=user,%20Client_Auth_Cert", &store.ActivityFilter{ResourceTypes: []string{"user", "client_auth_cert"}}},
		{"account_id=" + strings.ToUpper(uuidOf(account)), &store.ActivityFilter{Account: account}},
		{"from=2026-02-28&to=2026-02-28", &store.ActivityFilter{From: day("2026-02-28"), To: day("2026-03-01")}},
		{"to=2026-12-31", &store.ActivityFilter{To: day("2027-01-01")}},
		{"sort=created_at:asc", &store.ActivityFilter{OldestFirst: true}},
		{"sort=created_at", &store.ActivityFilter{OldestFirst: true}},
		{"sort=CREATED_AT:DESC", &store.ActivityFilter{}},
		{"sort=-created_at", &store.ActivityFilter{}},
		{"limit=100&offset=40", &store.ActivityFilter{Limit: 100, Offset: 40}},

		{"action=creat", nil},
		{"status=ok", nil},
		{"resource_types=user,certificate", nil},
		{"resource_types=user,,session", nil},
		{"account_id=1", nil},
		{"from=2026-02-29", nil},
		{"from=28.2.2026", nil},
		{"to=2026-2-28", nil},
		{"to=2026-02-28T00:00:00Z", nil},
		{"from=2026-03-01&to=2026-02-28", nil},
		{"from=0001-01-01", nil},
		{"sort=user_name:asc", nil},
		{"sort=created_at:up", nil},
		{"limit=0", nil},
		{"limit=101", nil},
		{"offset=-1", nil},
		{"offset=x", nil},
		{"user_name=a&user_name=b", nil},
		{"user_name=a%00b", nil},
		{"user_name=%ff", nil},
		{"user_name=" + strings.Repeat("%C3%84", 256), nil},
		{"resource_id=" + strings.Repeat("a", 256), nil},
	}
	for _, tt := range tests {
		query, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := activityFilter(query)
		if tt.want == nil {
			if !fault.Is(err, fault.Malformed) {
				t.Errorf("%q is read as %+v, %v, want Malformed", tt.query, got, err)
			}
			continue
		}
		if tt.want.Limit == 0 {
			tt.want.Limit = defaultLimit
		}
		if err != nil || !reflect.DeepEqual(got, *tt.want) {
			t.Errorf("%q is read as\n%+v, %v, want\n%+v", tt.query, got, err, *tt.want)
		}
	}
}

// FuzzActivityFilter holds that what is read of a query can be asked of the store: values
// of its lists, a span of time that is not empty, a page within its bounds.
func FuzzActivityFilter(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		got, err := activityFilter(query)
		if err != nil {
			if !fault.Is(err, fault.Malformed) || len(fault.From(err).Fields) != 1 {
				t.Errorf("%q is refused by %v, which names no parameter", text, err)
			}
			return
		}
		if got.Limit < 1 || got.Limit > maxLimit || got.Offset < 0 {
			t.Errorf("%q is the page of %d at %d", text, got.Limit, got.Offset)
		}
		if !got.From.IsZero() && !got.To.IsZero() && !got.From.Before(got.To) {
			t.Errorf("%q is from %s to %s", text, got.From, got.To)
		}
		for _, value := range []string{got.UserName, got.Resource} {
			if strings.ContainsRune(value, 0) || strings.ToValidUTF8(value, "") != value {
				t.Errorf("%q looks for %q, which a database refuses", text, value)
			}
		}
		if got.Action != strings.ToLower(got.Action) || got.Status != "" && got.Status != store.ActivitySuccess && got.Status != store.ActivityFailure {
			t.Errorf("%q is of action %q and status %q", text, got.Action, got.Status)
		}
	})
}
