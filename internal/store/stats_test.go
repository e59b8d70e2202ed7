package store_test

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// newPair adds a pair.
func (w *world) newPair(t testing.TB) telamon.PairID {
	pair := w.number(t, "SELECT max(id) + 1 FROM pair")
	identity := telamon.NewIdentityID()
	w.exec(t, "INSERT INTO identity (id, account_id, name, data, state, created_at) VALUES ($1, $2, 'Acme', '{}', 'active', 0)",
		identity.String(), w.account.String())
	w.exec(t, "INSERT INTO pair (id, account_id, subscription_id, identity_id, created_at) VALUES ($1, $2, $3, $4, 0)",
		pair, w.account.String(), w.subscription.String(), identity.String())
	return telamon.PairID(pair)
}

// offsets are distances in time that crowd seconds and the edges of hours.
func offsets() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		hour := rapid.IntRange(0, 4).Draw(t, "hour")
		second := rapid.OneOf(rapid.SampledFrom([]int{0, 1, 3598, 3599, 1800}), rapid.IntRange(0, 3599)).Draw(t, "second")
		millisecond := rapid.SampledFrom([]int{0, 1, 500, 999}).Draw(t, "millisecond")
		return time.Duration(hour)*time.Hour + time.Duration(second)*time.Second + time.Duration(millisecond)*time.Millisecond
	})
}

// listed is a certificate as the reference knows it.
type listed struct {
	row  store.ListedCertificate
	time map[store.Listing]time.Time
}

// reference lists by looking at every certificate.
func reference(all []listed, l store.Listing, from, to time.Time, page, perPage int64) ([]store.ListedCertificate, int64) {
	var in []listed
	for _, c := range all {
		if at, ok := c.time[l]; ok && at.Unix() >= from.Unix() && at.Unix() <= to.Unix() {
			in = append(in, c)
		}
	}
	slices.SortFunc(in, func(a, b listed) int {
		return cmp.Or(a.time[l].Compare(b.time[l]), bytes.Compare(a.row.Serial[:], b.row.Serial[:]))
	})
	var rows []store.ListedCertificate
	for i := (page - 1) * perPage; i < min(page*perPage, int64(len(in))); i++ {
		rows = append(rows, in[i].row)
	}
	return rows, int64(len(in))
}

func TestListCertificates(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		rapid.Check(t, func(r *rapid.T) {
			clock.Advance(clock.Now().Truncate(time.Hour).Add(24 * time.Hour).Sub(clock.Now()))
			base, pair := clock.Now(), w.newPair(t)
			var all []listed
			for _, offset := range rapid.SliceOfN(offsets(), 0, 40).Draw(r, "accepted") {
				cert := w.cert(pair)
				cert.AcceptedAt = base.Add(offset)
				cert.NotAfter = base.Add(offsets().Draw(r, "expires")).Truncate(time.Second).Add(time.Second)
				w.mustIssue(t, cert)
				all = append(all, listed{
					store.ListedCertificate{Serial: cert.Serial, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter},
					map[store.Listing]time.Time{store.Issued: cert.AcceptedAt, store.Expiring: cert.NotAfter},
				})
			}
			var revoked []time.Duration
			for range all {
				revoked = append(revoked, offsets().Draw(r, "revoked"))
			}
			slices.Sort(revoked)
			for i, offset := range revoked {
				if i%2 == 0 {
					continue
				}
				clock.Advance(base.Add(offset).Sub(clock.Now()))
				err := w.db.RevokeCertificate(t.Context(), pair, all[i].row.Serial, telamon.Revocation{Reason: telamon.ReasonSuperseded},
					telamon.Event{Actor: operator, Action: "certificate.revoke", Result: "ok"})
				if err != nil {
					r.Fatal(err)
				}
				all[i].time[store.Revoked] = clock.Now()
			}
			for range 20 {
				l := rapid.SampledFrom([]store.Listing{store.Issued, store.Revoked, store.Expiring}).Draw(r, "listing")
				from := base.Add(offsets().Draw(r, "from"))
				to := base.Add(offsets().Draw(r, "to"))
				page, perPage := rapid.Int64Range(1, 6).Draw(r, "page"), rapid.Int64Range(1, 12).Draw(r, "per page")
				rows, total, err := w.db.ListCertificates(t.Context(), l, pair, from, to, page, perPage)
				if err != nil {
					r.Fatal(err)
				}
				wantRows, wantTotal := reference(all, l, from, to, page, perPage)
				if diff := gocmp.Diff(wantRows, rows); total != wantTotal || diff != "" {
					r.Fatalf("listing %d from %s to %s, page %d of %d: total %d, want %d; rows (-want +got):\n%s",
						l, from, to, page, perPage, total, wantTotal, diff)
				}
			}
		})
	})
}

func TestListCertificatesEdges(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		for range 3 {
			w.mustIssue(t, w.cert(w.pair)) // 08:59:58.250
		}
		clock.Advance(2 * time.Second) // 09:00:00.250
		w.mustIssue(t, w.cert(w.pair))
		w.mustIssue(t, w.cert(w.another))
		at := func(hms string) time.Time {
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
			rows, total   int
		}{
			{"both bounds are inclusive", "08:59:58", "09:00:00", 1, 100, 4, 4},
			{"an empty width", "08:59:58", "08:59:58", 1, 100, 3, 3},
			{"the second between", "08:59:59", "08:59:59", 1, 100, 0, 0},
			{"a whole hour", "08:00:00", "08:59:59", 1, 100, 3, 3},
			{"the hour's first second", "09:00:00", "09:00:00", 1, 100, 1, 1},
			{"one second less at the end", "08:00:00", "08:59:57", 1, 100, 0, 0},
			{"the wrong way round", "09:00:00", "08:59:58", 1, 100, 0, 0},
			{"the second page", "08:00:00", "10:00:00", 2, 3, 1, 4},
			{"a page past the end", "08:00:00", "10:00:00", 3, 3, 0, 4},
			{"the farthest page", "08:00:00", "10:00:00", math.MaxInt64, 100, 0, 4},
		} {
			t.Run(tt.name, func(t *testing.T) {
				rows, total, err := w.db.ListCertificates(t.Context(), store.Issued, w.pair, at(tt.from), at(tt.to), tt.page, tt.perPage)
				if err != nil || len(rows) != tt.rows || total != int64(tt.total) {
					t.Errorf("%d rows of %d, %v; want %d of %d", len(rows), total, err, tt.rows, tt.total)
				}
			})
		}
		if _, _, err := w.db.ListCertificates(t.Context(), store.Issued, w.pair, at("08:00:00"), at("09:00:00"), 0, 100); err == nil {
			t.Error("page 0 is listed, want an error: callers make it 1")
		}
	})
}
