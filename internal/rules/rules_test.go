package rules_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/rules"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestBoundaries has the seconds on both sides of each date (requirement 70).
func TestBoundaries(t *testing.T) {
	r := rules.Default()
	tests := []struct {
		at                              string
		validity, reuse, identity, mpic int
	}{
		{"2026-03-14T23:59:59Z", 398, 398, 825, 2},
		{"2026-03-15T00:00:00Z", 200, 200, 398, 3},
		{"2026-06-14T23:59:59Z", 200, 200, 398, 3},
		{"2026-06-15T00:00:00Z", 200, 200, 398, 4},
		{"2026-12-14T23:59:59Z", 200, 200, 398, 4},
		{"2026-12-15T00:00:00Z", 200, 200, 398, 5},
		{"2027-03-14T23:59:59Z", 200, 200, 398, 5},
		{"2027-03-15T00:00:00Z", 100, 100, 398, 5},
		{"2029-03-14T23:59:59Z", 100, 100, 398, 5},
		{"2029-03-15T00:00:00Z", 47, 10, 398, 5},
		{"1999-01-01T00:00:00Z", 398, 398, 825, 2},
	}
	days := func(d time.Duration) int { return int(d / rules.Day) }
	for _, tt := range tests {
		now := at(t, tt.at)
		got := [4]int{days(r.MaxValidity(now)), days(r.DomainReuse(now)), days(r.IdentityReuse(now)), r.MinRemotes(now)}
		if want := [4]int{tt.validity, tt.reuse, tt.identity, tt.mpic}; got != want {
			t.Errorf("at %s: %v, want %v", tt.at, got, want)
		}
	}
}

// TestReuseEnd has validations whose end a later and shorter rule brings forward
// (requirement 70).
func TestReuseEnd(t *testing.T) {
	r := rules.Default()
	tests := []struct{ validated, end string }{
		{"2026-03-14T12:00:00Z", "2026-09-30T12:00:00Z"}, // 200 days, by the rule of then
		{"2026-11-27T16:00:00Z", "2027-03-15T00:00:00Z"}, // 108 days old when the rule becomes 100
		{"2026-12-05T00:00:00Z", "2027-03-15T00:00:00Z"}, // exactly 100 days old then
		{"2026-12-05T00:00:01Z", "2027-03-15T00:00:01Z"},
		{"2026-08-01T00:00:00Z", "2027-02-17T00:00:00Z"}, // 200 days end before
		{"2027-03-15T00:00:00Z", "2027-06-23T00:00:00Z"},
		{"2029-01-01T00:00:00Z", "2029-03-15T00:00:00Z"},
		{"2029-03-14T00:00:00Z", "2029-03-24T00:00:00Z"},
		{"2029-03-15T00:00:00Z", "2029-03-25T00:00:00Z"},
	}
	for _, tt := range tests {
		if got := r.ReuseEnd(at(t, tt.validated)); !got.Equal(at(t, tt.end)) {
			t.Errorf("a validation of %s ends at %s, want %s", tt.validated, got.Format(time.RFC3339), tt.end)
		}
	}
	for validated := at(t, "2026-01-01T00:00:00Z"); validated.Year() < 2030; validated = validated.Add(31 * time.Hour) {
		end := r.ReuseEnd(validated)
		if last := end.Add(-time.Nanosecond); last.Sub(validated) > r.DomainReuse(last) {
			t.Fatalf("a validation of %s can be relied on at %s, which is too late", validated, last)
		}
		if end.Sub(validated) < r.DomainReuse(end) {
			t.Fatalf("a validation of %s ends at %s, which is too early", validated, end)
		}
	}
}

func TestSingleRules(t *testing.T) {
	r := rules.Default()
	if got := r.EmailMethodsEnd(); !got.Equal(at(t, "2028-03-15T00:00:00Z")) {
		t.Errorf("e-mail methods end at %s", got)
	}
	if got := r.PhoneMethodsEnd(); !got.Equal(at(t, "2027-03-15T00:00:00Z")) {
		t.Errorf("phone methods end at %s", got)
	}
	if got := r.ClientAuthEnd(); !got.Equal(at(t, "2027-03-15T00:00:00Z")) {
		t.Errorf("clientAuth ends at %s", got)
	}
	if got := r.RFC8657From(); !got.Equal(at(t, "2027-03-15T00:00:00Z")) {
		t.Errorf("RFC 8657 is a must from %s", got)
	}
	if r.TokenLife() != 30*rules.Day || r.PersistReuse() != 10*rules.Day || r.CAAValid() != 8*time.Hour || r.MinRegions() != 2 {
		t.Errorf("%s, %s, %s, %d", r.TokenLife(), r.PersistReuse(), r.CAAValid(), r.MinRegions())
	}
	for remotes, want := range map[int]int{0: 0, 1: 0, 2: 1, 5: 1, 6: 2, 20: 2} { // BR 3.2.2.9
		if got := r.MayDisagree(remotes); got != want {
			t.Errorf("of %d remotes %d may disagree, want %d", remotes, got, want)
		}
	}
}

// TestParse has data that must stop the server (requirement 95).
func TestParse(t *testing.T) {
	text, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new, want string }{
		{"unknown key", "caa_valid_hours:", "caa_hours:", "caa_hours"},
		{"missing key", "mpic_min_regions: 2", "", "mpic_min_regions"},
		{"a date twice", "{from: 2027-03-15, days: 100}", "{from: 2026-03-15, days: 100}", "max_validity_days: row 3"},
		{"out of order", "{from: 2026-06-15, n: 4}", "{from: 2027-06-15, n: 4}", "mpic_min_remotes: row 4"},
		{"no date", "{from: 2018-03-01, days: 825}", "{from: soon, days: 825}", "identity_reuse_days"},
		{"zero days", "days: 47", "days: 0", "max_validity_days"},
		{"endless", "days: 47", "days: 999999", "max_validity_days"},
		{"all may disagree", "{remotes: 2, n: 1}", "{remotes: 2, n: 2}", "mpic_may_disagree"},
		{"a second document", "token_lifetime_days: 30", "token_lifetime_days: 30\n---\n{}", "read rules"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(string(text), tt.old, tt.new, 1)
			if changed == string(text) {
				t.Fatalf("%q is not in the data", tt.old)
			}
			if _, err := rules.Parse([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse reports %v, want something about %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("rules.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := rules.Parse(text)
		if (table == nil) != (err != nil) {
			t.Fatalf("Parse returns %v and %v", table, err)
		}
		if err != nil {
			return
		}
		now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
		if end := table.ReuseEnd(now); end.Before(now) || table.MaxValidity(now) <= 0 {
			t.Fatalf("a validation of now ends at %s, certificates last %s", end, table.MaxValidity(now))
		}
	})
}
