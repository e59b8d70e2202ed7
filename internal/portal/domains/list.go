package domains

import (
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// A listing is what the address of the list asks for.
type listing struct {
	pattern string
	query   store.AccountClaimQuery
	from    int64 // the number of the first line
}

// states are those that the list can be narrowed to.
var states = []store.ClaimState{store.ClaimStateVerified, store.ClaimStateExpiring, store.ClaimStateExpired, store.ClaimStatePending}

// listing reads the address of the list. What it does not know it leaves out.
func (c *call) listing(q url.Values) listing {
	l := listing{pattern: strings.TrimSpace(q.Get("q")), from: 1}
	for _, s := range states {
		if q.Get("state") == string(s) {
			l.query.State = s
		}
	}
	for _, k := range []telamon.ClaimKind{telamon.ClaimDomain, telamon.ClaimIP} {
		if q.Get("kind") == string(k) {
			l.query.Kind = k
		}
	}
	if id, err := telamon.ParseIdentityID(q.Get("identity")); err == nil {
		l.query.Identity = id
	}
	if n, err := strconv.ParseInt(q.Get("from"), 10, 64); err == nil && n >= 1 && n <= store.MaxAccountClaims {
		l.from = n
	}
	l.query.Skip, l.query.Limit = l.from-1, page.PerPage
	return l
}

// list serves GET /domains.
func (c *call) list() error {
	q := c.R.URL.Query()
	l := c.listing(q)
	identities, names, err := c.identityNames()
	if err != nil {
		return err
	}
	status, wrong := http.StatusOK, ""
	claims, total, err := c.ra.AccountClaims(c.Context(), c.Actor, c.Account(), l.pattern, l.query)
	if fault.From(err) != nil && fault.From(err).Code == "claim_pattern" {
		status, wrong, err = http.StatusUnprocessableEntity, c.wrongPattern(err), nil
	}
	if err != nil {
		return err
	}
	narrowed := l.pattern != "" || l.query.State != "" || l.query.Kind != "" || l.query.Identity != ""
	table := ui.Table{
		Label: c.Say("domains.title"), Empty: c.empty(narrowed), Pager: pager(q, l, int64(len(claims)), total), CSV: with(q, csvPath, 0),
		Columns: []ui.Column{
			{Name: c.Say("domains.name")}, {Name: c.Say("domains.state")}, {Name: c.Say("domains.method")}, {Name: c.Say("domains.identity")}, {Name: c.Say("domains.expires")},
		},
	}
	for i := range claims {
		k := &claims[i]
		table.Rows = append(table.Rows, ui.Row{URL: pathOf(k.ID), Cells: page.Cells(
			nameCell(k.Name, spoken(k.Name)), ui.Status(c.state(k)), ui.Words(c.MethodName(k.Method)), ui.Words(names[k.Identity]), expiry(k))})
	}
	head := ui.Head{Title: c.Say("domains.title"), Lead: c.Say("domains.lead"), Act: c.ActIf(authz.ClaimSubmit, "domains.new", page.DomainNewPath)}
	filtered := narrowed || total > 0
	if !filtered {
		head.Act = nil
	}
	return c.Show(status, head.Title, listPage(head, c.filter(l, identities), table, filtered, wrong))
}

// expiry is when a claim's verification ends, if it has one.
func expiry(k *telamon.Claim) templ.Component {
	if k.ExpiresAt.IsZero() {
		return ui.Words("–")
	}
	return ui.Day(k.ExpiresAt)
}

// wrongPattern says what is wrong with a pattern.
func (c *call) wrongPattern(err error) string {
	for key, cause := range map[string]error{"domains.pattern.start": store.ErrPatternStart, "domains.pattern.end": store.ErrPatternEnd} {
		if fault.From(err).Fields[0].Problem == cause.Error() {
			return c.Say(key)
		}
	}
	return c.Say("domains.pattern.text")
}

// empty says why the list is empty.
func (c *call) empty(narrowed bool) ui.Empty {
	if narrowed {
		return ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	return ui.Empty{Title: c.Say("domains.empty"), Lead: c.Say("domains.empty.do"), Act: c.ActIf(authz.ClaimSubmit, "domains.new", page.DomainNewPath)}
}

// filter is what the list can be narrowed by.
func (c *call) filter(l listing, identities []telamon.Identity) ui.Filter {
	any := ui.Option{Text: c.Say("list.any")}
	state := ui.Field{Name: "state", Label: c.Say("domains.state"), Value: string(l.query.State), Options: []ui.Option{any}}
	for _, s := range states {
		state.Options = append(state.Options, ui.Option{Value: string(s), Text: c.Say("domains.filter." + string(s))})
	}
	kind := ui.Field{Name: "kind", Label: c.Say("domains.kind"), Value: string(l.query.Kind), Options: []ui.Option{
		any, {Value: string(telamon.ClaimDomain), Text: c.Say("domains.kind.domain")}, {Value: string(telamon.ClaimIP), Text: c.Say("domains.kind.ip")},
	}}
	identity := ui.Field{Name: "identity", Label: c.Say("domains.identity"), Value: l.query.Identity.String(), Options: []ui.Option{any}}
	for _, i := range identities {
		identity.Options = append(identity.Options, ui.Option{Value: i.ID.String(), Text: i.Name})
	}
	return ui.Filter{
		Action: page.DomainsPath, Search: l.pattern, Hint: "%.example.com", Target: "list", Fields: []ui.Field{state, identity, kind},
	}
}

// pager says which part of the list is shown. Where counting stops, the total is not told.
func pager(q url.Values, l listing, shown, total int64) *ui.Pager {
	p := &ui.Pager{First: min(l.from, total), Last: l.from - 1 + shown, Total: total}
	if total == store.MaxAccountClaims {
		p.Total = -1
	}
	if l.from > 1 {
		p.Previous = with(q, page.DomainsPath, max(1, l.from-page.PerPage))
	}
	if p.Last < total {
		p.Next = with(q, page.DomainsPath, p.Last+1)
	}
	return p
}

// with is an address of the list with the filters of q, from a line on; 0 leaves it out.
func with(q url.Values, path string, from int64) string {
	next := url.Values{}
	for _, name := range []string{"q", "state", "kind", "identity"} {
		if v := q.Get(name); v != "" {
			next.Set(name, v)
		}
	}
	if from > 0 {
		next.Set("from", strconv.FormatInt(from, 10))
	}
	if len(next) == 0 {
		return path
	}
	return path + "?" + next.Encode()
}

// csvStep is how many claims a file's rows are read at a time.
const csvStep = 1000

// file serves GET /domains.csv: all that the filters leave.
func (c *call) file() error {
	l := c.listing(c.R.URL.Query())
	_, names, err := c.identityNames()
	if err != nil {
		return err
	}
	head := []string{"id", "name", "unicode_name", "kind", "identity", "status", "method", "authorization_domain", "created_at", "verified_at", "expires_at", "assert_by"}
	return c.CSV("domains", head, c.rows(l, names))
}

// rows are the lines of a file, of as many claims as there are.
func (c *call) rows(l listing, names map[telamon.IdentityID]string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		query := l.query
		query.Skip, query.Limit = 0, csvStep
		for {
			claims, _, err := c.ra.AccountClaims(c.Context(), c.Actor, c.Account(), l.pattern, query)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range claims {
				k := &claims[i]
				row := []string{
					k.ID.String(), k.Name, spoken(k.Name), string(k.Kind), names[k.Identity], string(k.Status), string(k.Method), k.ADN,
				}
				for _, at := range []time.Time{k.CreatedAt, k.VerifiedAt, k.ExpiresAt, k.AssertBy} {
					row = append(row, ui.RFC3339(at))
				}
				if !yield(row, nil) {
					return
				}
			}
			if len(claims) < csvStep {
				return
			}
			query.Before = claims[len(claims)-1].ID
		}
	}
}
