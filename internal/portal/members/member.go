package members

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// memberRoutes are the pages of an account's people.
func (p *Pages) memberRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.MembersPath, p.person((*call).members))
	mux.HandleFunc("GET "+page.MembersPath+".csv", p.person((*call).membersCSV))
	mux.HandleFunc("GET "+page.MembersPath+"/{id}", p.person((*call).member))
	mux.HandleFunc("GET "+page.MembersPath+"/{id}/roles", p.person((*call).askRoles))
	mux.HandleFunc("POST "+page.MembersPath+"/{id}/roles", p.person((*call).setRoles))
	for verb := range memberActs {
		mux.HandleFunc("GET "+page.MembersPath+"/{id}/"+verb, p.person(func(c *call) error { return c.askMemberAct(verb) }))
		mux.HandleFunc("POST "+page.MembersPath+"/{id}/"+verb, p.person(func(c *call) error { return c.actOnMember(verb) }))
	}
}

// memberPath is the page of a person.
func memberPath(id telamon.UserID) string { return page.MembersPath + "/" + id.String() }

// roles are those that people of an account can have, in the order in which they are shown.
var roles = []string{
	authz.RoleAdministrator, authz.RoleManageIdentities, authz.RoleManageCertificates, authz.RoleManageCredentials,
	authz.RoleManageDomains, authz.RoleFinance, authz.RoleReadOnly, authz.RoleAuditor,
}

// staffRoles are those that people of the CA's own account can have too.
var staffRoles = []string{authz.RoleVettingAgent, authz.RoleCAOperator, authz.RoleSales}

// roleNames are roles in words, one after the other.
func (c *call) roleNames(codes []string) string {
	var names []string
	for _, code := range codes {
		name := code
		if key := "role." + code; c.Language().Has(key) {
			name = c.Say(key)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// rolePick is the table of roles to tick.
func (c *call) rolePick(picked []string) (ui.Field, []ui.PickRow, error) {
	profile, err := c.signin.AccountProfile(c.Context(), c.Session)
	if err != nil {
		return ui.Field{}, nil, err
	}
	offered := roles
	if profile.Kind == store.AccountStaff {
		offered = slices.Concat(roles, staffRoles)
	}
	var rows []ui.PickRow
	for _, code := range offered {
		rows = append(rows, ui.PickRow{
			Value: code, Name: c.Say("role." + code), Picked: slices.Contains(picked, code), Cells: page.Cells(ui.Words(c.Say("role." + code + ".allows"))),
		})
	}
	return ui.Field{Name: "roles", Label: c.Say("members.roles")}, rows, nil
}

// state is how a person can sign in now.
func (c *call) state(m *store.Member) ui.State {
	switch status := m.Status(c.Clock.Now()); {
	case m.State == telamon.Disabled:
		return ui.State{Tone: ui.Off, Word: c.Say("state.disabled")}
	case m.LockedOut:
		return ui.State{Tone: ui.Bad, Word: c.Say("members.locked"), Reason: c.Say("members.locked_out")}
	case !m.LockedAt.IsZero():
		return ui.State{Tone: ui.Bad, Word: c.Say("members.locked")}
	case status != telamon.UserActive:
		return ui.State{Tone: ui.Off, Word: c.Say("state.expired")}
	case m.Stage != store.StageActive:
		return ui.State{Tone: ui.Pending, Word: c.Say("members.signing_up")}
	}
	return ui.State{Tone: ui.Good, Word: c.Say("state.active")}
}

// factor says what second factor a person has.
func (c *call) factor(m *store.Member) string {
	var has []string
	if m.TOTP {
		has = append(has, c.Say("enrol.totp"))
	}
	if m.Passkeys > 0 {
		has = append(has, c.Many("members.passkeys", m.Passkeys))
	}
	if len(has) == 0 {
		return c.Say("members.no_factor")
	}
	return strings.Join(has, ", ")
}

// membersFilter is what the address asks for.
func membersFilter(q url.Values) store.MemberFilter {
	return store.MemberFilter{
		Search: strings.TrimSpace(q.Get("q")), Role: q.Get("role"), Page: store.Page{After: q.Get("after"), Limit: page.PerPage + 1},
	}
}

// members serves GET /members.
func (c *call) members() error {
	ctx, q := c.Context(), c.R.URL.Query()
	f := membersFilter(q)
	list, err := c.signin.Members(ctx, c.Actor, c.Account(), f)
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("members.title"), CSV: page.MembersPath + ".csv?" + q.Encode(),
		Empty: ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")},
		Columns: []ui.Column{
			{Name: c.Say("welcome.name")}, {Name: c.Say("sign_in.email")}, {Name: c.Say("members.roles")}, {Name: c.Say("credential.state")},
			{Name: c.Say("members.factor")}, {Name: c.Say("members.signed_in")},
		},
	}
	list, table.Pager = after(q, page.MembersPath, list, func(m store.Member) string { return m.ID.String() })
	for _, m := range list {
		name := m.Name
		if m.ID == c.Session.User.ID {
			name = c.Say("members.own", "name", m.Name)
		}
		table.Rows = append(table.Rows, ui.Row{URL: memberPath(m.ID), Cells: page.Cells(
			ui.Words(name), ui.Words(m.Email), ui.Words(c.roleNames(m.Roles)), ui.Status(c.state(&m)), ui.Words(c.factor(&m)), ui.Day(m.SignedInAt))})
	}
	role := ui.Field{Name: "role", Label: c.Say("members.role"), Value: f.Role, Options: []ui.Option{{Text: c.Say("list.any")}}}
	for _, code := range roles {
		role.Options = append(role.Options, ui.Option{Value: code, Text: c.Say("role." + code)})
	}
	head := ui.Head{Title: c.Say("members.title"), Lead: c.Say("members.lead"), Act: c.ActIf(authz.UserInvite, "members.invite", invitePath)}
	filter := ui.Filter{Action: page.MembersPath, Search: q.Get("q"), Hint: c.Say("members.search"), Target: "list", Fields: []ui.Field{role}}
	invitations, err := c.invitations()
	if err != nil {
		return err
	}
	return c.Show(http.StatusOK, head.Title, membersPage(head, filter, table, invitations))
}

// after is the part of a list that fits a page, of one that was read with one line more, and
// what leads on.
func after[T any](q url.Values, path string, list []T, id func(T) string) ([]T, *ui.Pager) {
	pager := &ui.Pager{First: min(1, int64(len(list))), Last: int64(len(list)), Total: int64(len(list))}
	if len(list) > page.PerPage {
		list = list[:page.PerPage]
		pager.Next, pager.Last, pager.Total = page.Address(path, q, "after", id(list[len(list)-1])), page.PerPage, -1
	}
	if q.Get("after") != "" {
		pager.Previous, pager.Total = page.Address(path, q, "after", ""), -1 // to the beginning
	}
	return list, pager
}

// membersCSV serves GET /members.csv.
func (c *call) membersCSV() error {
	header := []string{"id", "name", "email", "roles", "state", "second_factor", "last_sign_in", "created"}
	return c.CSV("members", header, c.memberLines(membersFilter(c.R.URL.Query())))
}

func (c *call) memberLines(f store.MemberFilter) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		f.After, f.Limit = "", page.MaxRows
		for {
			list, err := c.signin.Members(c.Context(), c.Actor, c.Account(), f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, m := range list {
				signedIn := ""
				if !m.SignedInAt.IsZero() {
					signedIn = ui.RFC3339(m.SignedInAt)
				}
				factor := map[bool]string{true: "yes", false: "no"}[m.HasFactor()]
				line := []string{
					m.ID.String(), m.Name, m.Email, strings.Join(m.Roles, " "), c.state(&m).Word, factor, signedIn, ui.RFC3339(m.CreatedAt),
				}
				if !yield(line, nil) {
					return
				}
			}
			if len(list) < f.Limit {
				return
			}
			f.After = list[len(list)-1].ID.String()
		}
	}
}

// thisMember returns the person of the address.
func (c *call) thisMember() (*store.Member, error) {
	id, err := telamon.ParseUserID(c.R.PathValue("id"))
	if err != nil {
		return nil, page.OrNotFound(err)
	}
	return c.signin.Member(c.Context(), c.Actor, c.Account(), id)
}

// member serves GET /members/{id}.
func (c *call) member() error {
	m, err := c.thisMember()
	if err != nil {
		return err
	}
	state, own := c.state(m), m.ID == c.Session.User.ID
	head := ui.Head{Up: &ui.Link{Text: c.Say("members.title"), URL: page.MembersPath}, Title: m.Name, ID: m.ID.String(), State: &state}
	if head.Lead, head.State.Reason = state.Reason, ""; own {
		head.Lead = c.Say("members.self")
	}
	var acts []ui.Row
	for _, verb := range memberVerbs {
		if act := memberActs[verb]; !own && act.possible(m) && c.May(act.action) {
			acts = append(acts, ui.Row{
				URL: memberPath(m.ID) + "/" + verb, Cells: page.Cells(ui.Words(c.Say("member."+verb)), ui.Words(c.Say("member."+verb+".effect"))),
			})
		}
	}
	if !own && c.May(authz.UserSetRoles) {
		head.Act = &ui.Link{Text: c.Say("members.change_roles"), URL: memberPath(m.ID) + "/roles"}
	}
	return c.Show(http.StatusOK, m.Name, memberPage(head, c.memberFacts(m), acts))
}

// memberFacts are all that there is to know of a person.
func (c *call) memberFacts(m *store.Member) []ui.Fact {
	facts := []ui.Fact{
		{Key: c.Say("sign_in.email"), Value: ui.Words(m.Email)},
		{Key: c.Say("members.roles"), Value: ui.Words(c.roleNames(m.Roles))},
		{Key: c.Say("members.factor"), Value: ui.Words(c.factor(m))},
		{Key: c.Say("members.signed_in"), Value: ui.Moment(m.SignedInAt)},
		{Key: c.Say("members.language"), Value: ui.Words(c.languageName(m.Locale))},
		{Key: c.Say("credential.created"), Value: ui.Moment(m.CreatedAt)},
	}
	if c.May(authz.AuditRead) {
		facts = append(facts, ui.Fact{Key: c.Say("nav.audit"), Value: linkTo(page.AuditPath+"?"+url.Values{"actor": {m.ID.String()}}.Encode(), c.Say("members.audit"))})
	}
	return facts
}

// A memberAct is an act on a person that is confirmed first.
type memberAct struct {
	action   authz.Action
	danger   bool
	fresh    bool // it asks for a second factor that was shown lately
	possible func(*store.Member) bool
	do       func(*call, context.Context, telamon.UserID) error
}

// memberVerbs are the acts in the order in which they are shown.
var memberVerbs = []string{"unlock", "lock", "enable", "disable", "end-sessions", "reset-factor", "delete"}

// memberActs are the acts by the last part of their pages' addresses.
var memberActs = map[string]memberAct{
	"lock": {authz.UserLock, true, false, func(m *store.Member) bool { return m.LockedAt.IsZero() || m.LockedOut }, func(c *call, ctx context.Context, id telamon.UserID) error {
		return c.signin.SetMemberLock(ctx, c.Actor, c.Account(), id, true)
	}},
	"unlock": {authz.UserUnlock, false, false, func(m *store.Member) bool { return !m.LockedAt.IsZero() && !m.LockedOut }, func(c *call, ctx context.Context, id telamon.UserID) error {
		return c.signin.SetMemberLock(ctx, c.Actor, c.Account(), id, false)
	}},
	"disable": {authz.UserDisable, true, false, func(m *store.Member) bool { return m.State == telamon.Active }, setState(telamon.Disabled)},
	"enable":  {authz.UserEnable, false, false, func(m *store.Member) bool { return m.State == telamon.Disabled }, setState(telamon.Active)},
	"delete":  {authz.UserDelete, true, true, func(*store.Member) bool { return true }, setState(telamon.Deleted)},
	"end-sessions": {authz.SessionEnd, true, false, func(*store.Member) bool { return true }, func(c *call, ctx context.Context, id telamon.UserID) error {
		_, err := c.signin.EndSessionsOf(ctx, c.Actor, c.Account(), id)
		return err
	}},
	"reset-factor": {authz.UserResetFactor, true, true, (*store.Member).HasFactor, func(c *call, ctx context.Context, id telamon.UserID) error {
		return c.signin.ResetFactors(ctx, c.Actor, c.Account(), id, page.ClientOf(c.R))
	}},
}

func setState(to telamon.State) func(*call, context.Context, telamon.UserID) error {
	return func(c *call, ctx context.Context, id telamon.UserID) error {
		return c.signin.SetMemberState(ctx, c.Actor, c.Account(), id, to)
	}
}

// askMemberAct serves GET /members/{id}/{verb}: what will happen.
func (c *call) askMemberAct(verb string) error {
	act := memberActs[verb]
	if err := authz.Check(c.Actor, act.action, c.Account()); err != nil {
		return err
	}
	m, err := c.thisMember()
	if err != nil {
		return err
	}
	if act.fresh {
		if err := authz.MustBeFresh(c.Actor, c.Clock.Now()); err != nil {
			return err
		}
	}
	key := "member." + verb
	title := c.Say(key+".ask", "name", m.Name)
	up := ui.Link{Text: m.Name, URL: memberPath(m.ID)}
	confirmation := ui.Confirmation{
		Object:  []ui.Fact{{Key: c.Say("welcome.name"), Value: ui.Words(m.Name)}, {Key: c.Say("sign_in.email"), Value: ui.Words(m.Email)}, {Key: c.Say("members.roles"), Value: ui.Words(c.roleNames(m.Roles))}},
		Effects: []string{c.Say(key + ".effect")}, Keeps: c.Say(key + ".keeps"),
		Form: ui.Form{Action: memberPath(m.ID) + "/" + verb, Button: c.Say(key + ".button"), Danger: act.danger, Cancel: c.CancelTo(up.URL)},
	}
	return c.Show(http.StatusOK, title, page.ConfirmPage(ui.Head{Up: &up, Title: title}, confirmation))
}

// actOnMember serves POST /members/{id}/{verb}.
func (c *call) actOnMember(verb string) error {
	id, err := telamon.ParseUserID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	if err := memberActs[verb].do(c, c.Context(), id); err != nil {
		return err
	}
	if verb == "delete" {
		return c.Redirect(page.MembersPath)
	}
	return c.Redirect(memberPath(id))
}

// askRoles serves GET /members/{id}/roles. What it leads to may ask for a fresh second
// factor, so that is asked for first.
func (c *call) askRoles() error {
	if err := authz.Check(c.Actor, authz.UserSetRoles, c.Account()); err != nil {
		return err
	}
	m, err := c.thisMember()
	if err != nil {
		return err
	}
	if err := authz.MustBeFresh(c.Actor, c.Clock.Now()); err != nil {
		return err
	}
	return c.rolesPage(http.StatusOK, m, m.Roles, "")
}

func (c *call) rolesPage(status int, m *store.Member, picked []string, wrong string) error {
	field, rows, err := c.rolePick(picked)
	if err != nil {
		return err
	}
	field.Error = wrong
	title := c.Say("members.roles_of", "name", m.Name)
	up := ui.Link{Text: m.Name, URL: memberPath(m.ID)}
	head := ui.Head{Up: &up, Title: title, Lead: c.Say("members.roles.lead")}
	form := ui.Form{Action: memberPath(m.ID) + "/roles", Button: c.Say("members.roles.button"), Cancel: c.CancelTo(up.URL)}
	return c.Show(status, title, pickPage(head, form, nil, field, rows))
}

// setRoles serves POST /members/{id}/roles.
func (c *call) setRoles() error {
	id, err := telamon.ParseUserID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	values, err := c.Form()
	if err != nil {
		return err
	}
	err = c.signin.SetRoles(c.Context(), c.Actor, c.Account(), id, values["roles"])
	if err == nil {
		return c.Redirect(memberPath(id))
	}
	wrong := c.roleProblem(err)
	if wrong == "" {
		return err
	}
	m, again := c.thisMember()
	if again != nil {
		return again
	}
	return c.rolesPage(http.StatusUnprocessableEntity, m, values["roles"], wrong)
}
