package store_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// terms returns all rows of what certificates are found by.
func (w *world) terms(t *testing.T) []string {
	t.Helper()
	rows, err := store.Reader(w.db).Query("SELECT pair_id, term, accepted_at, serial FROM certificate_term ORDER BY 1, 2, 3, 4")
	must(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var pair, term, at int64
		var serial []byte
		must(t, rows.Scan(&pair, &term, &at, &serial))
		all = append(all, fmt.Sprintf("%d %d %d %X", pair, term, at, serial))
	}
	must(t, rows.Err())
	return all
}

// TestIndexTerms makes again the terms of certificates that an earlier release issued, all
// of them in the first pass, and those that it issued beside this one a day later.
func TestIndexTerms(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		newShelf(t, w, clock, 20)
		w.addLot(t, 600, clock.Now().Add(time.Hour))
		if _, err := w.db.Fill(t.Context(), w.fillSpec(600, 3)); err != nil { // several transactions
			t.Fatal(err)
		}
		want := w.terms(t)
		complete := func(want bool) {
			t.Helper()
			if got, err := w.db.TermsComplete(t.Context()); got != want || err != nil {
				t.Errorf("the terms are complete: %t, %v; want %t", got, err, want)
			}
		}
		index := func() (steps int) {
			t.Helper()
			must(t, w.db.IndexTerms(t.Context(), func(_ context.Context, took time.Duration) error {
				if took <= 0 {
					t.Errorf("a transaction took %s", took)
				}
				steps++
				return nil
			}))
			return steps
		}
		check := func(what string) {
			t.Helper()
			if got := w.terms(t); !slices.Equal(got, want) {
				t.Errorf("%s there are %d terms, want the %d that were there", what, len(got), len(want))
			}
		}
		w.exec(t, "DELETE FROM certificate_term WHERE serial IN (SELECT serial FROM certificate ORDER BY serial LIMIT 400)")
		complete(false)
		if steps := index(); steps < 2 {
			t.Errorf("%d steps are waited for, want some", steps)
		}
		check("after the first pass")
		complete(true)

		w.exec(t, "DELETE FROM certificate_term WHERE serial IN (SELECT serial FROM certificate ORDER BY serial DESC LIMIT 5)")
		late := w.terms(t)
		index()
		if got := w.terms(t); !slices.Equal(got, late) {
			t.Error("the second pass comes at once")
		}
		clock.Advance(24*time.Hour + time.Second)
		w.exec(t, "DELETE FROM certificate_term WHERE pair_id = $1", int64(w.another))
		w.mustIssue(t, w.cert(w.another))
		index()
		if got := len(w.terms(t)); got <= len(late)-400 || got == len(late) {
			t.Errorf("after the second pass there are %d terms", got)
		}
		complete(true)
		if steps := index(); steps != 0 {
			t.Errorf("%d steps are done after all", steps)
		}
	})
}

// TestDropTerms holds that what certificates are found by, and who requested them, goes
// with them.
func TestDropTerms(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		by := &telamon.Requester{User: telamon.NewUserID(), Name: "Ada", Agreement: "7"}
		issue := func(days int) *telamon.Certificate {
			c := w.cert(w.pair)
			c.Credential, c.NotAfter = "", c.NotBefore.AddDate(0, 0, days)
			blob := store.Blob{DER: leaf(t, key, c.Serial, "CN=Ada", "a.example.com"), Request: []byte("{}"), Requester: by}
			must(t, w.db.IssueCertificate(t.Context(), "", c, blob, w.event(c)))
			return c
		}
		kept := issue(90)
		before := w.terms(t)
		gone := issue(1)
		for _, c := range []*telamon.Certificate{kept, gone} {
			if got, err := w.db.CertificateRequester(t.Context(), c.Serial); err != nil || got == nil || *got != *by {
				t.Errorf("it was requested by %+v, %v; want %+v", got, err, by)
			}
		}
		clock.Advance(10 * 24 * time.Hour)
		var archived []store.ExpiredCertificate
		_, err = w.db.DropExpired(t.Context(), store.Dropping{Before: clock.Now(), Archive: func(all []store.ExpiredCertificate) error {
			archived = all
			return nil
		}})
		must(t, err)
		if got := w.terms(t); !slices.Equal(got, before) || len(got) != 5 { // credential, key, two names, a domain
			t.Errorf("the terms left are %q, want %q", got, before)
		}
		if got, err := w.db.CertificateRequester(t.Context(), gone.Serial); got != nil || err != nil {
			t.Errorf("who requested what is gone: %+v, %v", got, err)
		}
		if len(archived) != 1 || archived[0].Blob.Requester == nil || *archived[0].Blob.Requester != *by {
			t.Errorf("archived are %+v", archived)
		}
	})
}

func TestSavedViews(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		person := func() telamon.Actor {
			id := telamon.NewUserID()
			w.exec(t, "INSERT INTO account_user (id, account_id, email, name, password_hash, roles, state, created_at)"+
				" VALUES ($1, $2, $1, 'Ada', '', '', 'active', 0)", id.String(), w.account.String())
			return telamon.Actor{Kind: telamon.ActorUser, Account: w.account, User: id}
		}
		ada, bob := person(), person()
		view := func(by telamon.Actor, name string) *telamon.SavedView {
			return &telamon.SavedView{ID: telamon.NewSavedViewID(), User: by.User, Name: name, Query: "status=revoked"}
		}
		later, sooner := view(ada, "later"), view(ada, "a view")
		must(t, w.db.SaveView(t.Context(), ada, later))
		must(t, w.db.SaveView(t.Context(), ada, sooner))
		must(t, w.db.SaveView(t.Context(), bob, view(bob, "later")))
		mustBe(t, w.db.SaveView(t.Context(), ada, view(ada, "later")), fault.Conflict, "view_exists")
		views, err := w.db.SavedViews(t.Context(), ada.User)
		if err != nil || len(views) != 2 || views[0] != *sooner || views[1] != *later {
			t.Errorf("the views are %+v, %v", views, err)
		}
		mustBe(t, w.db.DropView(t.Context(), bob, later.ID), fault.NotFound, "view_not_found")
		must(t, w.db.DropView(t.Context(), ada, later.ID))
		mustBe(t, w.db.DropView(t.Context(), ada, later.ID), fault.NotFound, "view_not_found")
		if events := len(w.events(t, "view.save")) + len(w.events(t, "view.delete")); events != 4 {
			t.Errorf("%d events, want 4", events)
		}
		for i := 1; i < store.MaxSavedViews; i++ {
			must(t, w.db.SaveView(t.Context(), ada, view(ada, fmt.Sprint(i))))
		}
		mustBe(t, w.db.SaveView(t.Context(), ada, view(ada, "one too many")), fault.Limited, "too_many_views")
	})
}

// TestToldNames holds that a certificate is found by the same terms whether its names are
// told beside it or read from it.
func TestToldNames(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		terms := func(names ...string) (all []int64) {
			t.Helper()
			cert := w.cert(w.pair)
			w.blob.Names = names
			w.mustIssue(t, cert)
			rows, err := store.Reader(w.db).Query("SELECT serial, term FROM certificate_term ORDER BY term")
			must(t, err)
			defer rows.Close()
			for rows.Next() {
				var serial []byte
				var term int64
				must(t, rows.Scan(&serial, &term))
				if telamon.Serial(serial) == cert.Serial {
					all = append(all, term)
				}
			}
			must(t, rows.Err())
			return all
		}
		read := terms()
		told := terms("www.example.com", "WWW.example.com.", "example.com")
		if len(read) != 5 || !slices.Equal(told, read) { // credential, key, two names, a domain
			t.Errorf("by names that are told it has the terms %v, and %v by those in it", told, read)
		}
	})
}
