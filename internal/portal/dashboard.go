package portal

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/access"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// A standing is what an account has, as far as the person may see it.
type standing struct {
	offers      []iam.Offer
	identities  []telamon.Identity
	credentials []telamon.Credential // that are not deleted
	certs       []telamon.ClientCert // for credentials, that are neither revoked nor over
	userCerts   []telamon.ClientCert // of users whom the person may see, in every state
	domains     int64                // that are verified
	issued      int64                // certificates, ever
}

// standing reads what the account has.
func (c *call) standing(ctx context.Context) (*standing, error) {
	s := &standing{}
	var errs [5]error
	s.offers, errs[0] = c.iam.Offers(ctx, c.Actor, c.Account())
	s.identities, errs[1] = c.iam.Identities(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	s.credentials, errs[2] = c.iam.Credentials(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	s.certs, errs[3] = access.ClientCerts(ctx, c.iam, c.Actor, c.Account())
	s.userCerts, errs[4] = c.iam.AccountUserCerts(ctx, c.Actor, c.Account())
	for _, err := range errs {
		if err != nil && !fault.Is(err, fault.Denied) { // what a role does not show is left out
			return nil, err
		}
	}
	now := c.Clock.Now()
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
	actor := c.Actor
	seen := map[telamon.IdentityID]bool{}
	for _, pair := range pairs {
		actor.Pair = pair // of a credential of the account
		of, err := c.iam.PairOf(ctx, c.Actor, c.Account(), pair)
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
			Kind: telamon.ClaimDomain, Status: telamon.ClaimVerified, To: c.Clock.Now(), Page: 1, PerPage: 1,
		})
		if err != nil && !fault.Is(err, fault.Denied) {
			return err
		}
		s.domains += n
	}
	return nil
}

// dashboard serves GET /: what is to be done, in the order in which one thing needs
// another. Those who only work for the CA go to their own pages.
func (c *call) dashboard() error {
	if staff := c.StaffHome(); staff != "" {
		return c.Redirect(staff)
	}
	s, err := c.standing(c.R.Context())
	if err != nil {
		return err
	}
	u, err := c.usage()
	if err != nil {
		return err
	}
	waits, err := c.waits(s, u.products)
	if err != nil {
		return err
	}
	return c.Show(http.StatusOK, c.Say("dashboard.title"),
		dashboardPage(c.steps(s), append(waits, c.attention(s)...)), usageSection(u.any(), c.charts(u.trends), c.quotaTable(u.products)))
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
	holds := blockedUnless(len(services) > 0 && len(identities) > 0, c.Say("dashboard.credential.blocked"))
	steps := []ui.Step{
		c.step("dashboard.service", len(services), strings.Join(services, ", "), c.Say("dashboard.service.blocked"), c.ActIf(authz.SubscriptionRead, "nav.services", page.ServicesPath)),
		c.step("dashboard.identity", len(identities), strings.Join(identities, ", "), c.identityWaits(len(services), waiting), c.ActIf(authz.IdentityRead, "nav.identities", page.IdentitiesPath)),
		c.step("dashboard.credential", credentials, "", holds,
			c.ActIf(authz.CredentialCreate, "dashboard.credential.act", page.CredentialNewPath)),
		c.step("dashboard.mtls", certs, "", blockedUnless(credentials > 0, c.Say("dashboard.mtls.blocked")),
			c.ActIf(authz.ClientCertificateIssue, "dashboard.mtls.act", page.MTLSNewPath)),
	}
	if demands || len(services) == 0 {
		steps = append(steps, c.step("dashboard.domain", int(s.domains), "", holds, c.ActIf(authz.ClaimSubmit, "domains.new", page.DomainNewPath)))
	}
	blocked := holds
	if blocked == "" {
		blocked = blockedUnless(!demands || s.domains > 0, c.Say("dashboard.certificate.needs_domain"))
	}
	return append(steps, c.step("dashboard.certificate", int(s.issued), "", blocked, c.ActIf(authz.CertificateIssue, "reports.empty.act", page.CertificateNewPath)))
}

// step is one step, which is done if there are any.
func (c *call) step(key string, n int, names, blocked string, act *ui.Link) ui.Step {
	return ui.Step{
		Title: c.Say(key + ".title"), Lead: c.Say(key + ".lead"), Done: n > 0, Blocked: blocked, Act: act,
		Note: c.Many(key+".note", n, "names", names),
	}
}

// identityWaits says what an identity waits for.
func (c *call) identityWaits(services int, waiting string) string {
	switch {
	case waiting != "":
		return c.Say("dashboard.identity.waiting", "name", waiting)
	case services == 0:
		return c.Say("dashboard.identity.needs_service")
	}
	return c.Say("dashboard.identity.blocked")
}

func blockedUnless(ok bool, reason string) string {
	if ok {
		return ""
	}
	return reason
}

// An attention is one thing that needs somebody soon.
type attention struct {
	link ui.Link
	at   time.Time // when something ends; zero: now
}

// domainWaits are the states of domains that wait for somebody.
var domainWaits = map[store.ClaimState]string{
	store.ClaimStateExpired: "dashboard.wait.domains_expired", store.ClaimStateExpiring: "dashboard.wait.domains_expiring",
}

// waits lists what waits for somebody: quotes, identities, domains, certificates and quotas,
// each kind with how many there are.
func (c *call) waits(s *standing, products []commerce.Product) (list []attention, err error) {
	add := func(key string, n int, path string, pairs ...string) {
		if n > 0 {
			list = append(list, attention{link: ui.Link{Text: c.Many(key, n, pairs...), URL: path}})
		}
	}
	quotes, err := c.commerce.Quotes(c.Context(), c.Actor, store.QuoteFilter{Account: c.Account(), Limit: page.PerPage})
	if err != nil && !fault.Is(err, fault.Denied) {
		return nil, err
	}
	quotes = slices.DeleteFunc(quotes, func(q telamon.Quote) bool { return q.State != telamon.QuoteSent })
	add("dashboard.wait.quotes", len(quotes), page.QuotesPath)
	for _, i := range s.identities {
		if i.State == telamon.IdentityRejected {
			add("dashboard.wait.rejected", 1, page.IdentitiesPath+"/"+i.ID.String(), "name", i.Name)
		}
	}
	for _, state := range slices.Sorted(maps.Keys(domainWaits)) {
		_, n, err := c.ra.AccountClaims(c.Context(), c.Actor, c.Account(), "", store.AccountClaimQuery{State: state, Limit: 1})
		if err != nil && !fault.Is(err, fault.Denied) {
			return nil, err
		}
		add(domainWaits[state], int(n), page.DomainsPath+"?state="+string(state))
	}
	for i := range products {
		if p := &products[i]; !p.Service.Unlimited && p.Granted > 0 && p.PercentUsed() >= commerce.Thresholds[len(commerce.Thresholds)-1] {
			add("dashboard.wait.quota", int(p.PercentUsed()), page.ServicesPath, "name", p.Service.Name)
		}
	}
	return list, nil
}

// attention lists what ends soon.
func (c *call) attention(s *standing) []attention {
	var list []attention
	until := c.Clock.Now().Add(page.AttentionSpan)
	for _, k := range s.certs {
		if k.State == telamon.Active && k.NotAfter.Before(until) {
			list = append(list, attention{ui.Link{Text: c.Say("dashboard.attention.mtls", "name", k.Serial.String()), URL: page.MTLSPath + "/" + k.ID.String()}, k.NotAfter})
		}
	}
	for _, k := range s.userCerts {
		if k.State == telamon.Active && k.NotAfter.Before(until) && k.NotAfter.After(c.Clock.Now()) {
			list = append(list, attention{ui.Link{Text: c.Say("dashboard.attention.mtls", "name", k.Name), URL: page.ClientCertificatesPath + "/" + k.ID.String()}, k.NotAfter})
		}
	}
	slices.SortFunc(list, func(a, b attention) int { return a.at.Compare(b.at) })
	return list
}
