package clients

import (
	"cmp"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// Paths below that of the list.
const (
	newPath     = page.ClientCertificatesPath + "/new"
	inspectPath = page.ClientCertificatesPath + "/inspect"
	csvPath     = page.ClientCertificatesPath + "/list.csv"
)

// certificateRoutes are the pages of client certificates of users.
func (p *Pages) certificateRoutes(mux page.Router) {
	const one = page.ClientCertificatesPath + "/{id}"
	mux.HandleFunc("GET "+page.ClientCertificatesPath, p.person((*call).certificates))
	mux.HandleFunc("GET "+csvPath, p.person((*call).certificatesCSV))
	mux.HandleFunc("GET "+newPath, p.person((*call).newCertificate))
	mux.HandleFunc("POST "+newPath, p.person((*call).createCertificate))
	mux.HandleFunc("POST "+inspectPath, p.person((*call).inspectCSR))
	mux.HandleFunc("GET "+one, p.person((*call).certificate))
	mux.HandleFunc("GET "+one+"/certificate.cer", p.person(func(c *call) error { return c.downloadPEM(false) }))
	mux.HandleFunc("GET "+one+"/issuing-ca.cer", p.person(func(c *call) error { return c.downloadPEM(true) }))
	mux.HandleFunc("POST "+one+"/p12", p.person((*call).downloadP12))
	for _, verb := range verbs {
		mux.HandleFunc("GET "+one+"/"+verb, p.person(func(c *call) error { return c.askCertificateAct(verb) }))
		mux.HandleFunc("POST "+one+"/"+verb, p.person(func(c *call) error { return c.actOnCertificate(verb) }))
	}
}

func certificatePath(id telamon.ClientCertID) string {
	return page.ClientCertificatesPath + "/" + id.String()
}

// nextSpan is how long before its end a certificate asks for the next one: long enough that
// both can be in use for a while.
const nextSpan = 60 * 24 * time.Hour

// What a certificate can be, for the filter.
const (
	isActive   = "active"
	isSoon     = "soon"
	isExpired  = "expired"
	isDisabled = "disabled"
	isRevoked  = "revoked"
)

// certStates are the tone and the message of each.
var certStates = map[string]ui.State{
	isActive: {Tone: ui.Good, Word: "state.active"}, isSoon: {Tone: ui.Warn, Word: "mtls.soon"},
	isExpired: {Tone: ui.Bad, Word: "state.expired"}, isDisabled: {Tone: ui.Off, Word: "state.disabled"},
	isRevoked: {Tone: ui.Bad, Word: "state.revoked"},
}

// standing returns what a certificate is at a time.
func standing(k telamon.ClientCert, now time.Time) string {
	switch {
	case k.State == telamon.Revoked:
		return isRevoked
	case !now.Before(k.NotAfter.Add(time.Second)): // its last second is part of its life (RFC 5280, Section 4.1.2.5)
		return isExpired
	case k.State == telamon.Disabled:
		return isDisabled
	case k.NotAfter.Before(now.Add(page.AttentionSpan)):
		return isSoon
	}
	return isActive
}

// certState returns a certificate's state in words.
func (c *call) certState(k telamon.ClientCert) ui.State {
	s := certStates[standing(k, c.Clock.Now())]
	s.Word = c.Say(s.Word)
	return s
}

// holders returns the users that certificates may belong to, as far as the person may know.
func (c *call) holders() (map[telamon.UserID]telamon.User, error) {
	all := map[telamon.UserID]telamon.User{c.Actor.User: c.Session.User}
	if !c.May(authz.UserRead) {
		return all, nil
	}
	users, err := c.iam.FindUsers(c.Context(), c.Actor, c.Account(), iam.UserFilter{})
	for _, u := range users {
		all[u.ID] = u
	}
	return all, err
}

// selected are the certificates that the address asks for.
func (c *call) selected() (all, matches []telamon.ClientCert, holders map[telamon.UserID]telamon.User, err error) {
	if all, err = c.iam.AccountUserCerts(c.Context(), c.Actor, c.Account()); err != nil {
		return nil, nil, nil, err
	}
	if holders, err = c.holders(); err != nil {
		return nil, nil, nil, err
	}
	q, now := c.R.URL.Query(), c.Clock.Now()
	search, state, user := strings.ToLower(strings.TrimSpace(q.Get("q"))), q.Get("state"), q.Get("user")
	matches = slices.DeleteFunc(slices.Clone(all), func(k telamon.ClientCert) bool {
		is := standing(k, now)
		text := strings.ToLower(k.Name + " " + k.Serial.String() + " " + holders[k.User].Name)
		return user != "" && k.User.String() != user || search != "" && !strings.Contains(text, search) ||
			state != "" && is != state && !(state == isActive && is == isSoon)
	})
	return all, matches, holders, nil
}

// certificates serves GET /client-certificates.
func (c *call) certificates() error {
	all, matches, holders, err := c.selected()
	if err != nil {
		return err
	}
	q := c.R.URL.Query()
	part, pager := page.PageOf(matches, q, page.ClientCertificatesPath)
	table := c.certTable(part, holders, nil, c.noCertificates(len(all) > 0, ""))
	table.Pager, table.CSV = pager, csvPath+"?"+q.Encode()
	filter := ui.Filter{
		Action: page.ClientCertificatesPath, Search: q.Get("q"), Hint: c.Say("clients.search"), Target: "list",
		Fields: []ui.Field{c.certStateField(q.Get("state"))},
	}
	if f := c.holderField(all, holders, q.Get("user")); len(f.Options) > 2 {
		filter.Fields = append(filter.Fields, f)
	}
	head := ui.Head{Title: c.Say("clients.title"), Lead: c.Say("clients.lead"), Act: &ui.Link{Text: c.Say("clients.create"), URL: newPath}}
	if len(all) == 0 {
		head.Act = nil
	}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, len(all) > 0))
}

// noCertificates says why a list is empty.
func (c *call) noCertificates(filtered bool, user telamon.UserID) ui.Empty {
	if filtered {
		return ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	return ui.Empty{Title: c.Say("clients.empty"), Lead: c.Say("clients.empty.lead"), Act: &ui.Link{Text: c.Say("clients.create"), URL: newFor(user)}}
}

// newFor is the address where a certificate for a user is made.
func newFor(user telamon.UserID) string {
	if user == "" {
		return newPath
	}
	return newPath + "?" + url.Values{"user": {user.String()}}.Encode()
}

func (c *call) certStateField(value string) ui.Field {
	f := ui.Field{Name: "state", Label: c.Say("credential.state"), Value: value, Options: []ui.Option{{Text: c.Say("list.any")}}}
	for _, s := range []string{isActive, isSoon, isDisabled, isExpired, isRevoked} {
		f.Options = append(f.Options, ui.Option{Value: s, Text: c.Say(certStates[s].Word)})
	}
	return f
}

// holderField chooses one of those who have certificates.
func (c *call) holderField(certs []telamon.ClientCert, holders map[telamon.UserID]telamon.User, value string) ui.Field {
	f := ui.Field{Name: "user", Label: c.Say("clients.user"), Value: value, Options: []ui.Option{{Text: c.Say("list.any")}}}
	seen := map[telamon.UserID]bool{}
	for _, k := range certs {
		if name := holders[k.User].Name; name != "" && !seen[k.User] {
			seen[k.User] = true
			f.Options = append(f.Options, ui.Option{Value: k.User.String(), Text: name})
		}
	}
	slices.SortStableFunc(f.Options[1:], func(a, b ui.Option) int {
		return cmp.Compare(strings.ToLower(a.Text), strings.ToLower(b.Text))
	})
	return f
}

// certTable lists certificates: with whose they are if holders is not nil, and with their
// last use if uses is not.
func (c *call) certTable(certs []telamon.ClientCert, holders map[telamon.UserID]telamon.User, uses map[telamon.ClientCertID]time.Time, empty ui.Empty) ui.Table {
	t := ui.Table{Label: c.Say("clients.title"), Empty: empty, Columns: []ui.Column{{Name: c.Say("clients.nickname")}, {Name: c.Say("credential.state")}}}
	if holders != nil {
		t.Columns = append(t.Columns, ui.Column{Name: c.Say("clients.user")})
	}
	t.Columns = append(t.Columns, ui.Column{Name: c.Say("mtls.serial")}, ui.Column{Name: c.Say("mtls.expires")}, ui.Column{Name: c.Say("clients.first_used")})
	if uses != nil {
		t.Columns = append(t.Columns, ui.Column{Name: c.Say("credential.last_used")})
	}
	for _, k := range certs {
		cells := page.Cells(ui.Words(k.Name), ui.Status(c.certState(k)))
		if holders != nil {
			cells = append(cells, ui.Words(holders[k.User].Name))
		}
		cells = append(cells, page.Serial(k.Serial), ui.Day(k.NotAfter), ui.Day(k.FirstUsedAt))
		if uses != nil {
			cells = append(cells, ui.Day(uses[k.ID]))
		}
		t.Rows = append(t.Rows, ui.Row{URL: certificatePath(k.ID), Cells: cells})
	}
	return t
}

// certificatesCSV serves GET /client-certificates/list.csv: the list under the same filters.
func (c *call) certificatesCSV() error {
	_, matches, holders, err := c.selected()
	if err != nil {
		return err
	}
	uses, err := c.iam.UserCertUses(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	now := c.Clock.Now()
	rows := func(yield func([]string, error) bool) {
		for _, k := range matches {
			if !yield([]string{
				k.ID.String(), k.Name, holders[k.User].Name, standing(k, now), k.Serial.String(), ui.RFC3339(k.CreatedAt), ui.RFC3339(k.NotAfter),
				ui.RFC3339(k.FirstUsedAt), ui.RFC3339(uses[k.ID]),
			}, nil) {
				return
			}
		}
	}
	return c.CSV("client-certificates", []string{"id", "nickname", "user", "state", "serial", "created", "expires", "first_used", "last_used"},
		iter.Seq2[[]string, error](rows))
}
