package access

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
)

// inspectPath says what a CSR holds.
const inspectPath = page.MTLSPath + "/inspect"

// mtlsRoutes are the pages of mTLS certificates.
func (p *Pages) mtlsRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.MTLSPath, p.person((*call).mtlsList))
	mux.HandleFunc("GET "+page.MTLSNewPath, p.person((*call).newMTLS))
	mux.HandleFunc("POST "+page.MTLSNewPath, p.person((*call).createMTLS))
	mux.HandleFunc("POST "+inspectPath, p.person((*call).inspectCSR))
	mux.HandleFunc("GET "+page.MTLSPath+"/{id}", p.person((*call).mtls))
	mux.HandleFunc("GET "+page.MTLSPath+"/{id}/certificate.cer", p.person(func(c *call) error { return c.downloadMTLS(false) }))
	mux.HandleFunc("GET "+page.MTLSPath+"/{id}/issuing-ca.cer", p.person(func(c *call) error { return c.downloadMTLS(true) }))
	mux.HandleFunc("GET "+page.MTLSPath+"/{id}/credentials", p.person((*call).askLinks))
	mux.HandleFunc("POST "+page.MTLSPath+"/{id}/credentials", p.person((*call).changeLinks))
	for verb := range mtlsActs {
		mux.HandleFunc("GET "+page.MTLSPath+"/{id}/"+verb, p.person(func(c *call) error { return c.askMTLSAct(verb) }))
		mux.HandleFunc("POST "+page.MTLSPath+"/{id}/"+verb, p.person(func(c *call) error { return c.actOnMTLS(verb) }))
	}
}

// credentialNames are the names of the account's credentials.
func (c *call) credentialNames(ctx context.Context) (map[telamon.CredentialID]string, error) {
	list, err := c.iam.Credentials(ctx, c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	names := map[telamon.CredentialID]string{}
	for _, k := range list {
		names[k.ID] = k.Name
	}
	return names, err
}

// linked are the names of the credentials that a certificate is linked to.
func linked(k telamon.ClientCert, names map[telamon.CredentialID]string) string {
	var list []string
	for _, id := range k.Credentials {
		list = append(list, names[id])
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// certState returns a certificate's state in words.
func (c *call) certState(k telamon.ClientCert) ui.State {
	s, now := page.StateWords[k.State], c.Clock.Now()
	switch {
	case k.State == telamon.Revoked:
	case !k.NotAfter.After(now):
		s = ui.State{Tone: ui.Bad, Word: "state.expired"}
	case k.State == telamon.Active && k.NotAfter.Before(now.Add(page.AttentionSpan)):
		s = ui.State{Tone: ui.Warn, Word: "mtls.soon"}
	}
	s.Word = c.Say(s.Word)
	return s
}

// mtlsList serves GET /mtls.
func (c *call) mtlsList() error {
	ctx, q := c.R.Context(), c.R.URL.Query()
	list, err := ClientCerts(ctx, c.iam, c.Actor, c.Account())
	if err != nil {
		return err
	}
	names, err := c.credentialNames(ctx)
	if err != nil {
		return err
	}
	search, state := strings.ToLower(strings.TrimSpace(q.Get("q"))), q.Get("state")
	matches := slices.DeleteFunc(slices.Clone(list), func(k telamon.ClientCert) bool {
		text := strings.ToLower(k.Serial.String() + " " + hex.EncodeToString(k.Fingerprint[:]) + " " + linked(k, names))
		return state != "" && string(k.State) != state || search != "" && !strings.Contains(text, search)
	})
	part, pager := page.PageOf(matches, q, page.MTLSPath)
	table := ui.Table{
		Label: c.Say("mtls.title"), Pager: pager, Empty: c.noMTLS(len(list) > 0),
		Columns: []ui.Column{
			{Name: c.Say("mtls.serial")}, {Name: c.Say("credential.state")}, {Name: c.Say("mtls.credentials")}, {Name: c.Say("mtls.created")}, {Name: c.Say("mtls.expires")},
		},
	}
	for _, k := range part {
		to := linked(k, names)
		if to == "" {
			to = c.Say("mtls.none")
		}
		table.Rows = append(table.Rows, ui.Row{URL: page.MTLSPath + "/" + k.ID.String(), Cells: page.Cells(
			page.Serial(k.Serial), ui.Status(c.certState(k)), ui.Words(to), ui.Day(k.CreatedAt), ui.Day(k.NotAfter))})
	}
	filter := ui.Filter{
		Action: page.MTLSPath, Search: q.Get("q"), Hint: c.Say("mtls.search"), Target: "list",
		Fields: []ui.Field{c.stateField(state, telamon.Active, telamon.Disabled, telamon.Revoked)},
	}
	head := ui.Head{Title: c.Say("mtls.title"), Lead: c.Say("mtls.lead"), Act: c.ActIf(authz.ClientCertificateIssue, "dashboard.mtls.act", page.MTLSNewPath)}
	if len(list) == 0 {
		head.Act = nil
	}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, len(list) > 0))
}

// noMTLS says why the list is empty.
func (c *call) noMTLS(filtered bool) ui.Empty {
	if filtered {
		return ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	return ui.Empty{
		Title: c.Say("mtls.empty"), Lead: c.Say("dashboard.mtls.lead"), Act: c.ActIf(authz.ClientCertificateIssue, "dashboard.mtls.act", page.MTLSNewPath),
	}
}

// thisCert returns the certificate of the address with its chain. Those of users are on
// other pages.
func (c *call) thisCert() (telamon.ClientCert, []*x509.Certificate, error) {
	id, err := telamon.ParseClientCertID(c.R.PathValue("id"))
	if err != nil {
		return telamon.ClientCert{}, nil, page.OrNotFound(err)
	}
	k, chain, err := c.iam.ClientCertChain(c.R.Context(), c.Actor, c.Account(), id)
	if err == nil && k.User != "" {
		err = page.ErrNotFound
	}
	return k, chain, err
}

// mtls serves GET /mtls/{id}: the certificate and what is done with it. Right after it
// was issued, it is the last step of the wizard.
func (c *call) mtls() error {
	k, chain, err := c.thisCert()
	if err != nil {
		return err
	}
	names, err := c.credentialNames(c.R.Context())
	if err != nil {
		return err
	}
	state := c.certState(k)
	head := ui.Head{Up: &ui.Link{Text: c.Say("mtls.title"), URL: page.MTLSPath}, Title: c.Say("mtls.leaf") + " " + page.ShortSerial(k.Serial), State: &state}
	for _, verb := range []string{"enable", "disable", "revoke"} {
		if act := mtlsActs[verb]; slices.Contains(act.from, k.State) && c.May(act.action) {
			head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("mtls." + verb), URL: page.MTLSPath + "/" + k.ID.String() + "/" + verb})
		}
	}
	if k.State != telamon.Revoked && c.May(authz.ClientCertificateLink) {
		head.Quiet = append([]ui.Link{{Text: c.Say("mtls.links"), URL: page.MTLSPath + "/" + k.ID.String() + "/credentials"}}, head.Quiet...)
	}
	view := mtlsView{
		cert: k, certificate: c.certificateView(k, chain, names), file: fileName(k, names), issued: c.R.URL.Query().Has("issued"),
		reused: c.R.URL.Query().Has("reused"), made: c.R.URL.Query().Has("made"), issuer: chain[0].Raw, login: c.atlasURL, key: firstKey(c, k),
	}
	if view.issued {
		head.Quiet = nil
		view.wizard = c.mtlsWizard(&mtlsDraft{connect: connectDirect}, 3)
	}
	return c.Show(http.StatusOK, head.Title, mtlsPage(head, view))
}

// firstKey is the API key of a credential that a certificate is linked to, "" for none.
func firstKey(c *call, k telamon.ClientCert) string {
	if len(k.Credentials) == 0 {
		return ""
	}
	first, err := c.iam.Credential(c.R.Context(), c.Actor, c.Account(), k.Credentials[0])
	if err != nil {
		return ""
	}
	return first.Key
}

// A mtlsView is what the page of a certificate shows.
type mtlsView struct {
	cert           telamon.ClientCert
	certificate    ui.CertificateView
	file           string // the beginning of the names of its files
	issued, reused bool
	made           bool   // its key was made in the browser
	issuer         []byte // the issuing CA's certificate
	wizard         ui.Wizard
	login, key     string // the address of the API, "" if it is not known, and an API key
}

// fileName is the beginning of the names of a certificate's files: the name of a
// credential that it is linked to.
func fileName(k telamon.ClientCert, names map[telamon.CredentialID]string) string {
	if len(k.Credentials) > 0 && names[k.Credentials[0]] != "" {
		return names[k.Credentials[0]]
	}
	return "certificate"
}

// certificateView returns all that there is to see of a certificate.
func (c *call) certificateView(k telamon.ClientCert, chain []*x509.Certificate, names map[telamon.CredentialID]string) ui.CertificateView {
	until := func(x *x509.Certificate) string { return c.Say("mtls.until", "date", ui.Date(x.NotAfter)) }
	var cards []ui.Card
	for i, x := range slices.Backward(chain) {
		role := c.Say("mtls.issuing")
		if i == len(chain)-1 {
			role = c.Say("mtls.root")
		}
		cards = append(cards, ui.Card{Role: role, Name: x.Subject.CommonName, Detail: until(x)})
	}
	cards = append(cards, ui.Card{Role: c.Say("mtls.leaf"), Name: k.Certificate.Subject.CommonName, Detail: until(k.Certificate), Current: true})
	sum := sha256.Sum256(k.Certificate.Raw)
	return ui.CertificateView{
		Chain: cards,
		Facts: []ui.Fact{
			{Key: c.Say("mtls.credentials"), Value: credentialLinks(k.Credentials, names)},
			{Key: c.Say("mtls.valid"), Value: ui.Moment(k.NotAfter)},
			{Key: c.Say("mtls.created"), Value: ui.Moment(k.CreatedAt)},
			{Key: c.Say("mtls.serial"), Value: ui.Identifier(k.Serial.String())},
			{Key: c.Say("mtls.fingerprint"), Value: ui.Identifier(hex.EncodeToString(sum[:]))},
			{Key: c.Say("mtls.key"), Value: ui.Words(page.KeyWords(k.Certificate))},
			{Key: c.Say("mtls.subject"), Value: ui.Words(k.Certificate.Subject.String())},
		},
		PEM: page.PEM(k.Certificate), Hex: page.HexLines(k.Certificate.Raw),
	}
}

// downloadMTLS serves the certificate, or its issuing CA, as a file.
func (c *call) downloadMTLS(issuer bool) error {
	k, chain, err := c.thisCert()
	if err != nil {
		return err
	}
	names, err := c.credentialNames(c.R.Context())
	if err != nil {
		return err
	}
	x, name := k.Certificate, fileName(k, names)+".cer"
	if issuer {
		x, name = chain[0], fileName(k, names)+"-ca.cer"
	}
	c.W.Header().Set("Content-Type", "application/x-pem-file")
	c.W.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`) // names are ^[a-z0-9_]+$
	c.W.Write([]byte(page.PEM(x)))
	return nil
}

// A mtlsAct is an act on a certificate that is confirmed first.
type mtlsAct struct {
	action authz.Action
	from   []telamon.State
	danger bool
	do     func(*call, telamon.ClientCertID) error
}

// mtlsActs are the acts by the last part of their pages' addresses.
var mtlsActs = map[string]mtlsAct{
	"enable": {authz.ClientCertificateEnable, []telamon.State{telamon.Disabled}, false, func(c *call, id telamon.ClientCertID) error {
		return c.iam.EnableClientCert(c.R.Context(), c.Actor, c.Account(), id)
	}},
	"disable": {authz.ClientCertificateDisable, []telamon.State{telamon.Active}, true, func(c *call, id telamon.ClientCertID) error {
		return c.iam.DisableClientCert(c.R.Context(), c.Actor, c.Account(), id)
	}},
	"revoke": {authz.ClientCertificateRevoke, []telamon.State{telamon.Active, telamon.Disabled}, true, func(c *call, id telamon.ClientCertID) error {
		return c.iam.RevokeClientCert(c.R.Context(), c.Actor, c.Account(), id, telamon.ReasonUnspecified)
	}},
}

// askMTLSAct serves GET /mtls/{id}/{verb}: what will happen.
func (c *call) askMTLSAct(verb string) error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	act, here := mtlsActs[verb], page.MTLSPath+"/"+k.ID.String()
	if err := authz.Check(c.Actor, act.action, c.Account()); err != nil {
		return err
	}
	if !slices.Contains(act.from, k.State) {
		return c.Redirect(here)
	}
	names, err := c.credentialNames(c.R.Context())
	if err != nil {
		return err
	}
	key := "mtls." + verb
	return c.Show(http.StatusOK, c.Say(key+".ask"), page.ConfirmPage(
		ui.Head{Up: &ui.Link{Text: page.ShortSerial(k.Serial), URL: here}, Title: c.Say(key + ".ask")},
		ui.Confirmation{
			Object: []ui.Fact{
				{Key: c.Say("mtls.serial"), Value: ui.Words(k.Serial.String())}, {Key: c.Say("mtls.credentials"), Value: credentialLinks(k.Credentials, names)},
				{Key: c.Say("mtls.expires"), Value: ui.Moment(k.NotAfter)},
			},
			Effects: []string{c.Say(key + ".effect")}, Keeps: c.Say(key + ".keeps"),
			Form: ui.Form{Action: here + "/" + verb, Button: c.Say(key + ".button"), Danger: act.danger, Cancel: c.CancelTo(here)},
		}))
}

// actOnMTLS serves POST /mtls/{id}/{verb}.
func (c *call) actOnMTLS(verb string) error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	if err := mtlsActs[verb].do(c, k.ID); err != nil {
		return err
	}
	return c.Redirect(page.MTLSPath + "/" + k.ID.String())
}
