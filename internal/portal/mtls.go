package portal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// The pages of mTLS certificates.
const (
	mtlsPath    = "/mtls"
	mtlsNewPath = mtlsPath + "/new"
	inspectPath = mtlsPath + "/inspect"
)

// mtlsRoutes are the pages of mTLS certificates.
func (f *face) mtlsRoutes(mux router) {
	mux.HandleFunc("GET "+mtlsPath, f.person((*call).mtlsList))
	mux.HandleFunc("GET "+mtlsNewPath, f.person((*call).newMTLS))
	mux.HandleFunc("POST "+mtlsNewPath, f.person((*call).createMTLS))
	mux.HandleFunc("POST "+inspectPath, f.person((*call).inspectCSR))
	mux.HandleFunc("GET "+mtlsPath+"/{id}", f.person((*call).mtls))
	mux.HandleFunc("GET "+mtlsPath+"/{id}/certificate.cer", f.person(func(c *call) error { return c.downloadMTLS(false) }))
	mux.HandleFunc("GET "+mtlsPath+"/{id}/issuing-ca.cer", f.person(func(c *call) error { return c.downloadMTLS(true) }))
	mux.HandleFunc("GET "+mtlsPath+"/{id}/credentials", f.person((*call).askLinks))
	mux.HandleFunc("POST "+mtlsPath+"/{id}/credentials", f.person((*call).changeLinks))
	for verb := range mtlsActs {
		mux.HandleFunc("GET "+mtlsPath+"/{id}/"+verb, f.person(func(c *call) error { return c.askMTLSAct(verb) }))
		mux.HandleFunc("POST "+mtlsPath+"/{id}/"+verb, f.person(func(c *call) error { return c.actOnMTLS(verb) }))
	}
}

// credentialNames are the names of the account's credentials.
func (c *call) credentialNames(ctx context.Context) (map[telamon.CredentialID]string, error) {
	list, err := c.iam.Credentials(ctx, c.actor, c.account(), store.Page{Limit: maxRows})
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
	s, now := stateWords[k.State], c.clock.Now()
	switch {
	case k.State == telamon.Revoked:
	case !k.NotAfter.After(now):
		s = ui.State{Tone: ui.Bad, Word: "state.expired"}
	case k.State == telamon.Active && k.NotAfter.Before(now.Add(attentionSpan)):
		s = ui.State{Tone: ui.Warn, Word: "mtls.soon"}
	}
	s.Word = c.say(s.Word)
	return s
}

// mtlsList serves GET /mtls.
func (c *call) mtlsList() error {
	ctx, q := c.r.Context(), c.r.URL.Query()
	list, err := c.clientCerts(ctx)
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
	part, pager := pageOf(matches, q, mtlsPath)
	table := ui.Table{
		Label: c.say("mtls.title"), Pager: pager, Empty: c.noMTLS(len(list) > 0),
		Columns: []ui.Column{
			{Name: c.say("mtls.serial")}, {Name: c.say("credential.state")}, {Name: c.say("mtls.credentials")}, {Name: c.say("mtls.created")}, {Name: c.say("mtls.expires")},
		},
	}
	for _, k := range part {
		to := linked(k, names)
		if to == "" {
			to = c.say("mtls.none")
		}
		table.Rows = append(table.Rows, ui.Row{URL: mtlsPath + "/" + k.ID.String(), Cells: cells(
			serialCell(k.Serial), ui.Status(c.certState(k)), ui.Words(to), ui.Day(k.CreatedAt), ui.Day(k.NotAfter))})
	}
	filter := ui.Filter{
		Action: mtlsPath, Search: q.Get("q"), Hint: c.say("mtls.search"), Target: "list",
		Fields: []ui.Field{c.stateField(state, telamon.Active, telamon.Disabled, telamon.Revoked)},
	}
	head := ui.Head{Title: c.say("mtls.title"), Lead: c.say("mtls.lead"), Act: c.actIf(authz.ClientCertificateIssue, "dashboard.mtls.act", mtlsNewPath)}
	if len(list) == 0 {
		head.Act = nil
	}
	return c.show(http.StatusOK, head.Title, listPage(head, filter, table, len(list) > 0))
}

// noMTLS says why the list is empty.
func (c *call) noMTLS(filtered bool) ui.Empty {
	if filtered {
		return ui.Empty{Title: c.say("list.nothing"), Lead: c.say("list.nothing.do")}
	}
	return ui.Empty{
		Title: c.say("mtls.empty"), Lead: c.say("dashboard.mtls.lead"), Act: c.actIf(authz.ClientCertificateIssue, "dashboard.mtls.act", mtlsNewPath),
	}
}

// thisCert returns the certificate of the address with its chain. Those of users are on
// other pages.
func (c *call) thisCert() (telamon.ClientCert, []*x509.Certificate, error) {
	id, err := telamon.ParseClientCertID(c.r.PathValue("id"))
	if err != nil {
		return telamon.ClientCert{}, nil, orNotFound(err)
	}
	k, chain, err := c.iam.ClientCertChain(c.r.Context(), c.actor, c.account(), id)
	if err == nil && k.User != "" {
		err = errNotFound
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
	names, err := c.credentialNames(c.r.Context())
	if err != nil {
		return err
	}
	state := c.certState(k)
	head := ui.Head{Up: &ui.Link{Text: c.say("mtls.title"), URL: mtlsPath}, Title: c.say("mtls.leaf") + " " + shortSerial(k.Serial), State: &state}
	for _, verb := range []string{"enable", "disable", "revoke"} {
		if act := mtlsActs[verb]; slices.Contains(act.from, k.State) && c.may(act.action) {
			head.Quiet = append(head.Quiet, ui.Link{Text: c.say("mtls." + verb), URL: mtlsPath + "/" + k.ID.String() + "/" + verb})
		}
	}
	if k.State != telamon.Revoked && c.may(authz.ClientCertificateLink) {
		head.Quiet = append([]ui.Link{{Text: c.say("mtls.links"), URL: mtlsPath + "/" + k.ID.String() + "/credentials"}}, head.Quiet...)
	}
	view := mtlsView{
		cert: k, certificate: c.certificateView(k, chain, names), file: fileName(k, names), issued: c.r.URL.Query().Has("issued"),
		reused: c.r.URL.Query().Has("reused"), login: c.atlasURL, key: firstKey(c, k),
	}
	if view.issued {
		head.Quiet = nil
		view.wizard = c.mtlsWizard(&mtlsDraft{connect: connectDirect}, 3)
	}
	return c.show(http.StatusOK, head.Title, mtlsPage(head, view))
}

// firstKey is the API key of a credential that a certificate is linked to, "" for none.
func firstKey(c *call, k telamon.ClientCert) string {
	if len(k.Credentials) == 0 {
		return ""
	}
	first, err := c.iam.Credential(c.r.Context(), c.actor, c.account(), k.Credentials[0])
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
	wizard         ui.Wizard
	login, key     string // the address of the API, "" if it is not known, and an API key
}

// shortSerial is a serial number as a title has it.
func shortSerial(s telamon.Serial) string {
	text := s.String()
	return text[:8] + "…" + text[len(text)-6:]
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
	until := func(x *x509.Certificate) string { return c.say("mtls.until", "date", ui.Date(x.NotAfter)) }
	var cards []ui.Card
	for i, x := range slices.Backward(chain) {
		role := c.say("mtls.issuing")
		if i == len(chain)-1 {
			role = c.say("mtls.root")
		}
		cards = append(cards, ui.Card{Role: role, Name: x.Subject.CommonName, Detail: until(x)})
	}
	cards = append(cards, ui.Card{Role: c.say("mtls.leaf"), Name: k.Certificate.Subject.CommonName, Detail: until(k.Certificate), Current: true})
	sum := sha256.Sum256(k.Certificate.Raw)
	return ui.CertificateView{
		Chain: cards,
		Facts: []ui.Fact{
			{Key: c.say("mtls.credentials"), Value: credentialLinks(k.Credentials, names)},
			{Key: c.say("mtls.valid"), Value: ui.Moment(k.NotAfter)},
			{Key: c.say("mtls.created"), Value: ui.Moment(k.CreatedAt)},
			{Key: c.say("mtls.serial"), Value: ui.Identifier(k.Serial.String())},
			{Key: c.say("mtls.fingerprint"), Value: ui.Identifier(hex.EncodeToString(sum[:]))},
			{Key: c.say("mtls.key"), Value: ui.Words(keyWords(k.Certificate))},
			{Key: c.say("mtls.subject"), Value: ui.Words(k.Certificate.Subject.String())},
		},
		PEM: pemOf(k.Certificate), Hex: hexLines(k.Certificate.Raw),
	}
}

// keyWords says what key a certificate is for.
func keyWords(x *x509.Certificate) string {
	key, err := tbs.NewPublicKey(x.RawSubjectPublicKeyInfo)
	if err != nil {
		return x.PublicKeyAlgorithm.String()
	}
	return keyOf(key)
}

// keyOf writes a key's algorithm and size.
func keyOf(key *tbs.PublicKey) string { return fmt.Sprintf("%s, %d bit", key.Algorithm, key.Bits) }

// pemOf writes a certificate as PEM.
func pemOf(x *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Raw}))
}

// hexLines writes octets as hexadecimal digits, 16 octets a line.
func hexLines(b []byte) string {
	var text bytes.Buffer
	for line := range slices.Chunk(b, 16) {
		fmt.Fprintf(&text, "% x\n", line)
	}
	return text.String()
}

// downloadMTLS serves the certificate, or its issuing CA, as a file.
func (c *call) downloadMTLS(issuer bool) error {
	k, chain, err := c.thisCert()
	if err != nil {
		return err
	}
	names, err := c.credentialNames(c.r.Context())
	if err != nil {
		return err
	}
	x, name := k.Certificate, fileName(k, names)+".cer"
	if issuer {
		x, name = chain[0], fileName(k, names)+"-ca.cer"
	}
	c.w.Header().Set("Content-Type", "application/x-pem-file")
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`) // names are ^[a-z0-9_]+$
	c.w.Write([]byte(pemOf(x)))
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
		return c.iam.EnableClientCert(c.r.Context(), c.actor, c.account(), id)
	}},
	"disable": {authz.ClientCertificateDisable, []telamon.State{telamon.Active}, true, func(c *call, id telamon.ClientCertID) error {
		return c.iam.DisableClientCert(c.r.Context(), c.actor, c.account(), id)
	}},
	"revoke": {authz.ClientCertificateRevoke, []telamon.State{telamon.Active, telamon.Disabled}, true, func(c *call, id telamon.ClientCertID) error {
		return c.iam.RevokeClientCert(c.r.Context(), c.actor, c.account(), id, telamon.ReasonUnspecified)
	}},
}

// askMTLSAct serves GET /mtls/{id}/{verb}: what will happen.
func (c *call) askMTLSAct(verb string) error {
	k, _, err := c.thisCert()
	if err != nil {
		return err
	}
	act, here := mtlsActs[verb], mtlsPath+"/"+k.ID.String()
	if err := authz.Check(c.actor, act.action, c.account()); err != nil {
		return err
	}
	if !slices.Contains(act.from, k.State) {
		redirect(c.w, c.r, here)
		return nil
	}
	names, err := c.credentialNames(c.r.Context())
	if err != nil {
		return err
	}
	key := "mtls." + verb
	return c.show(http.StatusOK, c.say(key+".ask"), confirmPage(
		ui.Head{Up: &ui.Link{Text: shortSerial(k.Serial), URL: here}, Title: c.say(key + ".ask")},
		ui.Confirmation{
			Object: []ui.Fact{
				{Key: c.say("mtls.serial"), Value: ui.Words(k.Serial.String())}, {Key: c.say("mtls.credentials"), Value: credentialLinks(k.Credentials, names)},
				{Key: c.say("mtls.expires"), Value: ui.Moment(k.NotAfter)},
			},
			Effects: []string{c.say(key + ".effect")}, Keeps: c.say(key + ".keeps"),
			Form: ui.Form{Action: here + "/" + verb, Button: c.say(key + ".button"), Danger: act.danger, Cancel: &ui.Link{Text: c.say("confirm.cancel"), URL: here}},
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
	redirect(c.w, c.r, mtlsPath+"/"+k.ID.String())
	return nil
}
