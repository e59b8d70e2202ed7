package domains

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
)

// The ways to show control, as addresses name them.
const (
	wayDNS     = "dns"
	wayCNAME   = "cname"
	wayHTTP    = "http"
	wayEmail   = "email"
	wayPersist = "persist"
)

// The labels before an authorization domain name at which a way looks.
const (
	cnameLabel   = "_acme-challenge."
	persistLabel = "_validation-persist."
)

// A choice is how somebody wants to show control: what the address of the page says, or
// what is usual.
type choice struct {
	way    string
	domain string // the authorization domain name, one of the claim's
	to     string // of wayCNAME: the name that the alias leads to
	scheme string // of wayHTTP
}

// ways are the ways that there are for a claim.
func ways(d *ra.ClaimDetail) []string {
	if d.Claim.Kind == telamon.ClaimIP {
		return []string{wayHTTP}
	}
	all := []string{wayDNS, wayCNAME, wayHTTP}
	if d.ByMail {
		all = append(all, wayEmail)
	}
	if d.Standing != "" {
		all = append(all, wayPersist)
	}
	return all
}

// chosen reads what somebody chose. What cannot be is what is usual.
func chosen(d *ra.ClaimDetail, q url.Values) choice {
	ch := choice{way: q.Get("method"), domain: q.Get("at"), to: q.Get("to"), scheme: q.Get("scheme")}
	all := ways(d)
	if !slices.Contains(all, ch.way) {
		ch.way = all[0]
	}
	if !slices.Contains(d.Domains, ch.domain) {
		ch.domain = d.Claim.Name
	}
	if ch.scheme != "https" {
		ch.scheme = "http"
	}
	if adn, err := dnsname.ParseADN(ch.to); err == nil {
		ch.to = adn.String()
	} else {
		ch.to = "verify." + ch.domain
	}
	return ch
}

// values are the choice as an address has it.
func (ch choice) values() url.Values {
	v := url.Values{"method": {ch.way}}
	switch ch.way {
	case wayHTTP:
		v.Set("scheme", ch.scheme)
	case wayCNAME:
		v.Set("at", ch.domain)
		v.Set("to", ch.to)
	case wayDNS, wayPersist:
		v.Set("at", ch.domain)
	}
	return v
}

// at is the name that a check looks at.
func (ch choice) at() string {
	switch ch.way {
	case wayCNAME:
		return cnameLabel + ch.domain
	case wayPersist:
		return persistLabel + ch.domain
	}
	return ch.domain
}

// A record is a line of a zone.
type record struct{ Name, Type, Value string }

// Zone is the record as a zone file has it (RFC 1035, Section 5.1).
func (r record) Zone() string {
	value := r.Value
	if r.Type == "TXT" {
		value = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	return r.Name + ". 300 IN " + r.Type + " " + value
}

// records are what the owner of the domain adds to the DNS.
func (ch choice) records(d *ra.ClaimDetail) []record {
	switch ch.way {
	case wayDNS:
		return []record{{ch.at(), "TXT", d.Value}}
	case wayCNAME:
		return []record{{ch.at(), "CNAME", ch.to + "."}, {ch.to, "TXT", d.Value}}
	case wayPersist:
		return []record{{ch.at(), "TXT", d.Standing}}
	}
	return nil
}

// A view is what the page of a claim shows.
type view struct {
	detail *ra.ClaimDetail
	here   string // the page's address
	choice choice
	tabs   []ui.Tab
	facts  []ui.Fact
	state  ui.State
	lines  []ui.LogLine
	// Expired says that the code has expired (DOM-01), "" if it has not. Open reports that
	// the code is there to be found.
	expired string
	open    bool
	days    int // of a standing record

	mayCheck, mayMail, mayRenew bool
	boxes                       dcv.Mailboxes
	file                        string // the address of the file
	wrong                       string // what is wrong with what was sent
}

// show serves GET /domains/{id}: the claim, what to publish, and what was seen.
func (c *call) show() error { return c.showWith(http.StatusOK, "") }

// showWith is show with what is wrong with what was sent.
func (c *call) showWith(status int, wrong string) error {
	d, err := c.detail()
	if err != nil {
		return err
	}
	_, names, err := c.identityNames()
	if err != nil {
		return err
	}
	v, err := c.view(d, names[d.Claim.Identity])
	if err != nil {
		return err
	}
	v.wrong = wrong
	head := ui.Head{Up: &ui.Link{Text: c.Say("domains.title"), URL: "/domains"}, Title: d.Claim.Name, Lead: spoken(d.Claim.Name)}
	for _, act := range []struct {
		action    authz.Action
		key, path string
	}{{authz.ClaimReassert, "domains.renew", "/renew"}, {authz.ClaimDelete, "domains.delete", "/delete"}} {
		if l := c.ActIf(act.action, act.key, pathOf(d.Claim.ID)+act.path); l != nil {
			head.Quiet = append(head.Quiet, *l)
		}
	}
	return c.Show(status, head.Title, claimPage(head, v))
}

// view returns what the page shows.
func (c *call) view(d *ra.ClaimDetail, identity string) (*view, error) {
	k, ch := &d.Claim, chosen(d, c.R.URL.Query())
	v := &view{
		detail: d, choice: ch, here: pathOf(k.ID) + "?" + ch.values().Encode(), state: c.state(k), lines: c.lines(d), days: int(c.ra.PersistReuse().Hours() / 24),
		open: k.Open && c.Clock.Now().Before(k.AssertBy), mayCheck: c.May(authz.ClaimCheck), mayMail: c.May(authz.ClaimMail), mayRenew: c.May(authz.ClaimReassert),
		file: fileURL(ch.scheme, k.Name), facts: c.facts(d, identity),
	}
	if k.Open && !v.open {
		v.expired = c.codeExpired(k)
	}
	for _, way := range ways(d) {
		to := ch
		to.way = way
		v.tabs = append(v.tabs, ui.Tab{Text: c.Say("domains.way." + way), URL: pathOf(k.ID) + "?" + to.values().Encode(), Current: way == ch.way})
	}
	if ch.way == wayEmail && v.open && v.mayMail {
		actor, err := c.actorFor(k.Identity)
		if err != nil {
			return nil, err
		}
		if v.boxes, err = c.ra.Mailboxes(c.Context(), actor, k.ID); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// fileURL is the address at which a file shows control of a host.
func fileURL(scheme, host string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + dcv.FilePath
}

// facts are what there is to know of a claim.
func (c *call) facts(d *ra.ClaimDetail, identity string) []ui.Fact {
	k := &d.Claim
	facts := []ui.Fact{{Key: c.Say("domains.identity"), Value: ui.Words(identity)}}
	if !k.VerifiedAt.IsZero() {
		facts = append(facts,
			ui.Fact{Key: c.Say("domains.expires"), Value: ui.Moment(k.ExpiresAt)},
			ui.Fact{Key: c.Say("domains.verified"), Value: verifiedBy(k.VerifiedAt, c.MethodName(k.Method), k.ADN)},
			ui.Fact{Key: c.Say("domains.covers"), Value: ui.Words(c.Say("domains.covers."+string(k.Coverage), "name", k.Name))})
	}
	if k.Open {
		facts = append(facts, ui.Fact{Key: c.Say("domains.code_until"), Value: ui.Moment(k.AssertBy)})
	}
	return append(facts,
		ui.Fact{Key: c.Say("domains.created"), Value: ui.Moment(k.CreatedAt)},
		ui.Fact{Key: c.Say("domains.id"), Value: ui.Identifier(atlasID(k.ID))})
}

// atlasID is a claim's ID as the Atlas API has it.
func atlasID(id telamon.ClaimID) string {
	b, _ := id.Bytes()
	return strings.ToUpper(hex.EncodeToString(b[:]))
}
