package access

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// credentialRoutes are the pages of API credentials.
func (p *Pages) credentialRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.CredentialsPath, p.person((*call).credentials))
	mux.HandleFunc("GET "+page.CredentialNewPath, p.person((*call).newCredential))
	mux.HandleFunc("POST "+page.CredentialNewPath, p.person((*call).createCredential))
	mux.HandleFunc("GET "+page.CredentialsPath+"/{id}", p.person((*call).credential))
	mux.HandleFunc("GET "+page.CredentialsPath+"/{id}/relink", p.person((*call).askRelink))
	mux.HandleFunc("POST "+page.CredentialsPath+"/{id}/relink", p.person((*call).relink))
	mux.HandleFunc("GET "+page.CredentialsPath+"/{id}/addresses", p.person((*call).credentialAddresses))
	mux.HandleFunc("POST "+page.CredentialsPath+"/{id}/addresses", p.person((*call).setCredentialAddresses))
	for verb := range credentialActs {
		mux.HandleFunc("GET "+page.CredentialsPath+"/{id}/"+verb, p.person(func(c *call) error { return c.askCredentialAct(verb) }))
		mux.HandleFunc("POST "+page.CredentialsPath+"/{id}/"+verb, p.person(func(c *call) error { return c.actOnCredential(verb) }))
	}
}

// credentialPath is the page of a credential.
func credentialPath(id telamon.CredentialID) string { return page.CredentialsPath + "/" + id.String() }

// A credentialView is a credential with what it is for.
type credentialView struct {
	telamon.Credential
	Service  string
	Identity string
	Certs    []telamon.ClientCert // that it is linked to and that can be used
	Warning  string               // the message that says what keeps it from working, "" if nothing does
}

// A catalogue is what the account has, for views of it.
type catalogue struct {
	offers     map[telamon.SubscriptionID]iam.Offer
	identities map[telamon.IdentityID]telamon.Identity
	pairs      map[telamon.PairID]telamon.Pair // that were looked up
	certs      []telamon.ClientCert
}

// catalogue reads what credentials refer to.
func (c *call) catalogue(ctx context.Context) (*catalogue, error) {
	all := &catalogue{offers: map[telamon.SubscriptionID]iam.Offer{}, identities: map[telamon.IdentityID]telamon.Identity{}, pairs: map[telamon.PairID]telamon.Pair{}}
	offers, err := c.iam.Offers(ctx, c.Actor, c.Account())
	if err != nil {
		return nil, err
	}
	for _, o := range offers {
		all.offers[o.Subscription.ID] = o
	}
	identities, err := c.iam.Identities(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return nil, err
	}
	for _, i := range identities {
		all.identities[i.ID] = i
	}
	all.certs, err = ClientCerts(ctx, c.iam, c.Actor, c.Account())
	return all, err
}

// view returns a credential with what it is for.
func (c *call) view(ctx context.Context, all *catalogue, k telamon.Credential) (credentialView, error) {
	v := credentialView{Credential: k}
	pair, ok := all.pairs[k.Pair]
	if !ok {
		var err error
		if pair, err = c.iam.PairOf(ctx, c.Actor, c.Account(), k.Pair); err != nil {
			return v, err
		}
		all.pairs[k.Pair] = pair
	}
	offer, identity := all.offers[pair.Subscription], all.identities[pair.Identity]
	v.Service, v.Identity = offer.Service.Name, identity.Name
	now := c.Clock.Now()
	for _, cert := range all.certs {
		if cert.State == telamon.Active && cert.NotAfter.After(now) && slices.Contains(cert.Credentials, k.ID) {
			v.Certs = append(v.Certs, cert)
		}
	}
	switch {
	case k.State != telamon.Active:
	case !offer.Live:
		v.Warning = "credential.warning.service"
	case identity.State != telamon.IdentityActive:
		v.Warning = "credential.warning.identity"
	case k.MTLS == telamon.MTLSRequired && len(v.Certs) == 0:
		v.Warning = "credential.warning.mtls"
	}
	return v, nil
}

// state returns a credential's state in words.
func (c *call) state(v credentialView) ui.State {
	s := page.StateWords[v.State]
	s.Word = c.Say(s.Word)
	if v.Warning != "" {
		s = ui.State{Tone: ui.Warn, Word: c.Say(v.Warning), Reason: c.Say(v.Warning + ".do")}
	}
	return s
}

// credentials serves GET /credentials.
func (c *call) credentials() error {
	ctx, q := c.R.Context(), c.R.URL.Query()
	list, err := c.iam.Credentials(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	all, err := c.catalogue(ctx)
	if err != nil {
		return err
	}
	search, state := strings.ToLower(strings.TrimSpace(q.Get("q"))), q.Get("state")
	var views []credentialView
	for _, k := range list {
		if state == "" && k.State == telamon.Deleted || state != "" && string(k.State) != state {
			continue
		}
		v, err := c.view(ctx, all, k)
		if err != nil {
			return err
		}
		if search == "" || strings.Contains(strings.ToLower(v.Name+" "+v.Key+" "+v.Service+" "+v.Identity), search) {
			views = append(views, v)
		}
	}
	part, pager := page.PageOf(views, q, c.R.URL.Path)
	table := ui.Table{
		Label: c.Say("credentials.title"), Pager: pager, Empty: c.noCredentials(search != "" || state != ""),
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("credential.service")},
			{Name: c.Say("credential.identity")}, {Name: c.Say("credential.last_used")},
		},
	}
	for _, v := range part {
		table.Rows = append(table.Rows, ui.Row{URL: credentialPath(v.ID), Cells: page.Cells(
			ui.Words(v.Name), ui.Status(c.state(v)), ui.Words(v.Service), ui.Words(v.Identity), ui.Day(v.LastUsedAt))})
	}
	filter := ui.Filter{
		Action: page.CredentialsPath, Search: q.Get("q"), Hint: c.Say("credentials.search"), Target: "list",
		Fields: []ui.Field{c.stateField(state, telamon.Active, telamon.Disabled, telamon.Deleted)},
	}
	head := ui.Head{Title: c.Say("credentials.title"), Lead: c.Say("credentials.lead"), Act: c.ActIf(authz.CredentialCreate, "dashboard.credential.act", page.CredentialNewPath)}
	if len(list) == 0 { // the empty list has the button
		head.Act = nil
	}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, len(list) > 0))
}

// noCredentials says why the list is empty.
func (c *call) noCredentials(filtered bool) ui.Empty {
	if filtered {
		return ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	return ui.Empty{
		Title: c.Say("credentials.empty"), Lead: c.Say("dashboard.credential.lead"),
		Act: c.ActIf(authz.CredentialCreate, "dashboard.credential.act", page.CredentialNewPath),
	}
}

// stateField chooses one of the states.
func (c *call) stateField(value string, states ...telamon.State) ui.Field {
	f := ui.Field{Name: "state", Label: c.Say("credential.state"), Value: value, Options: []ui.Option{{Text: c.Say("list.any")}}}
	for _, s := range states {
		f.Options = append(f.Options, ui.Option{Value: string(s), Text: c.Say(page.StateWords[s].Word)})
	}
	return f
}

// thisCredential returns the credential of the address.
func (c *call) thisCredential() (credentialView, error) {
	id, err := telamon.ParseCredentialID(c.R.PathValue("id"))
	if err != nil {
		return credentialView{}, page.OrNotFound(err)
	}
	ctx := c.R.Context()
	k, err := c.iam.Credential(ctx, c.Actor, c.Account(), id)
	if err != nil {
		return credentialView{}, err
	}
	all, err := c.catalogue(ctx)
	if err != nil {
		return credentialView{}, err
	}
	return c.view(ctx, all, k)
}

// credential serves GET /credentials/{id}.
func (c *call) credential() error {
	v, err := c.thisCredential()
	if err != nil {
		return err
	}
	state := c.state(v)
	head := ui.Head{Up: &ui.Link{Text: c.Say("credentials.title"), URL: page.CredentialsPath}, Title: v.Name, ID: v.ID.String(), State: &state}
	for _, verb := range []string{"enable", "disable", "delete"} {
		if act := credentialActs[verb]; slices.Contains(act.from, v.State) && c.May(act.action) {
			head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("credential." + verb), URL: credentialPath(v.ID) + "/" + verb})
		}
	}
	if v.State != telamon.Deleted && c.May(authz.CredentialRelink) {
		head.Quiet = append([]ui.Link{{Text: c.Say("credential.relink"), URL: credentialPath(v.ID) + "/relink"}}, head.Quiet...)
	}
	if v.State == telamon.Active && v.MTLS == telamon.MTLSRequired && len(v.Certs) == 0 {
		head.Act = c.ActIf(authz.ClientCertificateIssue, "dashboard.mtls.act", page.MTLSNewPath+"?"+url.Values{"connect": {"direct"}, "credential": {v.ID.String()}}.Encode())
	}
	if head.State.Reason != "" {
		head.Lead, head.State.Reason = head.State.Reason, ""
	}
	return c.Show(http.StatusOK, v.Name, credentialPage(head, c.credentialFacts(v), v.Certs))
}

// credentialFacts are all that there is to know of a credential.
func (c *call) credentialFacts(v credentialView) []ui.Fact {
	used := ui.Moment(v.LastUsedAt)
	if v.LastUsedFrom != "" {
		used = usedFrom(v.LastUsedAt, v.LastUsedFrom)
	}
	return []ui.Fact{
		{Key: c.Say("credential.key"), Value: ui.Identifier(v.Key)},
		{Key: c.Say("credential.service"), Value: ui.Words(v.Service)},
		{Key: c.Say("credential.identity"), Value: ui.Words(v.Identity)},
		{Key: c.Say("credential.mtls"), Value: ui.Words(c.Say("credential.mtls." + string(v.MTLS)))},
		{Key: c.Say("credential.addresses"), Value: addressList(v.AllowedIPs, changeLink(c, v))},
		{Key: c.Say("credential.last_used"), Value: used},
		{Key: c.Say("credential.created"), Value: ui.Moment(v.CreatedAt)},
	}
}

// changeLink leads to where the allowed addresses are changed, "" if they cannot be.
func changeLink(c *call, v credentialView) string {
	if v.State == telamon.Deleted || !c.May(authz.CredentialSetIPs) {
		return ""
	}
	return credentialPath(v.ID) + "/addresses"
}

// A credentialAct is an act on a credential that is confirmed first.
type credentialAct struct {
	action authz.Action
	from   []telamon.State
	danger bool
	do     func(*iam.IAM, context.Context, telamon.Actor, telamon.AccountID, telamon.CredentialID) error
}

// credentialActs are the acts by the last part of their pages' addresses.
var credentialActs = map[string]credentialAct{
	"enable":  {authz.CredentialEnable, []telamon.State{telamon.Disabled}, false, (*iam.IAM).EnableCredential},
	"disable": {authz.CredentialDisable, []telamon.State{telamon.Active}, true, (*iam.IAM).DisableCredential},
	"delete":  {authz.CredentialDelete, []telamon.State{telamon.Active, telamon.Disabled}, true, (*iam.IAM).DeleteCredential},
}

// askCredentialAct serves GET /credentials/{id}/{verb}: what will happen.
func (c *call) askCredentialAct(verb string) error {
	v, err := c.thisCredential()
	if err != nil {
		return err
	}
	act := credentialActs[verb]
	if err := authz.Check(c.Actor, act.action, c.Account()); err != nil {
		return err
	}
	if !slices.Contains(act.from, v.State) {
		return c.Redirect(credentialPath(v.ID))
	}
	key := "credential." + verb
	confirmation := ui.Confirmation{
		Object: []ui.Fact{
			{Key: c.Say("credential.key"), Value: ui.Words(v.Key)}, {Key: c.Say("credential.service"), Value: ui.Words(v.Service)},
			{Key: c.Say("credential.last_used"), Value: ui.Moment(v.LastUsedAt)},
		},
		Effects: []string{c.Say(key + ".effect")}, Keeps: c.Say(key + ".keeps"),
		Form: ui.Form{
			Action: credentialPath(v.ID) + "/" + verb, Button: c.Say(key + ".button"), Danger: act.danger,
			Cancel: c.CancelTo(credentialPath(v.ID)),
		},
	}
	if verb == "delete" && len(v.Certs) > 0 {
		confirmation.Effects = append(confirmation.Effects, c.Many("credential.delete.links", len(v.Certs)))
	}
	title := c.Say(key+".ask", "name", v.Name)
	return c.Show(http.StatusOK, title, page.ConfirmPage(ui.Head{Up: &ui.Link{Text: v.Name, URL: credentialPath(v.ID)}, Title: title}, confirmation))
}

// actOnCredential serves POST /credentials/{id}/{verb}.
func (c *call) actOnCredential(verb string) error {
	id, err := telamon.ParseCredentialID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	if err := credentialActs[verb].do(c.iam, c.R.Context(), c.Actor, c.Account(), id); err != nil {
		return err
	}
	return c.Redirect(credentialPath(id))
}
