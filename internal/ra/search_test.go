package ra_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// person returns a user of an account, who is kept, with these roles.
func (w *world) person(t testing.TB, account telamon.AccountID, roles ...string) telamon.Actor {
	t.Helper()
	actor := telamon.Actor{
		Kind: telamon.ActorUser, Account: account, User: telamon.NewUserID(), UserName: "Ada", Roles: roles, RequestID: "req_" + string(telamon.NewUserID()),
	}
	if account == w.account {
		user := telamon.User{ID: actor.User, Account: account, Email: string(actor.User) + "@example.com", Name: "Ada", Roles: roles}
		must(t, w.db.CreateUser(t.Context(), operator, &user))
	}
	return actor
}

// TestFind searches all pairs of an account, as the people of it may.
func TestFind(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first, second := w.customer(t, unlimited(), 0), w.customer(t, metered(), 9)
		key := newKey(t)
		a := first.issue(t, "a.example.com")
		w.clock.Advance(time.Hour)
		serial, err := w.ra.Issue(t.Context(), second.actor(), request(key.csr, "b.shop.example.com"))
		must(t, err)
		w.clock.Advance(time.Hour)
		person := w.person(t, w.account, authz.RoleManageCertificates)
		acting, err := w.ra.For(t.Context(), person, second.credential.Pair)
		must(t, err)
		own, err := w.ra.Issue(t.Context(), acting, request(key.csr, "c.example.com"))
		must(t, err)
		must(t, w.ra.Revoke(t.Context(), first.actor(), a, ra.Revocation{Reason: telamon.ReasonSuperseded}))

		find := func(s ra.Search, want ...telamon.Serial) *ra.Finding {
			t.Helper()
			s.Limit = 10
			found, err := w.ra.Find(t.Context(), person, &s)
			if err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			var got []telamon.Serial
			for _, c := range found.Certificates {
				got = append(got, c.Serial)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v finds %v, want %v", s, got, want)
			}
			return found
		}
		all := find(ra.Search{Counts: true}, own, serial, a)
		if all.Total != 3 || all.Next != nil || all.Full || !slices.Equal(all.Certificates[1].Names, []string{"b.shop.example.com"}) ||
			all.Certificates[2].Subscription != first.sub || all.Certificates[0].Identity != w.identity {
			t.Errorf("found are %+v", all)
		}
		find(ra.Search{Subscription: second.sub}, own, serial)
		find(ra.Search{Identity: telamon.NewIdentityID()})
		find(ra.Search{Credential: first.credential.ID}, a)
		find(ra.Search{Portal: true}, own)
		find(ra.Search{State: store.StateRevoked}, a)
		find(ra.Search{State: store.StateExpiring, Days: 3650}, serial, own)
		find(ra.Search{Name: "*.example.com", State: store.StateGood}, own, serial)
		find(ra.Search{Name: " *.SHOP.example.com. "}, serial)
		find(ra.Search{Serial: serial.String()}, serial)
		find(ra.Search{Serial: "1:" + serial.String()[2:4] + " " + serial.String()[4:]}, serial) // as openssl prints some
		for path, s := range map[string]ra.Search{
			"name": {Name: "*.com"}, "serial": {Serial: "xyz"}, "status": {State: "gone"}, "days": {State: store.StateExpiring},
		} {
			s.Limit = 10
			_, err := w.ra.Find(t.Context(), person, &s)
			if f := fault.From(err); f.Code != "search" || len(f.Fields) != 1 || f.Fields[0].Path != path {
				t.Errorf("%+v: %v, %+v", s, err, f.Fields)
			}
		}

		stranger := w.person(t, telamon.NewAccountID(), authz.RoleAdministrator)
		if found, err := w.ra.Find(t.Context(), stranger, &ra.Search{Limit: 10}); err != nil || len(found.Certificates) != 0 {
			t.Errorf("a stranger finds %+v, %v", found, err)
		}
		_, err = w.ra.Find(t.Context(), w.person(t, w.account, authz.RoleFinance), &ra.Search{Limit: 10})
		mustBe(t, err, fault.Denied, "access_denied")
	})
}

// TestHolding shows a certificate with its chain, who requested it and its rekeys, and to
// nobody else.
func TestHolding(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		person := w.person(t, w.account, authz.RoleManageCertificates)
		acting, err := w.ra.For(t.Context(), person, c.credential.Pair)
		must(t, err)
		serial, err := w.ra.Issue(t.Context(), acting, request(newKey(t).csr, "www.example.com"))
		must(t, err)
		w.clock.Advance(time.Hour)
		acting, err = w.ra.ForCertificate(t.Context(), person, serial)
		must(t, err)
		again, err := w.ra.Rekey(t.Context(), acting, serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		must(t, err)
		h, err := w.ra.Holding(t.Context(), person, serial)
		must(t, err)
		if h.Requester == nil || h.Requester.User != person.User || h.Requester.Name != "Ada" || len(h.Chain) != 2 ||
			!h.Chain[0].Equal(w.issuer.Certificate) || len(h.Rekeys) != 1 || h.Rekeys[0].Serial != again || h.Pair.ID != c.credential.Pair {
			t.Errorf("the certificate is %+v", h)
		}
		if h, err := w.ra.Holding(t.Context(), person, c.issue(t, "other.example.com")); err != nil || h.Requester != nil || len(h.Rekeys) != 0 {
			t.Errorf("a credential's is %+v, %v", h, err)
		}
		stranger := w.person(t, telamon.NewAccountID(), authz.RoleAdministrator)
		for what, try := range map[string]func() error{
			"see it": func() error { _, err := w.ra.Holding(t.Context(), stranger, serial); return err },
			"act":    func() error { _, err := w.ra.ForCertificate(t.Context(), stranger, serial); return err },
			"list":   func() error { _, err := w.ra.Siblings(t.Context(), stranger, serial, nil); return err },
			"revoke": func() error { _, err := w.ra.RevokeSiblings(t.Context(), stranger, serial, nil); return err },
			"unknown": func() error {
				_, err := w.ra.Holding(t.Context(), person, telamon.NewSerial(w.clock.Now()))
				return err
			},
		} {
			if f := fault.From(try()); f.Kind != fault.NotFound {
				t.Errorf("%s: %+v", what, f)
			}
		}
		must(t, w.ra.SaveView(t.Context(), person, "Revoked", "status=revoked"))
		views, err := w.ra.SavedViews(t.Context(), person)
		if err != nil || len(views) != 1 || views[0].Query != "status=revoked" {
			t.Fatalf("the views are %+v, %v", views, err)
		}
		mustBe(t, w.ra.SaveView(t.Context(), person, "two\nlines", ""), fault.Invalid, "invalid_member")
		_, err = w.ra.SavedViews(t.Context(), c.actor())
		mustBe(t, err, fault.Denied, "access_denied")
		must(t, w.ra.DeleteView(t.Context(), person, views[0].ID))
	})
}

// TestSiblings revokes the other certificates of a key that is compromised.
func TestSiblings(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c, other := w.customer(t, unlimited(), 0), w.customer(t, unlimited(), 0)
		key := newKey(t)
		var serials []telamon.Serial
		for _, by := range []*customer{c, other, c} {
			serial, err := w.ra.Issue(t.Context(), by.actor(), request(key.csr, "www.example.com"))
			must(t, err)
			serials = append(serials, serial)
			w.clock.Advance(time.Minute)
		}
		apart := c.issue(t, "www.example.com")
		person := w.person(t, w.account, authz.RoleManageCertificates)
		acting, err := w.ra.ForCertificate(t.Context(), person, serials[0])
		must(t, err)
		_, err = w.ra.RevokeSiblings(t.Context(), person, serials[0], serials[1:])
		mustBe(t, err, fault.Conflict, "not_revoked")
		mustBe(t, w.ra.Revoke(t.Context(), acting, serials[0], ra.Revocation{Reason: telamon.ReasonPrivilegeWithdrawn}), fault.Invalid, "invalid_member")
		since := w.clock.Now().Add(-30 * time.Second)
		must(t, w.ra.Revoke(t.Context(), acting, serials[0], ra.Revocation{Reason: telamon.ReasonKeyCompromise, CompromisedAt: since}))

		found, err := w.ra.Siblings(t.Context(), person, serials[0], nil)
		if err != nil || len(found.Certificates) != 2 || found.Certificates[0].Serial != serials[2] || found.Certificates[1].Serial != serials[1] {
			t.Errorf("the siblings are %+v, %v", found, err)
		}
		_, err = w.ra.RevokeSiblings(t.Context(), person, serials[0], []telamon.Serial{serials[1], apart})
		mustBe(t, err, fault.Invalid, "other_key")
		n, err := w.ra.RevokeSiblings(t.Context(), person, serials[0], []telamon.Serial{serials[1], serials[2], serials[2]})
		if n != 2 || err != nil {
			t.Errorf("%d are revoked, %v", n, err)
		}
		h, err := w.ra.Holding(t.Context(), person, serials[1])
		if err != nil || h.Certificate.Revocation == nil || h.Certificate.Revocation.Reason != telamon.ReasonKeyCompromise ||
			!h.Certificate.Revocation.CompromisedAt.Equal(since) {
			t.Errorf("the sibling is %+v, %v", h, err)
		}
		if h, err := w.ra.Holding(t.Context(), person, apart); err != nil || h.Certificate.Revocation != nil {
			t.Errorf("one of another key is %+v, %v", h, err)
		}
		_, err = w.ra.Issue(t.Context(), c.actor(), request(key.csr, "www.example.com"))
		mustBe(t, err, fault.Invalid, "policy") // the key is blocked
	})
}

// TestAgreement holds that people accept the Subscriber Agreement of today with each
// request, and that its version is kept with the certificate.
func TestAgreement(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.agreement = "4.2"
		w.start(t)
		c := w.customer(t, metered(), 9)
		person, err := w.ra.For(t.Context(), w.person(t, w.account, authz.RoleManageCertificates), c.credential.Pair)
		must(t, err)
		terms, err := w.ra.Terms(t.Context(), person)
		if err != nil || terms.Agreement != "4.2" || terms.Quota != 9 || terms.Longest.Before(w.clock.Now()) || terms.Default.After(terms.Longest) {
			t.Fatalf("the terms are %+v, %v", terms, err)
		}
		req, before := request(newKey(t).csr, "www.example.com"), c.standing(t)
		for _, version := range []string{"", "4.1"} {
			req.Agreement = version
			_, err := w.ra.Issue(t.Context(), person, req)
			mustBe(t, err, fault.Invalid, "agreement")
		}
		c.mustStand(t, before)
		req.Agreement, req.Policy.NotAfter = "4.2", terms.Longest.Unix()
		serial, err := w.ra.Issue(t.Context(), person, req)
		must(t, err)
		if h, err := w.ra.Holding(t.Context(), person, serial); err != nil || h.Requester == nil || h.Requester.Agreement != "4.2" {
			t.Errorf("the certificate is %+v, %v", h, err)
		}
		req.Policy.NotAfter++
		_, err = w.ra.Issue(t.Context(), person, req)
		mustBe(t, err, fault.Invalid, "policy")
		c.issue(t, "www.example.com") // credentials accept it once, for the account
	})
}
