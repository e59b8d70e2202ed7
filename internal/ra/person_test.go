package ra_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
)

// TestPeople holds that people act for the pairs of their account as credentials do, as
// far as their roles go, and for no other's.
func TestPeople(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		c := w.customer(t, metered(), 9)
		person := func(account telamon.AccountID, roles ...string) telamon.Actor {
			return telamon.Actor{Kind: telamon.ActorUser, Account: account, User: telamon.NewUserID(), UserName: "Ada", Roles: roles, RequestID: "req_person"}
		}
		manager, err := w.ra.For(ctx, person(w.account, authz.RoleManageCertificates), c.credential.Pair)
		must(t, err)
		if manager.Issuer != w.issuer.ID || manager.Pair != c.credential.Pair {
			t.Fatalf("they act for %d by %s", manager.Pair, manager.Issuer)
		}
		serial, err := w.ra.Issue(ctx, manager, request(newKey(t).csr, "www.example.com"))
		must(t, err)
		w.mustAudit(t, manager, "certificate.issue", serial.String(), "ok")
		if entry, _, err := w.ra.Certificate(ctx, manager, serial); err != nil || entry.Credential != "" || entry.Pair != c.credential.Pair {
			t.Errorf("the certificate is %+v, %v", entry, err)
		}
		if entry, _ := c.certificate(t, serial); entry.Serial != serial { // the pair's credentials see it
			t.Errorf("the credential sees %+v", entry)
		}

		pair, err := w.iam.PairFor(ctx, person(w.account, authz.RoleManageDomains), w.account, c.sub, w.newIdentity(t, time.Time{}))
		must(t, err)
		if _, err := w.ra.For(ctx, manager, pair.ID); err != nil {
			t.Errorf("a pair that was just made: %v", err)
		}
		reader, err := w.ra.For(ctx, person(w.account, authz.RoleReadOnly), c.credential.Pair)
		must(t, err)
		_, err = w.ra.Issue(ctx, reader, request(newKey(t).csr, "www.example.com"))
		mustBe(t, err, fault.Denied, "access_denied")

		// Requirement 32: the account names who may request; its credentials go on.
		admin, identity := person(w.account, authz.RoleAdministrator), pairOf(t, w, c).Identity
		must(t, w.iam.NameRequesters(ctx, admin, w.account, identity, []telamon.UserID{}))
		_, err = w.ra.Issue(ctx, manager, request(newKey(t).csr, "www.example.com"))
		mustBe(t, err, fault.Denied, "not_a_requester")
		mustBe(t, w.ra.Check(ctx, manager, request(newKey(t).csr, "www.example.com")), fault.Denied, "not_a_requester")
		_, err = w.ra.Rekey(ctx, manager, serial, &ra.RekeyRequest{PublicKey: newKey(t).csr})
		mustBe(t, err, fault.Denied, "not_a_requester")
		c.issue(t, "www.example.com")

		stranger := person(telamon.NewAccountID(), authz.RoleAdministrator)
		_, err = w.ra.For(ctx, stranger, c.credential.Pair)
		mustBe(t, err, fault.NotFound, "not_found")
		stranger.Pair, stranger.Issuer = manager.Pair, manager.Issuer // as if it had been asked for
		_, _, err = w.ra.Certificate(ctx, stranger, serial)
		mustBe(t, err, fault.NotFound, "not_found")
		mustBe(t, w.ra.Revoke(ctx, stranger, serial, ra.Revocation{Reason: telamon.ReasonUnspecified}), fault.NotFound, "not_found")
		_, err = w.ra.SubmitClaim(ctx, stranger, telamon.ClaimDomain, "www.example.com")
		mustBe(t, err, fault.NotFound, "not_found")
	})
}

func pairOf(t *testing.T, w *world, c *customer) telamon.Pair {
	t.Helper()
	pair, err := w.iam.PairOf(t.Context(), operator, w.account, c.credential.Pair)
	must(t, err)
	return pair
}
