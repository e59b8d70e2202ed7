package clients

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// A certView is what the page of a certificate shows.
type certView struct {
	cert        telamon.ClientCert
	certificate ui.CertificateView
	issued      bool     // it was just issued for a CSR
	next        string   // where the next one is made, "" if it is not time yet
	siblings    ui.Table // the user's other certificates that work, with this one
	rotating    bool
	curl        string
}

// thisCertificate returns the certificate of the address, its chain and its user.
func (c *call) thisCertificate() (telamon.ClientCert, []*x509.Certificate, telamon.User, error) {
	id, err := telamon.ParseClientCertID(c.R.PathValue("id"))
	if err != nil {
		return telamon.ClientCert{}, nil, telamon.User{}, page.OrNotFound(err)
	}
	k, chain, err := c.iam.UserCertChain(c.Context(), c.Actor, id)
	if err != nil {
		return k, nil, telamon.User{}, err
	}
	u, err := c.holder(k.User)
	return k, chain, u, err
}

// certificate serves GET /client-certificates/{id}: the certificate, what is done with it,
// and near its end how it is replaced while it still works.
func (c *call) certificate() error {
	k, chain, owner, err := c.thisCertificate()
	if err != nil {
		return err
	}
	uses, err := c.iam.UserCertUses(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	state := c.certState(k)
	head := ui.Head{Up: &ui.Link{Text: c.Say("clients.title"), URL: page.ClientCertificatesPath}, Title: k.Name, State: &state}
	head.Quiet = c.acts("clients.", certificatePath(k.ID), k.State, func(verb string) bool {
		return c.mayTo(certActs[verb].action, owner) && !(verb == "enable" && standing(k, c.Clock.Now()) == isExpired)
	})
	if status := owner.Status(c.Clock.Now()); status != telamon.UserActive && standing(k, c.Clock.Now()) != isRevoked {
		head.Lead = c.Say("clients.user_off", "name", owner.Name)
	}
	view := certView{cert: k, certificate: c.certificateView(k, chain, owner, uses), issued: c.R.URL.Query().Has("issued")}
	if view.issued {
		view.curl = c.curlFiles(k)
	}
	now := c.Clock.Now()
	if is := standing(k, now); (is == isActive || is == isSoon) && k.NotAfter.Before(now.Add(nextSpan)) && c.mayTo(authz.ClientCertificateIssue, owner) {
		view.next = newPath + "?" + url.Values{"user": {owner.ID.String()}, "after": {k.ID.String()}}.Encode()
	}
	list, err := c.iam.UserCerts(c.Context(), c.Actor, owner.ID)
	if err != nil {
		return err
	}
	working := slices.DeleteFunc(list, func(o telamon.ClientCert) bool {
		is := standing(o, now)
		return is != isActive && is != isSoon && o.ID != k.ID
	})
	slices.SortStableFunc(working, func(a, b telamon.ClientCert) int { return a.NotAfter.Compare(b.NotAfter) })
	view.rotating = len(working) > 1 || view.next != ""
	view.siblings = c.certTable(working, nil, uses, ui.Empty{})
	return c.Show(http.StatusOK, head.Title, certificatePage(head, view))
}

// certificateView returns all that there is to see of a certificate.
func (c *call) certificateView(k telamon.ClientCert, chain []*x509.Certificate, owner telamon.User, uses map[telamon.ClientCertID]time.Time) ui.CertificateView {
	until := func(x *x509.Certificate) string { return c.Say("mtls.until", "date", ui.Date(x.NotAfter)) }
	var cards []ui.Card
	for i, x := range slices.Backward(chain) {
		role := c.Say("mtls.issuing")
		if i == len(chain)-1 && len(chain) > 1 {
			role = c.Say("mtls.root")
		}
		cards = append(cards, ui.Card{Role: role, Name: x.Subject.CommonName, Detail: until(x)})
	}
	cards = append(cards, ui.Card{Role: c.Say("mtls.leaf"), Name: k.Certificate.Subject.CommonName, Detail: until(k.Certificate), Current: true})
	sum := sha256.Sum256(k.Certificate.Raw)
	return ui.CertificateView{
		Chain: cards,
		Facts: []ui.Fact{
			{Key: c.Say("clients.user"), Value: linkTo(owner.Name, c.userPath(owner))},
			{Key: c.Say("mtls.valid"), Value: ui.Moment(k.NotAfter)},
			{Key: c.Say("mtls.created"), Value: ui.Moment(k.CreatedAt)},
			{Key: c.Say("clients.first_used"), Value: ui.Moment(k.FirstUsedAt)},
			{Key: c.Say("credential.last_used"), Value: ui.Moment(uses[k.ID])},
			{Key: c.Say("mtls.serial"), Value: ui.Identifier(k.Serial.String())},
			{Key: c.Say("mtls.fingerprint"), Value: ui.Identifier(hex.EncodeToString(sum[:]))},
			{Key: c.Say("mtls.key"), Value: ui.Words(page.KeyWords(k.Certificate))},
			{Key: c.Say("mtls.subject"), Value: ui.Words(k.Certificate.Subject.String())},
		},
		PEM: page.PEM(k.Certificate), Hex: page.HexLines(k.Certificate.Raw),
	}
}

var unplain = regexp.MustCompile(`[^a-z0-9]+`)

// fileName is the beginning of the names of a certificate's files: what of its nickname
// every file system and shell takes as it is.
func fileName(k telamon.ClientCert) string {
	name := strings.Trim(unplain.ReplaceAllString(strings.ToLower(k.Name), "-"), "-")
	if name == "" {
		return "client"
	}
	return name[:min(len(name), 64)]
}

// downloadPEM serves the certificate, or its issuing CA, as a file.
func (c *call) downloadPEM(issuer bool) error {
	k, chain, _, err := c.thisCertificate()
	if err != nil {
		return err
	}
	x, name := k.Certificate, fileName(k)+".cer"
	if issuer {
		x, name = chain[0], fileName(k)+"-ca.cer"
	}
	c.W.Header().Set("Content-Type", "application/x-pem-file")
	c.W.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`) // of a-z, 0-9 and -
	c.W.Write([]byte(page.PEM(x)))
	return nil
}

// p12Name is the name of files with a certificate and its key (digicert-one.md, Section 6.4).
const p12Name = "Certificate_pkcs12.p12"

// downloadP12 serves POST /client-certificates/{id}/p12: the file of a certificate whose key
// was made here, to the first who asks with the value of the page that made it. The value is
// in no address.
func (c *call) downloadP12() error {
	id, err := telamon.ParseClientCertID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	form, err := c.Form()
	if err != nil {
		return err
	}
	file, err := c.iam.DownloadPKCS12(c.Context(), c.Actor, id, form.Get("download"))
	if err != nil && fault.From(err).Code == "download_not_found" {
		head := ui.Head{Up: &ui.Link{Text: c.Say("clients.title"), URL: page.ClientCertificatesPath}, Title: c.Say("clients.gone")}
		return c.Show(http.StatusGone, head.Title, ui.Header(head), page.NeedsFirst(c.Say("clients.gone.why"), c.Say("clients.gone.do"),
			&ui.Link{Text: c.Say("clients.gone.act"), URL: certificatePath(id)}))
	}
	if err != nil {
		return err
	}
	c.W.Header().Set("Content-Type", "application/x-pkcs12")
	c.W.Header().Set("Content-Disposition", `attachment; filename="`+p12Name+`"`)
	c.W.Write(file)
	return nil
}

// curlFiles is the command that uses a certificate beside its key.
func (c *call) curlFiles(k telamon.ClientCert) string {
	if c.api.ClientAuth == "" {
		return ""
	}
	return fmt.Sprintf("curl --cert %[1]s.cer --key %[1]s.key \\\n  %[2]s/account/api/v1/user/me", fileName(k), c.api.ClientAuth)
}

// certActs are the acts on a certificate by the last part of their pages' addresses.
var certActs = map[string]struct {
	action authz.Action
	danger bool
	do     func(*call, telamon.ClientCertID) error
}{
	"enable": {authz.ClientCertificateEnable, false, func(c *call, id telamon.ClientCertID) error {
		_, err := c.iam.EnableUserCert(c.Context(), c.Actor, id)
		return err
	}},
	"disable": {authz.ClientCertificateDisable, true, func(c *call, id telamon.ClientCertID) error {
		_, err := c.iam.DisableUserCert(c.Context(), c.Actor, id)
		return err
	}},
	"delete": {authz.ClientCertificateDelete, true, func(c *call, id telamon.ClientCertID) error {
		return c.iam.DeleteUserCert(c.Context(), c.Actor, id)
	}},
}

// askCertificateAct serves GET /client-certificates/{id}/{verb}: what will happen.
func (c *call) askCertificateAct(verb string) error {
	k, _, owner, err := c.thisCertificate()
	if err != nil {
		return err
	}
	if err := authz.CheckUser(c.Actor, certActs[verb].action, c.Account(), owner.ID); err != nil {
		return err
	}
	here := certificatePath(k.ID)
	if !slices.Contains(verbsFrom[k.State], verb) {
		return c.Redirect(here)
	}
	return c.confirm(act{
		key: "clients." + verb, name: k.Name, up: ui.Link{Text: k.Name, URL: here}, path: here + "/" + verb, danger: certActs[verb].danger,
		object: []ui.Fact{
			{Key: c.Say("clients.user"), Value: ui.Words(owner.Name)}, {Key: c.Say("mtls.serial"), Value: ui.Words(k.Serial.String())},
			{Key: c.Say("mtls.expires"), Value: ui.Moment(k.NotAfter)}, {Key: c.Say("clients.first_used"), Value: ui.Moment(k.FirstUsedAt)},
		},
	})
}

// actOnCertificate serves POST /client-certificates/{id}/{verb}.
func (c *call) actOnCertificate(verb string) error {
	id, err := telamon.ParseClientCertID(c.R.PathValue("id"))
	if err != nil {
		return page.OrNotFound(err)
	}
	if err := certActs[verb].do(c, id); err != nil {
		return err
	}
	if verb == "delete" {
		return c.Redirect(page.ClientCertificatesPath)
	}
	return c.Redirect(certificatePath(id))
}
