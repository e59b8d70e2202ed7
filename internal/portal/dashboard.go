package portal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// maxRows is how many objects of a kind a page reads at most.
const maxRows = 1000

// attentionSpan is how long before its end a certificate needs somebody.
const attentionSpan = 30 * 24 * time.Hour

// A standing is what an account has, as far as the person may see it.
type standing struct {
	offers      []iam.Offer
	identities  []telamon.Identity
	credentials []telamon.Credential // that are not deleted
	certs       []telamon.ClientCert // for credentials, that are neither revoked nor over
	domains     int64                // that are verified
	issued      int64                // certificates, ever
}

// standing reads what the account has.
func (c *call) standing(ctx context.Context) (*standing, error) {
	s := &standing{}
	var errs [4]error
	s.offers, errs[0] = c.iam.Offers(ctx, c.actor, c.account())
	s.identities, errs[1] = c.iam.Identities(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
	s.credentials, errs[2] = c.iam.Credentials(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
	s.certs, errs[3] = c.clientCerts(ctx)
	for _, err := range errs {
		if err != nil && !fault.Is(err, fault.Denied) { // what a role does not show is left out
			return nil, err
		}
	}
	now := c.clock.Now()
	s.credentials = slices.DeleteFunc(s.credentials, func(k telamon.Credential) bool { return k.State == telamon.Deleted })
	s.certs = slices.DeleteFunc(s.certs, func(k telamon.ClientCert) bool { return k.State == telamon.Revoked || !k.NotAfter.After(now) })
	return s, c.addUse(ctx, s)
}

// maxPairs is for how many pairs of a service and an identity the use is summed.
const maxPairs = 50

// addUse adds what was done with the account's credentials.
func (c *call) addUse(ctx context.Context, s *standing) error {
	var pairs []telamon.PairID
	for _, k := range s.credentials {
		if !slices.Contains(pairs, k.Pair) && len(pairs) < maxPairs {
			pairs = append(pairs, k.Pair)
		}
	}
	actor := c.actor
	seen := map[telamon.IdentityID]bool{}
	for _, pair := range pairs {
		actor.Pair = pair // of a credential of the account
		of, err := c.iam.PairOf(ctx, c.actor, c.account(), pair)
		if err != nil {
			return err
		}
		n, err := c.ra.IssuedCount(ctx, actor)
		if err != nil && !fault.Is(err, fault.Denied) {
			return err
		}
		s.issued += n
		if seen[of.Identity] { // claims belong to the identity
			continue
		}
		seen[of.Identity] = true
		_, n, err = c.ra.Claims(ctx, actor, ra.ClaimListing{
			Kind: telamon.ClaimDomain, Status: telamon.ClaimVerified, To: c.clock.Now(), Page: 1, PerPage: 1,
		})
		if err != nil && !fault.Is(err, fault.Denied) {
			return err
		}
		s.domains += n
	}
	return nil
}

// clientCerts lists the mTLS certificates of the account that are for credentials.
func (c *call) clientCerts(ctx context.Context) ([]telamon.ClientCert, error) {
	certs, err := c.iam.ClientCerts(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
	return slices.DeleteFunc(certs, func(k telamon.ClientCert) bool { return k.User != "" }), err
}

// dashboard serves GET /: what is to be done, in the order in which one thing needs
// another.
func (c *call) dashboard() error {
	s, err := c.standing(c.r.Context())
	if err != nil {
		return err
	}
	return c.show(http.StatusOK, c.say("dashboard.title"), dashboardPage(c.steps(s), c.attention(s)))
}

// steps are the way to the first certificate.
func (c *call) steps(s *standing) []ui.Step {
	var services, identities []string
	demands := false // a service demands domains
	for _, o := range s.offers {
		if o.Live {
			services = append(services, o.Service.Name)
			demands = demands || o.Service.DomainValidation
		}
	}
	waiting := ""
	for _, i := range s.identities {
		switch i.State {
		case telamon.IdentityActive:
			identities = append(identities, i.Name)
		case telamon.IdentityQueued, telamon.IdentityProcessed:
			waiting = i.Name
		}
	}
	credentials := len(slices.DeleteFunc(slices.Clone(s.credentials), func(k telamon.Credential) bool { return k.State != telamon.Active }))
	certs := len(slices.DeleteFunc(slices.Clone(s.certs), func(k telamon.ClientCert) bool { return k.State != telamon.Active }))
	steps := []ui.Step{
		c.step("dashboard.service", len(services), strings.Join(services, ", "), c.say("dashboard.service.blocked"), c.actIf(authz.SubscriptionRead, "nav.services", servicesPath)),
		c.step("dashboard.identity", len(identities), strings.Join(identities, ", "), c.identityWaits(len(services), waiting), c.actIf(authz.IdentityRead, "nav.identities", identitiesPath)),
		c.step("dashboard.credential", credentials, "", blockedUnless(len(services) > 0 && len(identities) > 0, c.say("dashboard.credential.blocked")),
			c.actIf(authz.CredentialCreate, "dashboard.credential.act", credentialNewPath)),
		c.step("dashboard.mtls", certs, "", blockedUnless(credentials > 0, c.say("dashboard.mtls.blocked")),
			c.actIf(authz.ClientCertificateIssue, "dashboard.mtls.act", mtlsNewPath)),
	}
	if demands || len(services) == 0 {
		steps = append(steps, c.step("dashboard.domain", int(s.domains), "", blockedUnless(credentials > 0, c.say("dashboard.domain.blocked")), nil))
	}
	blocked := blockedUnless(credentials > 0, c.say("dashboard.certificate.blocked"))
	if blocked == "" {
		blocked = blockedUnless(!demands || s.domains > 0, c.say("dashboard.certificate.needs_domain"))
	}
	return append(steps, c.step("dashboard.certificate", int(s.issued), "", blocked, nil))
}

// step is one step, which is done if there are any.
func (c *call) step(key string, n int, names, blocked string, act *ui.Link) ui.Step {
	return ui.Step{
		Title: c.say(key + ".title"), Lead: c.say(key + ".lead"), Done: n > 0, Blocked: blocked, Act: act,
		Note: c.many(key+".note", n, "names", names),
	}
}

// identityWaits says what an identity waits for.
func (c *call) identityWaits(services int, waiting string) string {
	switch {
	case waiting != "":
		return c.say("dashboard.identity.waiting", "name", waiting)
	case services == 0:
		return c.say("dashboard.identity.needs_service")
	}
	return c.say("dashboard.identity.blocked")
}

func blockedUnless(ok bool, reason string) string {
	if ok {
		return ""
	}
	return reason
}

// actIf leads to a page if the person may do what it is for.
func (c *call) actIf(action authz.Action, key, path string) *ui.Link {
	if !c.may(action) {
		return nil
	}
	return &ui.Link{Text: c.say(key), URL: path}
}

// An attention is one thing that needs somebody soon.
type attention struct {
	link ui.Link
	at   time.Time
}

// attention lists what ends soon.
func (c *call) attention(s *standing) []attention {
	var list []attention
	until := c.clock.Now().Add(attentionSpan)
	for _, k := range s.certs {
		if k.State == telamon.Active && k.NotAfter.Before(until) {
			list = append(list, attention{ui.Link{Text: c.say("dashboard.attention.mtls", "name", k.Serial.String()), URL: mtlsPath + "/" + k.ID.String()}, k.NotAfter})
		}
	}
	slices.SortFunc(list, func(a, b attention) int { return a.at.Compare(b.at) })
	return list
}

// errNotFound is the fault of an address that leads to nothing of the account's.
var errNotFound = fault.New(fault.NotFound, "page_not_found", "There is nothing at this address.")

// orNotFound turns the error of an ID that cannot be read into a NotFound fault.
func orNotFound(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(errNotFound, err)
}
