package store_test

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// matches is what a pattern means, one character after the other.
func matches(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	one := name != "" && name[0] != '.'
	switch pattern[0] {
	case '%':
		return matches(pattern[1:], name) || one && matches(pattern, name[1:])
	case '_':
		return one && matches(pattern[1:], name[1:])
	}
	return name != "" && name[0] == pattern[0] && matches(pattern[1:], name[1:])
}

// listClaims lists by looking at every claim.
func listClaims(all []telamon.Claim, q store.ClaimQuery, pattern string) ([]telamon.Claim, int64) {
	var in []telamon.Claim
	for _, c := range all {
		if c.Kind == q.Kind && (q.Status == "" || c.Status == q.Status) && (q.From.IsZero() || c.CreatedAt.Unix() >= q.From.Unix()) &&
			(q.To.IsZero() || c.CreatedAt.Unix() <= q.To.Unix()) && (pattern == "" || matches(pattern, c.Name)) {
			in = append(in, c)
		}
	}
	slices.SortFunc(in, func(a, b telamon.Claim) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	rows := []telamon.Claim{}
	for i := (q.Page - 1) * q.PerPage; i < min(q.Page*q.PerPage, int64(len(in))); i++ {
		rows = append(rows, in[i])
	}
	return rows, int64(len(in))
}

// labels are few, so that many names end alike.
var labels = rapid.SampledFrom([]string{"a", "b", "ab", "abc", "a-b", "x1", "com", "net"})

// claimedNames are distinct names of one to four labels.
func claimedNames(n int) *rapid.Generator[[]string] {
	name := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(labels, 1, 4).Draw(t, "labels"), ".")
	})
	return rapid.SliceOfNDistinct(name, 0, n, rapid.ID[string])
}

// patterns are patterns that are in order.
var patterns = rapid.Custom(func(t *rapid.T) string {
	part := rapid.OneOf(labels, rapid.SampledFrom([]string{"%", "_", "a%b", "a_", "a%", "_b", "a%%b", "a_c"}))
	parts := rapid.SliceOfN(part, 1, 4).Draw(t, "parts")
	// What stands at the ends are whole labels.
	for i, p := range parts {
		if i == 0 && strings.HasPrefix(p, "_b") || i == len(parts)-1 && len(p) > 1 && strings.ContainsAny(p[len(p)-1:], "%_") {
			parts[i] = "%"
		}
	}
	return strings.Join(parts, ".")
})

// filled submits claims to the names and verifies some of them, some of which have
// expired by the end. It returns them as they are to be seen.
func (c *claimant) filled(t *testing.T, r *rapid.T, clock *testkit.Clock) (all []telamon.Claim) {
	base := clock.Now()
	names := claimedNames(25).Draw(r, "names")
	times := rapid.SliceOfN(offsets(), len(names), len(names)).Draw(r, "created")
	slices.Sort(times)
	end := base.Add(6 * time.Hour)
	for i, name := range names {
		clock.Advance(base.Add(times[i]).Sub(clock.Now()))
		claim := c.draft(telamon.ClaimDomain, name)
		if rapid.IntRange(0, 9).Draw(r, "kind") == 0 {
			claim = c.draft(telamon.ClaimIP, fmt.Sprintf("192.0.2.%d", i))
		}
		if existing, err := c.db.SubmitClaim(t.Context(), operator, claim, store.Extra{}); existing || err != nil {
			r.Fatalf("submit %s: %v, %v", name, existing, err)
		}
		switch rapid.IntRange(0, 3).Draw(r, "state") {
		case 0:
			c.verify(t, claim, end) // expired when it is listed
		case 1:
			c.verify(t, claim, end.Add(time.Millisecond))
		case 2:
			if rapid.Bool().Draw(r, "delete") {
				if err := c.db.DeleteClaim(t.Context(), operator, c.identity, claim.ID); err != nil {
					r.Fatal(err)
				}
				continue
			}
		}
		kept := *c.read(t, claim.ID)
		if kept.ExpiresAt.Equal(end) {
			kept.Status = telamon.ClaimPending
		}
		all = append(all, kept)
	}
	clock.Advance(end.Sub(clock.Now()))
	return all
}

// TestListClaims compares pages with those of a reference.
func TestListClaims(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		rapid.Check(t, func(r *rapid.T) {
			// The 720 hours that claims are counted in end in the middle of the times.
			const span = 720 * 3600
			clock.Advance(time.Unix((clock.Now().Unix()/span+2)*span, 0).Add(-2 * time.Hour).Sub(clock.Now()))
			base, c := clock.Now(), w.newClaimant(t)
			all := c.filled(t, r, clock)
			for range 25 {
				q := store.ClaimQuery{
					Identity: c.identity, Kind: rapid.SampledFrom([]telamon.ClaimKind{telamon.ClaimDomain, telamon.ClaimDomain, telamon.ClaimIP}).Draw(r, "kind"),
					Status: rapid.SampledFrom([]telamon.ClaimStatus{"", telamon.ClaimPending, telamon.ClaimVerified}).Draw(r, "status"),
					Page:   rapid.Int64Range(1, 5).Draw(r, "page"), PerPage: rapid.Int64Range(1, 12).Draw(r, "per page"),
				}
				if rapid.Bool().Draw(r, "has from") {
					q.From = base.Add(offsets().Draw(r, "from"))
				}
				if rapid.Bool().Draw(r, "has to") {
					q.To = base.Add(offsets().Draw(r, "to"))
				}
				pattern := ""
				if rapid.IntRange(0, 2).Draw(r, "has pattern") == 0 {
					pattern = patterns.Draw(r, "pattern")
					var err error
					if q.Pattern, err = store.ParseClaimPattern(pattern); err != nil {
						r.Fatalf("pattern %s: %v", pattern, err)
					}
					if q.Kind == telamon.ClaimIP {
						continue
					}
				}
				rows, total, err := w.db.ListClaims(t.Context(), q)
				if err != nil {
					r.Fatal(err)
				}
				wantRows, wantTotal := listClaims(all, q, pattern)
				if len(rows) == 0 {
					rows = []telamon.Claim{}
				}
				if diff := gocmp.Diff(wantRows, rows); total != wantTotal || diff != "" {
					r.Fatalf("%+v by %q: total %d, want %d; rows (-want +got):\n%s", q, pattern, total, wantTotal, diff)
				}
			}
			w.mustAgree(t)
		})
	})
}

// TestListClaimsEdges lists windows whose ends are not those of hours.
func TestListClaimsEdges(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c := w.newClaimant(t)
		for i, step := range []time.Duration{
			0, 1750 * time.Millisecond, 0, 3599*time.Second + 999*time.Millisecond, 2 * time.Second, // 08:59:58.250, 09:00:00, again, 09:59:59.999, 10:00:01.999
		} {
			clock.Advance(step)
			c.submit(t, fmt.Sprintf("n%d.example.com", i))
		}
		at := func(hms string) time.Time {
			if hms == "" {
				return time.Time{}
			}
			v, err := time.Parse(time.RFC3339, "2026-11-23T"+hms+"Z")
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, tt := range []struct {
			name          string
			from, to      string
			page, perPage int64
			want          string // the numbers of the claims
			total         int64
		}{
			{"open", "", "", 1, 10, "43210", 5},
			{"the second page", "", "", 2, 2, "21", 5},
			{"a page past the end", "", "", 4, 2, "", 5},
			{"the farthest page", "", "", math.MaxInt64, 10, "", 5},
			{"both bounds are inclusive", "08:59:58", "10:00:01", 1, 10, "43210", 5},
			{"parts of two hours", "08:59:59", "09:59:58", 1, 10, "21", 2},
			{"nearly two hours", "08:00:01", "09:59:58", 1, 10, "210", 3},
			{"a whole hour", "09:00:00", "09:59:59", 1, 10, "321", 3},
			{"a whole hour and parts of two", "08:59:58", "10:00:00", 1, 10, "3210", 4},
			{"one second", "09:00:00", "09:00:00", 1, 10, "21", 2},
			{"within one second", "09:00:00", "09:00:00", 2, 1, "1", 2},
			{"a second without any", "09:00:01", "09:00:01", 1, 10, "", 0},
			{"open at the end", "09:00:01", "", 1, 10, "43", 2},
			{"open at the start", "", "09:00:00", 1, 10, "210", 3},
			{"the wrong way round", "10:00:00", "08:00:00", 1, 10, "", 0},
			{"the wrong way round by a second", "09:00:00", "08:59:59", 1, 10, "", 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				rows, total, err := w.db.ListClaims(t.Context(), store.ClaimQuery{
					Identity: c.identity, Kind: telamon.ClaimDomain, From: at(tt.from), To: at(tt.to), Page: tt.page, PerPage: tt.perPage,
				})
				got := ""
				for _, row := range rows {
					got += row.Name[1:2]
				}
				same := func(s string) string { // claims of one millisecond come in the order of their IDs
					return strings.ReplaceAll(s, "12", "21")
				}
				if same(got) != tt.want && len(tt.want) > 1 || len(got) != len(tt.want) || total != tt.total || err != nil {
					t.Errorf("claims %q of %d, %v; want %q of %d", got, total, err, tt.want, tt.total)
				}
			})
		}
		far := store.ClaimQuery{
			Identity: c.identity, Kind: telamon.ClaimDomain, From: time.Unix(math.MinInt64/2, 0), To: time.Unix(math.MaxInt64/2, 0), Page: 1, PerPage: 10,
		}
		if _, total, err := w.db.ListClaims(t.Context(), far); total != 5 || err != nil {
			t.Errorf("all times hold %d claims, %v", total, err)
		}
		far.From, far.To = time.Unix(math.MaxInt64/2, 0), time.Unix(math.MinInt64/2, 0)
		if _, total, err := w.db.ListClaims(t.Context(), far); total != 0 || err != nil {
			t.Errorf("no time holds %d claims, %v", total, err)
		}
		for _, page := range [][2]int64{{0, 10}, {1, 0}, {1, math.MaxInt32 + 1}} {
			_, _, err := w.db.ListClaims(t.Context(), store.ClaimQuery{Identity: c.identity, Kind: telamon.ClaimDomain, Page: page[0], PerPage: page[1]})
			if err == nil {
				t.Errorf("page %d of %d claims is listed, want an error: callers judge it", page[0], page[1])
			}
		}
	})
}

// TestListClaimsExpires lists claims of which many have expired with nobody looking,
// more than one transaction makes pending.
func TestListClaimsExpires(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		c, other := w.newClaimant(t), w.newClaimant(t)
		const many = 501
		if err := store.FillClaims(t.Context(), w.db, store.ClaimFill{
			Account: w.account, Identity: c.identity, N: many, Verified: 1, ExpiresAt: clock.Now().Add(time.Hour),
			From: clock.Now().Add(-time.Hour), To: clock.Now(), Name: func(i int64) string { return fmt.Sprintf("n%d.example.com", i) },
		}); err != nil {
			t.Fatal(err)
		}
		w.mustAgree(t)
		other.verify(t, other.submit(t, "example.net"), clock.Now().Add(time.Hour))
		totals := func(c *claimant) (pending, verified int64) {
			t.Helper()
			for status, total := range map[telamon.ClaimStatus]*int64{telamon.ClaimPending: &pending, telamon.ClaimVerified: &verified} {
				var err error
				_, *total, err = w.db.ListClaims(t.Context(), store.ClaimQuery{
					Identity: c.identity, Kind: telamon.ClaimDomain, Status: status, Page: 1, PerPage: 1,
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			return pending, verified
		}
		clock.Advance(time.Hour - time.Millisecond)
		if pending, verified := totals(c); pending != 0 || verified != many {
			t.Errorf("%d are pending and %d verified a moment before they expire", pending, verified)
		}
		clock.Advance(time.Millisecond)
		if pending, verified := totals(c); pending != many || verified != 0 {
			t.Errorf("%d are pending and %d verified when they have expired", pending, verified)
		}
		w.mustAgree(t)
		if n := w.number(t, "SELECT count(*) FROM claim WHERE status = 'verified'"); n != 1 {
			t.Errorf("%d claims are marked as verified, want the other identity's", n)
		}
		events := w.events(t, "claim.expire")
		if len(events) != many || events[0].Account != w.account {
			t.Errorf("%d audit events of expiries, want one for each", len(events))
		}
	})
}

// TestClaimPatternRules holds the rules of wildcards (requirement 72).
func TestClaimPatternRules(t *testing.T) {
	for _, good := range []string{
		"example.com", "EXAMPLE.com.", "%.example.com", "_.example.com", "www.%.com", "www.exa%ple.com", "ex_mple.com", "example.%", "example._",
		"%", "_", "%.%", "%.a_b%c.%", "xn--bcher-kva.example",
	} {
		if _, err := store.ParseClaimPattern(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, want := range map[string]error{
		"%example.com": store.ErrPatternStart, "_example.com": store.ErrPatternStart, "%%.example.com": store.ErrPatternStart, "%_": store.ErrPatternStart,
		"example.com%": store.ErrPatternEnd, "example.co_": store.ErrPatternEnd, "example.%%": store.ErrPatternEnd, "example.com%.": store.ErrPatternEnd,
		"": store.ErrPatternText, ".": store.ErrPatternText, "..": store.ErrPatternText, "a..b": store.ErrPatternText, ".com": store.ErrPatternText,
		"example.com..": store.ErrPatternText, "*.example.com": store.ErrPatternText, "a b.com": store.ErrPatternText, "bücher.example": store.ErrPatternText,
		`a\%b.com`: store.ErrPatternText, "a'b.com": store.ErrPatternText, "a\x00b.com": store.ErrPatternText,
		strings.Repeat("a.", 127) + "com": store.ErrPatternText,
	} {
		if _, err := store.ParseClaimPattern(bad); err != want {
			t.Errorf("%q: %v, want %v", bad, err, want)
		}
	}
}

// patternNames are the names that FuzzClaimPattern looks among.
var patternNames = []string{
	"com", "example", "a.com", "ab.com", "abc.com", "a-b.com", "aab.com", "b.com", "com.com", "example.com", "www.example.com", "ww.example.com",
	"www1.example.com", "www-1.example.com", "mail.example.com", "a.b.example.com", "a.www.example.com", "example.com.example.com",
	"example-shop.com", "examples.com", "exampl.com", "example.net", "www.example.net", "www.example.org", "xn--bcher-kva.example",
	"0.example", "9.example", "a.a.a.a", "a.a.a.b", "b.a.a.a", strings.Repeat("a", 63) + ".example", strings.Repeat("a", 62) + "b.example",
}

// FuzzClaimPattern compares what patterns are in order and what they find with a slow
// reference.
func FuzzClaimPattern(f *testing.F) {
	clock := testkit.NewClock(f, testTime)
	w := newWorld(f, dbtest.Open(f, dbtest.SQLite(f), clock), clock)
	c := w.newClaimant(f)
	for _, name := range patternNames {
		c.submit(f, name)
	}
	inOrder := regexp.MustCompile(`^([%_]|[a-z0-9-][a-z0-9%_-]*)(\.[a-z0-9%_-]+)*$`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := store.ParseClaimPattern(text)
		plain := strings.ToLower(strings.TrimSuffix(text, "."))
		labels := strings.Split(plain, ".")
		last := labels[len(labels)-1]
		want := len(plain) <= 253 && inOrder.MatchString(plain) && (len(last) == 1 || !strings.ContainsAny(last[max(len(last)-1, 0):], "%_"))
		if (err == nil) != want {
			t.Fatalf("%q: %v, but in order is %v", text, err, want)
		}
		if err != nil || strings.Count(plain, "%") > 3 { // the reference takes too long
			return
		}
		rows, total, err := w.db.ListClaims(t.Context(), store.ClaimQuery{
			Identity: c.identity, Kind: telamon.ClaimDomain, Pattern: p, Page: 1, PerPage: 1000,
		})
		if err != nil || total != int64(len(rows)) {
			t.Fatalf("%q: %d rows of %d, %v", text, len(rows), total, err)
		}
		var got, expected []string
		for _, row := range rows {
			got = append(got, row.Name)
		}
		for _, name := range patternNames {
			if matches(plain, name) {
				expected = append(expected, name)
			}
		}
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("%q finds %q, want %q", text, got, expected)
		}
	})
}
