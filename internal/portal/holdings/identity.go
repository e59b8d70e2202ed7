package holdings

import (
	"net/http"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// identityRoutes are the pages of identities.
func (p *Pages) identityRoutes(mux page.Router) {
	const one = page.IdentitiesPath + "/{id}"
	mux.HandleFunc("GET "+page.IdentitiesPath, p.person((*call).identities))
	mux.HandleFunc("GET "+page.IdentitiesPath+"/list.csv", p.person((*call).identitiesCSV))
	mux.HandleFunc("GET "+page.IdentityNewPath, p.person((*call).newIdentity))
	mux.HandleFunc("POST "+page.IdentityNewPath, p.person((*call).draftIdentity))
	mux.HandleFunc("GET "+one, p.person((*call).identity))
	mux.HandleFunc("GET "+one+"/edit", p.person((*call).editIdentity))
	mux.HandleFunc("POST "+one+"/edit", p.person((*call).reviseIdentity))
	mux.HandleFunc("POST "+one+"/submit", p.person((*call).submitIdentity))
	mux.HandleFunc("POST "+one+"/vet-again", p.person((*call).vetAgain))
	mux.HandleFunc("GET "+one+"/withdraw", p.person((*call).askWithdraw))
	mux.HandleFunc("POST "+one+"/withdraw", p.person((*call).withdraw))
	mux.HandleFunc("GET "+one+"/requesters", p.person((*call).askRequesters))
	mux.HandleFunc("POST "+one+"/requesters", p.person((*call).nameRequesters))
}

// identityPath is the page of an identity.
func identityPath(id telamon.IdentityID) string { return page.IdentitiesPath + "/" + id.String() }

// thisIdentity returns the identity of the address.
func (c *call) thisIdentity() (telamon.Identity, error) {
	id, err := telamon.ParseIdentityID(c.R.PathValue("id"))
	if err != nil {
		return telamon.Identity{}, page.OrNotFound(err)
	}
	return c.iam.Identity(c.R.Context(), c.Actor, c.Account(), id)
}

// dataFacts are what an identity says.
func (c *call) dataFacts(i *telamon.Identity) []ui.Fact {
	facts := []ui.Fact{{Key: c.Say("identity.type"), Value: ui.Words(c.typeOf(i))}}
	for _, member := range []string{"organization", "organizational_unit", "locality", "state"} {
		if v := i.Data[member]; v != "" {
			facts = append(facts, ui.Fact{Key: c.Say("identity.field." + member), Value: ui.Words(v)})
		}
	}
	if code := i.Data["country"]; code != "" {
		facts = append(facts, ui.Fact{Key: c.Say("identity.field.country"), Value: ui.Words(c.Language().Country(code) + " (" + code + ")")})
	}
	if k := i.Customer; k != nil {
		contact := k.Name + ", " + k.Email
		if k.Phone != "" {
			contact += ", " + k.Phone
		}
		facts = append(facts, ui.Fact{Key: c.Say("identity.customer"), Value: ui.Words(contact)})
	}
	return facts
}

// An identityView is an identity with what is shown beside it.
type identityView struct {
	draft      *ui.Form // that requests it; nil if it is no draft
	facts      []ui.Fact
	life       []ui.Fact
	again      *ui.Form // that asks for another vetting; nil if that is not to be
	requesters []string // names of who alone may request; nil: whoever has a role
	everybody  bool
	change     string // the address that changes who may; "" if one may not
	cases      ui.Table
	warn       string // what to do while it is being vetted; "" for nothing
}

// identity serves GET /identities/{id}. Of a draft it is the review before the request.
func (c *call) identity() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	cases, err := c.iam.IdentityCases(c.R.Context(), c.Actor, c.Account(), i.ID)
	if err != nil {
		return err
	}
	state, here := c.stateOf(&i), identityPath(i.ID)
	head := ui.Head{Up: &ui.Link{Text: c.Say("identities.title"), URL: page.IdentitiesPath}, Title: i.Name, ID: i.ID.String(), State: &state}
	head.Lead, state.Reason = state.Reason, ""
	v := identityView{facts: c.dataFacts(&i), cases: c.caseTable(cases), everybody: i.Requesters == nil}
	v.life = []ui.Fact{{Key: c.Say("identity.created"), Value: ui.Moment(i.CreatedAt)}}
	open := len(cases) > 0 && cases[0].State.IsOpen()
	switch i.State {
	case telamon.IdentityDraft:
		if c.May(authz.IdentitySubmit) {
			head.Lead = c.Say("identity.review")
			v.draft = &ui.Form{Action: here + "/submit", Button: c.Say("identity.submit")}
			if i.Type != "" {
				v.draft.Cancel = &ui.Link{Text: c.Say("identity.edit"), URL: here + "/edit"}
			}
		}
	case telamon.IdentityQueued, telamon.IdentityProcessed:
		v.warn = c.Say("identity.queued.do")
	case telamon.IdentityActive, telamon.IdentityExpired:
		v.life = append(v.life, ui.Fact{Key: c.Say("identity.vetted"), Value: ui.Moment(i.VettedAt)}, ui.Fact{Key: c.Say("mtls.expires"), Value: ui.Moment(i.ExpiresAt)})
		if t, typed := iam.IdentityTypeOf(i.Type); typed && t.Vetted && !open && c.May(authz.IdentitySubmit) && c.mayVetAgain(&i) {
			v.again = &ui.Form{Action: here + "/vet-again", Button: c.Say("identity.vet_again")}
		}
	}
	if i.State == telamon.IdentityActive && c.May(authz.IdentityWithdraw) {
		head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("identity.withdraw"), URL: here + "/withdraw"})
	}
	if i.State != telamon.IdentityRejected && i.State != telamon.IdentityWithdrawn && c.May(authz.IdentityRequesters) {
		v.change = here + "/requesters"
	}
	if v.requesters, err = c.namesOf(i.Requesters); err != nil {
		return err
	}
	return c.Show(http.StatusOK, i.Name, identityPage(head, v))
}

// againAhead is how long before its end an identity can be vetted again.
const againAhead = 90

// mayVetAgain reports whether an identity has expired or will soon.
func (c *call) mayVetAgain(i *telamon.Identity) bool {
	return !i.ExpiresAt.IsZero() && i.ExpiresAt.Before(c.Clock.Now().AddDate(0, 0, againAhead))
}

// namesOf returns what users are called.
func (c *call) namesOf(ids []telamon.UserID) ([]string, error) {
	var names []string
	for _, id := range ids {
		u, err := c.iam.User(c.R.Context(), c.Actor, c.Account(), id)
		switch {
		case err == nil:
			names = append(names, u.Name+" ("+u.Email+")")
		case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied): // who may not see users sees that there is one
			names = append(names, id.String())
		default:
			return nil, err
		}
	}
	return names, nil
}

// caseStates are the tone and the message of each state of a case.
var caseStates = map[telamon.VettingState]ui.State{
	telamon.VettingQueued:    {Tone: ui.Pending, Word: "identity.queued"},
	telamon.VettingProcessed: {Tone: ui.Pending, Word: "identity.processed"},
	telamon.VettingApproved:  {Tone: ui.Good, Word: "identity.case.approved"},
	telamon.VettingRejected:  {Tone: ui.Bad, Word: "identity.rejected"},
	telamon.VettingClosed:    {Tone: ui.Off, Word: "identity.withdrawn"},
}

// caseTable lists the cases of an identity: its history.
func (c *call) caseTable(cases []telamon.VettingCase) ui.Table {
	table := ui.Table{
		Label: c.Say("identity.history"), Empty: ui.Empty{Title: c.Say("identity.history.empty")},
		Columns: []ui.Column{
			{Name: c.Say("identity.case")}, {Name: c.Say("credential.state")}, {Name: c.Say("identity.case.opened")},
			{Name: c.Say("identity.case.ended")}, {Name: c.Say("identity.case.reason")},
		},
	}
	for _, one := range cases {
		state, reason := caseStates[one.State], ""
		state.Word = c.Say(state.Word)
		if one.State == telamon.VettingRejected { // other decisions are the agents' own matter
			reason = one.Reason
		}
		table.Rows = append(table.Rows, ui.Row{Cells: page.Cells(
			ui.Identifier(one.Reference()), ui.Status(state), ui.Day(one.OpenedAt), ui.DayIf(one.EndedAt), ui.Words(reason))})
	}
	return table
}

// submitIdentity serves POST /identities/{id}/submit.
func (c *call) submitIdentity() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	if err := c.iam.SubmitIdentity(c.R.Context(), c.Actor, c.Account(), i.ID); err != nil {
		return err
	}
	return c.Redirect(identityPath(i.ID))
}

// vetAgain serves POST /identities/{id}/vet-again.
func (c *call) vetAgain() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	if _, err := c.iam.VetAgain(c.R.Context(), c.Actor, c.Account(), i.ID); err != nil {
		return err
	}
	return c.Redirect(identityPath(i.ID))
}

// askWithdraw serves GET /identities/{id}/withdraw.
func (c *call) askWithdraw() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	if err := authz.Check(c.Actor, authz.IdentityWithdraw, c.Account()); err != nil {
		return err
	}
	title := c.Say("identity.withdraw.title", "name", i.Name)
	here := identityPath(i.ID)
	return c.Show(http.StatusOK, title, page.ConfirmPage(
		ui.Head{Up: &ui.Link{Text: i.Name, URL: here}, Title: title},
		ui.Confirmation{
			Object: c.dataFacts(&i), Keeps: c.Say("identity.withdraw.keeps"),
			Effects: []string{c.Say("identity.withdraw.effect"), c.Say("identity.withdraw.credentials")},
			Form: ui.Form{
				Action: here + "/withdraw", Button: c.Say("identity.withdraw.button"), Danger: true,
				Cancel: c.CancelTo(here),
			},
		}))
}

// withdraw serves POST /identities/{id}/withdraw.
func (c *call) withdraw() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	if err := c.iam.MoveIdentity(c.R.Context(), c.Actor, c.Account(), i.ID, iam.IdentityMove{To: telamon.IdentityWithdrawn}); err != nil {
		return err
	}
	return c.Redirect(identityPath(i.ID))
}

// Who may request.
const (
	requestAny  = "any"
	requestSome = "some"
)

// requesters returns the people of the account who could request, as rows to pick from.
func (c *call) requesterRows(picked func(telamon.UserID) bool) ([]ui.PickRow, error) {
	users, err := c.iam.Users(c.R.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return nil, err
	}
	var rows []ui.PickRow
	for _, u := range users {
		may := slices.ContainsFunc(u.Roles, func(role string) bool { return authz.ReachOfRole(role, authz.CertificateIssue) != authz.None })
		if u.Kind != telamon.StandardUser || u.State != telamon.Active || !may && !picked(u.ID) {
			continue
		}
		rows = append(rows, ui.PickRow{Value: u.ID.String(), Name: u.Name, Cells: page.Cells(ui.Words(u.Email)), Picked: picked(u.ID)})
	}
	return rows, nil
}

// askRequesters serves GET /identities/{id}/requesters.
func (c *call) askRequesters() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	if err := authz.Check(c.Actor, authz.IdentityRequesters, c.Account()); err != nil {
		return err
	}
	return c.showRequesters(http.StatusOK, &i, "")
}

func (c *call) showRequesters(status int, i *telamon.Identity, problem string) error {
	rows, err := c.requesterRows(func(id telamon.UserID) bool { return slices.Contains(i.Requesters, id) })
	if err != nil {
		return err
	}
	here, title := identityPath(i.ID), c.Say("identity.requesters.title", "name", i.Name)
	who := ui.Field{Name: "who", Label: c.Say("identity.requesters.ask"), Value: requestAny, Require: true, Options: []ui.Option{
		{Value: requestAny, Text: c.Say("identity.requesters.any"), Hint: c.Say("identity.requesters.any.hint")},
		{Value: requestSome, Text: c.Say("identity.requesters.some"), Hint: c.Say("identity.requesters.some.hint")},
	}}
	if i.Requesters != nil {
		who.Value = requestSome
	}
	people := ui.Field{Name: "user", Label: c.Say("identity.requesters.people"), Error: problem}
	form := ui.Form{Action: here + "/requesters", Button: c.Say("identity.requesters.button"), Cancel: c.CancelTo(here)}
	head := ui.Head{Up: &ui.Link{Text: i.Name, URL: here}, Title: title, Lead: c.Say("identity.requesters.lead")}
	columns := []ui.Column{{Name: c.Say("credential.name")}, {Name: c.Say("identity.requesters.email")}}
	return c.Show(status, title, requestersPage(head, form, who, people, columns, rows))
}

// nameRequesters serves POST /identities/{id}/requesters.
func (c *call) nameRequesters() error {
	i, err := c.thisIdentity()
	if err != nil {
		return err
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	var users []telamon.UserID
	if form.Get("who") == requestSome {
		users = []telamon.UserID{}
		for _, text := range form["user"] {
			id, err := telamon.ParseUserID(text)
			if err != nil {
				return page.OrNotFound(err)
			}
			users = append(users, id)
		}
		if len(users) == 0 {
			i.Requesters = users
			return c.showRequesters(http.StatusUnprocessableEntity, &i, c.Say("identity.requesters.nobody"))
		}
	}
	if err := c.iam.NameRequesters(c.R.Context(), c.Actor, c.Account(), i.ID, users); err != nil {
		return err
	}
	return c.Redirect(identityPath(i.ID))
}
