package members

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// The pages of invitations.
const (
	invitePath      = page.MembersPath + "/invite"
	invitationsPath = page.MembersPath + "/invitations"
)

// invitationRoutes are the pages of invitations.
func (p *Pages) invitationRoutes(mux page.Router) {
	mux.HandleFunc("GET "+invitePath, p.person((*call).askInvite))
	mux.HandleFunc("POST "+invitePath, p.person((*call).invite))
	for verb := range invitationActs {
		mux.HandleFunc("GET "+invitationsPath+"/{id}/"+verb, p.person(func(c *call) error { return c.askInvitationAct(verb) }))
		mux.HandleFunc("POST "+invitationsPath+"/{id}/"+verb, p.person(func(c *call) error { return c.actOnInvitation(verb) }))
	}
}

// invitations is the list of those that wait, nil to those who do not invite.
func (c *call) invitations() (*ui.Table, error) {
	if !c.May(authz.UserInvite) {
		return nil, nil
	}
	list, err := c.signin.Invitations(c.Context(), c.Actor, c.Account())
	if err != nil || len(list) == 0 {
		return nil, err
	}
	t := &ui.Table{
		Label: c.Say("invitations.title"),
		Columns: []ui.Column{
			{Name: c.Say("sign_in.email")}, {Name: c.Say("members.roles")}, {Name: c.Say("credential.state")}, {Name: c.Say("invitations.until")},
		},
	}
	for _, i := range list {
		row := ui.Row{Cells: page.Cells(ui.Words(i.Email), ui.Words(c.roleNames(i.Roles)), ui.Status(c.invitationState(&i)), ui.Moment(i.ExpiresAt))}
		for _, verb := range []string{"again", "withdraw"} {
			row.Acts = append(row.Acts, ui.Link{Text: c.Say("invitations." + verb), URL: invitationsPath + "/" + i.ID.String() + "/" + verb})
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func (c *call) invitationState(i *store.Invitation) ui.State {
	if !c.Clock.Now().Before(i.ExpiresAt) {
		return ui.State{Tone: ui.Off, Word: c.Say("state.expired")}
	}
	return ui.State{Tone: ui.Pending, Word: c.Say("invitations.pending")}
}

// languageName is the language of a locale, in the language of the request.
func (c *call) languageName(locale string) string {
	if slices.Contains(signin.Locales, locale) {
		return c.Say("members.language." + locale)
	}
	return locale
}

// inviteFields ask whom to invite.
func (c *call) inviteFields(email, language string) []ui.Field {
	languages := ui.Field{Name: "language", Label: c.Say("members.language"), Hint: c.Say("members.language.hint"), Value: language, Narrow: true}
	for _, l := range signin.Locales {
		languages.Options = append(languages.Options, ui.Option{Value: l, Text: c.languageName(l)})
	}
	return []ui.Field{
		{Name: "email", Label: c.Say("members.work_email"), Type: "email", Value: email, Require: true, Max: 254, Focus: true},
		languages,
	}
}

// askInvite serves GET /members/invite. A role may ask for a fresh second factor, so that
// is asked for first.
func (c *call) askInvite() error {
	if err := authz.Check(c.Actor, authz.UserInvite, c.Account()); err != nil {
		return err
	}
	if err := authz.MustBeFresh(c.Actor, c.Clock.Now()); err != nil {
		return err
	}
	return c.invitePage(http.StatusOK, c.inviteFields("", c.Session.User.Locale), nil, "")
}

func (c *call) invitePage(status int, fields []ui.Field, picked []string, wrong string) error {
	field, rows, err := c.rolePick(picked)
	if err != nil {
		return err
	}
	field.Error = wrong
	head := ui.Head{Up: &ui.Link{Text: c.Say("members.title"), URL: page.MembersPath}, Title: c.Say("members.invite"), Lead: c.Say("members.invite.lead")}
	form := ui.Form{Action: invitePath, Button: c.Say("members.invite.button"), Cancel: c.CancelTo(page.MembersPath)}
	return c.Show(status, head.Title, pickPage(head, form, fields, field, rows))
}

// emailProblems are the messages for faults of an address.
var emailProblems = map[string]string{"email_taken": "error.email_taken", "already_invited": "error.already_invited"}

// roleProblems are the messages for faults of roles.
var roleProblems = map[string]string{
	"last_administrator": "error.last_administrator", "administrator_limit": "error.administrator_limit", "own_roles": "error.own_roles",
}

// roleProblem says what is wrong with roles, "" if err is about something else.
func (c *call) roleProblem(err error) string {
	f := fault.From(err)
	if key := roleProblems[f.Code]; key != "" {
		return c.Say(key)
	}
	for _, field := range f.Fields {
		if field.Path == "roles" {
			return c.Say("error.roles")
		}
	}
	return ""
}

// invite serves POST /members/invite.
func (c *call) invite() error {
	values, err := c.Form()
	if err != nil {
		return err
	}
	email, language := values.Get("email"), values.Get("language")
	_, err = c.signin.Invite(c.Context(), c.Actor, c.Account(), email, language, values["roles"])
	if err == nil {
		return c.Redirect(page.MembersPath)
	}
	fields, wrong := c.inviteFields(email, language), c.roleProblem(err)
	blamed := page.Blame(c.R, fields, err, map[string]string{"email": "error.email"})
	if key := emailProblems[fault.From(err).Code]; key != "" {
		fields[0].Error, blamed = c.Say(key), true
	}
	if !blamed && wrong == "" {
		return err
	}
	return c.invitePage(http.StatusUnprocessableEntity, fields, values["roles"], wrong)
}

// invitationActs are the acts on an invitation by the last part of their pages' addresses.
var invitationActs = map[string]struct {
	danger bool
	do     func(*signin.Service, context.Context, telamon.Actor, telamon.AccountID, telamon.InvitationID) error
}{
	"again":    {false, (*signin.Service).InviteAgain},
	"withdraw": {true, (*signin.Service).WithdrawInvitation},
}

// thisInvitation returns the invitation of the address, one that waits.
func (c *call) thisInvitation() (*store.Invitation, error) {
	list, err := c.signin.Invitations(c.Context(), c.Actor, c.Account())
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID.String() == c.R.PathValue("id") {
			return &list[i], nil
		}
	}
	return nil, page.ErrNotFound
}

// askInvitationAct serves GET /members/invitations/{id}/{verb}: what will happen.
func (c *call) askInvitationAct(verb string) error {
	i, err := c.thisInvitation()
	if err != nil {
		return err
	}
	key := "invitations." + verb
	title := c.Say(key+".ask", "email", i.Email)
	confirmation := ui.Confirmation{
		Object: []ui.Fact{
			{Key: c.Say("sign_in.email"), Value: ui.Words(i.Email)}, {Key: c.Say("members.roles"), Value: ui.Words(c.roleNames(i.Roles))},
			{Key: c.Say("invitations.until"), Value: ui.Moment(i.ExpiresAt.Truncate(time.Second))},
		},
		Effects: []string{c.Say(key + ".effect")},
		Form: ui.Form{
			Action: invitationsPath + "/" + i.ID.String() + "/" + verb, Button: c.Say(key + ".button"), Danger: invitationActs[verb].danger,
			Cancel: c.CancelTo(page.MembersPath),
		},
	}
	head := ui.Head{Up: &ui.Link{Text: c.Say("members.title"), URL: page.MembersPath}, Title: title}
	return c.Show(http.StatusOK, title, page.ConfirmPage(head, confirmation))
}

// actOnInvitation serves POST /members/invitations/{id}/{verb}.
func (c *call) actOnInvitation(verb string) error {
	id, err := telamon.ParseInvitationID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	if err := invitationActs[verb].do(c.signin, c.Context(), c.Actor, c.Account(), id); err != nil {
		return err
	}
	return c.Redirect(page.MembersPath)
}
