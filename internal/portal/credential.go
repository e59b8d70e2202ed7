package portal

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// The pages of API credentials.
const (
	credentialsPath   = "/credentials"
	credentialNewPath = credentialsPath + "/new"
)

// credentialRoutes are the pages of API credentials.
func (f *face) credentialRoutes(mux router) {
	mux.HandleFunc("GET "+credentialsPath, f.person((*call).credentials))
	mux.HandleFunc("GET "+credentialNewPath, f.person((*call).newCredential))
	mux.HandleFunc("POST "+credentialNewPath, f.person((*call).createCredential))
	mux.HandleFunc("GET "+credentialsPath+"/{id}", f.person((*call).credential))
	mux.HandleFunc("GET "+credentialsPath+"/{id}/addresses", f.person((*call).credentialAddresses))
	mux.HandleFunc("POST "+credentialsPath+"/{id}/addresses", f.person((*call).setCredentialAddresses))
	for verb := range credentialActs {
		mux.HandleFunc("GET "+credentialsPath+"/{id}/"+verb, f.person(func(c *call) error { return c.askCredentialAct(verb) }))
		mux.HandleFunc("POST "+credentialsPath+"/{id}/"+verb, f.person(func(c *call) error { return c.actOnCredential(verb) }))
	}
}

// credentialPath is the page of a credential.
func credentialPath(id telamon.CredentialID) string { return credentialsPath + "/" + id.String() }

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
	offers, err := c.iam.Offers(ctx, c.actor, c.account())
	if err != nil {
		return nil, err
	}
	for _, o := range offers {
		all.offers[o.Subscription.ID] = o
	}
	identities, err := c.iam.Identities(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
	if err != nil {
		return nil, err
	}
	for _, i := range identities {
		all.identities[i.ID] = i
	}
	all.certs, err = c.clientCerts(ctx)
	return all, err
}

// view returns a credential with what it is for.
func (c *call) view(ctx context.Context, all *catalogue, k telamon.Credential) (credentialView, error) {
	v := credentialView{Credential: k}
	pair, ok := all.pairs[k.Pair]
	if !ok {
		var err error
		if pair, err = c.iam.PairOf(ctx, c.actor, c.account(), k.Pair); err != nil {
			return v, err
		}
		all.pairs[k.Pair] = pair
	}
	offer, identity := all.offers[pair.Subscription], all.identities[pair.Identity]
	v.Service, v.Identity = offer.Service.Name, identity.Name
	now := c.clock.Now()
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

// stateWords are the tone and the message of each state.
var stateWords = map[telamon.State]ui.State{
	telamon.Active: {Tone: ui.Good, Word: "state.active"}, telamon.Disabled: {Tone: ui.Off, Word: "state.disabled"},
	telamon.Deleted: {Tone: ui.Bad, Word: "state.deleted"}, telamon.Revoked: {Tone: ui.Bad, Word: "state.revoked"},
}

// state returns a credential's state in words.
func (c *call) state(v credentialView) ui.State {
	s := stateWords[v.State]
	s.Word = c.say(s.Word)
	if v.Warning != "" {
		s = ui.State{Tone: ui.Warn, Word: c.say(v.Warning), Reason: c.say(v.Warning + ".do")}
	}
	return s
}

// credentials serves GET /credentials.
func (c *call) credentials() error {
	ctx, q := c.r.Context(), c.r.URL.Query()
	list, err := c.iam.Credentials(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
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
	part, pager := pageOf(views, q, c.r.URL.Path)
	table := ui.Table{
		Label: c.say("credentials.title"), Pager: pager, Empty: c.noCredentials(search != "" || state != ""),
		Columns: []ui.Column{
			{Name: c.say("credential.name")}, {Name: c.say("credential.state")}, {Name: c.say("credential.service")},
			{Name: c.say("credential.identity")}, {Name: c.say("credential.last_used")},
		},
	}
	for _, v := range part {
		table.Rows = append(table.Rows, ui.Row{URL: credentialPath(v.ID), Cells: cells(
			ui.Words(v.Name), ui.Status(c.state(v)), ui.Words(v.Service), ui.Words(v.Identity), ui.Day(v.LastUsedAt))})
	}
	filter := ui.Filter{
		Action: credentialsPath, Search: q.Get("q"), Hint: c.say("credentials.search"), Target: "list",
		Fields: []ui.Field{c.stateField(state, telamon.Active, telamon.Disabled, telamon.Deleted)},
	}
	head := ui.Head{Title: c.say("credentials.title"), Lead: c.say("credentials.lead"), Act: c.actIf(authz.CredentialCreate, "dashboard.credential.act", credentialNewPath)}
	if len(list) == 0 { // the empty list has the button
		head.Act = nil
	}
	return c.show(http.StatusOK, head.Title, listPage(head, filter, table, len(list) > 0))
}

// noCredentials says why the list is empty.
func (c *call) noCredentials(filtered bool) ui.Empty {
	if filtered {
		return ui.Empty{Title: c.say("list.nothing"), Lead: c.say("list.nothing.do")}
	}
	return ui.Empty{
		Title: c.say("credentials.empty"), Lead: c.say("dashboard.credential.lead"),
		Act: c.actIf(authz.CredentialCreate, "dashboard.credential.act", credentialNewPath),
	}
}

// stateField chooses one of the states.
func (c *call) stateField(value string, states ...telamon.State) ui.Field {
	f := ui.Field{Name: "state", Label: c.say("credential.state"), Value: value, Options: []ui.Option{{Text: c.say("list.any")}}}
	for _, s := range states {
		f.Options = append(f.Options, ui.Option{Value: string(s), Text: c.say(stateWords[s].Word)})
	}
	return f
}

// thisCredential returns the credential of the address.
func (c *call) thisCredential() (credentialView, error) {
	id, err := telamon.ParseCredentialID(c.r.PathValue("id"))
	if err != nil {
		return credentialView{}, orNotFound(err)
	}
	ctx := c.r.Context()
	k, err := c.iam.Credential(ctx, c.actor, c.account(), id)
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
	head := ui.Head{Up: &ui.Link{Text: c.say("credentials.title"), URL: credentialsPath}, Title: v.Name, ID: v.ID.String(), State: &state}
	for _, verb := range []string{"enable", "disable", "delete"} {
		if act := credentialActs[verb]; slices.Contains(act.from, v.State) && c.may(act.action) {
			head.Quiet = append(head.Quiet, ui.Link{Text: c.say("credential." + verb), URL: credentialPath(v.ID) + "/" + verb})
		}
	}
	if v.State == telamon.Active && v.MTLS == telamon.MTLSRequired && len(v.Certs) == 0 {
		head.Act = c.actIf(authz.ClientCertificateIssue, "dashboard.mtls.act", mtlsNewPath+"?"+url.Values{"connect": {"direct"}, "credential": {v.ID.String()}}.Encode())
	}
	if head.State.Reason != "" {
		head.Lead, head.State.Reason = head.State.Reason, ""
	}
	return c.show(http.StatusOK, v.Name, credentialPage(head, c.credentialFacts(v), v.Certs))
}

// credentialFacts are all that there is to know of a credential.
func (c *call) credentialFacts(v credentialView) []ui.Fact {
	used := ui.Moment(v.LastUsedAt)
	if v.LastUsedFrom != "" {
		used = usedFrom(v.LastUsedAt, v.LastUsedFrom)
	}
	return []ui.Fact{
		{Key: c.say("credential.key"), Value: ui.Identifier(v.Key)},
		{Key: c.say("credential.service"), Value: ui.Words(v.Service)},
		{Key: c.say("credential.identity"), Value: ui.Words(v.Identity)},
		{Key: c.say("credential.mtls"), Value: ui.Words(c.say("credential.mtls." + string(v.MTLS)))},
		{Key: c.say("credential.addresses"), Value: addressList(v.AllowedIPs, changeLink(c, v))},
		{Key: c.say("credential.last_used"), Value: used},
		{Key: c.say("credential.created"), Value: ui.Moment(v.CreatedAt)},
	}
}

// changeLink leads to where the allowed addresses are changed, "" if they cannot be.
func changeLink(c *call, v credentialView) string {
	if v.State == telamon.Deleted || !c.may(authz.CredentialSetIPs) {
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
	if err := authz.Check(c.actor, act.action, c.account()); err != nil {
		return err
	}
	if !slices.Contains(act.from, v.State) {
		redirect(c.w, c.r, credentialPath(v.ID))
		return nil
	}
	key := "credential." + verb
	confirmation := ui.Confirmation{
		Object: []ui.Fact{
			{Key: c.say("credential.key"), Value: ui.Words(v.Key)}, {Key: c.say("credential.service"), Value: ui.Words(v.Service)},
			{Key: c.say("credential.last_used"), Value: ui.Moment(v.LastUsedAt)},
		},
		Effects: []string{c.say(key + ".effect")}, Keeps: c.say(key + ".keeps"),
		Form: ui.Form{
			Action: credentialPath(v.ID) + "/" + verb, Button: c.say(key + ".button"), Danger: act.danger,
			Cancel: &ui.Link{Text: c.say("confirm.cancel"), URL: credentialPath(v.ID)},
		},
	}
	if verb == "delete" && len(v.Certs) > 0 {
		confirmation.Effects = append(confirmation.Effects, c.many("credential.delete.links", len(v.Certs)))
	}
	title := c.say(key+".ask", "name", v.Name)
	return c.show(http.StatusOK, title, confirmPage(ui.Head{Up: &ui.Link{Text: v.Name, URL: credentialPath(v.ID)}, Title: title}, confirmation))
}

// actOnCredential serves POST /credentials/{id}/{verb}.
func (c *call) actOnCredential(verb string) error {
	id, err := telamon.ParseCredentialID(c.r.PathValue("id"))
	if err != nil {
		return orNotFound(err)
	}
	if err := credentialActs[verb].do(c.iam, c.r.Context(), c.actor, c.account(), id); err != nil {
		return err
	}
	redirect(c.w, c.r, credentialPath(id))
	return nil
}
