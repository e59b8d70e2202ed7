package certs

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A certificateView is what the page of a certificate shows.
type certificateView struct {
	issued      bool   // right after it was
	siblings    string // the address of the certificates with its key, if that was just blocked
	files       []ui.Link
	certificate ui.CertificateView
	rekeys      ui.Table
	evidence    ui.Table
}

// certificate serves GET /certificates/{serial}.
func (c *call) certificate() error {
	h, err := c.this()
	if err != nil {
		return err
	}
	cert, err := parsed(h)
	if err != nil {
		return err
	}
	all, err := c.catalogue()
	if err != nil {
		return err
	}
	here, state := pathOf(h.Certificate.Serial), c.stateOf(&h.Certificate)
	title := page.ShortSerial(h.Certificate.Serial)
	if listed, err := ra.NamesOf(h.DER); err == nil && len(listed) > 0 {
		title = listed[0]
	}
	head := ui.Head{Up: &ui.Link{Text: c.Say("certificates.title"), URL: page.CertificatesPath}, Title: title, State: &state}
	good := h.Certificate.Revocation == nil && h.Certificate.NotAfter.After(c.Clock.Now())
	if good && c.May(authz.CertificateRekey) {
		head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("certificates.reissue"), URL: here + "/reissue"})
	}
	if h.Certificate.Revocation == nil && c.May(authz.CertificateRevoke) {
		head.Quiet = append(head.Quiet, ui.Link{Text: c.Say("mtls.revoke"), URL: here + "/revoke"})
	}
	v := certificateView{
		issued: c.R.URL.Query().Has("issued"), certificate: c.viewOf(h, cert, all), rekeys: c.rekeyTable(h), evidence: c.evidenceTable(h),
	}
	if rev := h.Certificate.Revocation; rev != nil && rev.Reason == telamon.ReasonKeyCompromise && c.May(authz.CertificateRevoke) {
		v.siblings = here + "/same-key"
	}
	for _, f := range files {
		v.files = append(v.files, ui.Link{Text: c.Say("certificates.file." + f.key), URL: here + "/files/" + f.name})
	}
	return c.Show(http.StatusOK, title, certificatePage(head, v))
}

// viewOf returns all that there is to see of a certificate.
func (c *call) viewOf(h *ra.Holding, cert *x509.Certificate, all *catalogue) ui.CertificateView {
	until := func(x *x509.Certificate) string { return c.Say("mtls.until", "date", ui.Date(x.NotAfter)) }
	var cards []ui.Card
	for i, x := range slices.Backward(h.Chain) {
		role := c.Say("mtls.issuing")
		if i == len(h.Chain)-1 {
			role = c.Say("mtls.root")
		}
		cards = append(cards, ui.Card{Role: role, Name: x.Subject.CommonName, Detail: until(x)})
	}
	listed, _ := ra.NamesOf(h.DER)
	name := cert.Subject.CommonName
	if name == "" && len(listed) > 0 {
		name = listed[0]
	}
	cards = append(cards, ui.Card{Role: c.Say("mtls.leaf"), Name: name, Detail: until(cert), Current: true})
	sha256Sum, sha1Sum := sha256.Sum256(cert.Raw), sha1.Sum(cert.Raw)
	facts := []ui.Fact{
		{Key: c.Say("certificates.names"), Value: nameList(listed)},
		{Key: c.Say("mtls.subject"), Value: ui.Words(cert.Subject.String())},
		{Key: c.Say("certificates.valid_from"), Value: ui.Moment(cert.NotBefore)},
		{Key: c.Say("mtls.valid"), Value: ui.Moment(cert.NotAfter)},
	}
	if rev := h.Certificate.Revocation; rev != nil {
		facts = append(facts, ui.Fact{Key: c.Say("certificates.revoked_at"), Value: ui.Moment(rev.At)},
			ui.Fact{Key: c.Say("certificates.reason"), Value: ui.Words(c.Say("certificates.reason." + string(reasonKey(rev.Reason))))})
		if !rev.CompromisedAt.IsZero() {
			facts = append(facts, ui.Fact{Key: c.Say("certificates.compromised_at"), Value: ui.Moment(rev.CompromisedAt)})
		}
	}
	credential := ""
	if h.Certificate.Credential != "" {
		credential = all.credential(h.Certificate.Credential)
	}
	facts = append(facts,
		ui.Fact{Key: c.Say("certificates.filter.service"), Value: ui.Words(all.service(h.Pair.Subscription))},
		ui.Fact{Key: c.Say("certificates.filter.identity"), Value: ui.Words(all.identity(h.Pair.Identity))},
		ui.Fact{Key: c.Say("certificates.requested_by"), Value: requester(h, credential)},
		ui.Fact{Key: c.Say("mtls.serial"), Value: ui.Identifier(h.Certificate.Serial.String())},
		ui.Fact{Key: c.Say("mtls.key"), Value: ui.Words(page.KeyWords(cert))},
		ui.Fact{Key: c.Say("certificates.signature"), Value: ui.Words(cert.SignatureAlgorithm.String())},
		ui.Fact{Key: c.Say("certificates.usages"), Value: ui.Words(usages(cert))},
		ui.Fact{Key: c.Say("certificates.crl"), Value: ui.Words(strings.Join(cert.CRLDistributionPoints, " "))},
		ui.Fact{Key: c.Say("mtls.fingerprint"), Value: ui.Identifier(hex.EncodeToString(sha256Sum[:]))},
		ui.Fact{Key: c.Say("certificates.fingerprint.sha1"), Value: ui.Identifier(hex.EncodeToString(sha1Sum[:]))},
	)
	if h.Certificate.RekeyOf != nil {
		old := *h.Certificate.RekeyOf
		facts = append(facts, ui.Fact{Key: c.Say("certificates.rekey_of"), Value: serialLink(pathOf(old), old)})
	}
	return ui.CertificateView{Chain: cards, Facts: facts, PEM: page.PEM(cert), Hex: page.HexLines(cert.Raw)}
}

// usages are the names of a certificate's key usages, as the standards write them.
func usages(cert *x509.Certificate) string {
	var all []string
	for i, name := range []string{
		"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	} {
		if cert.KeyUsage&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	for _, eku := range cert.ExtKeyUsage {
		all = append(all, eku.String())
	}
	for _, oid := range cert.UnknownExtKeyUsage {
		all = append(all, oid.String())
	}
	return strings.Join(all, ", ")
}

func (c *call) rekeyTable(h *ra.Holding) ui.Table {
	t := ui.Table{Label: c.Say("certificates.rekeys"), Columns: []ui.Column{
		{Name: c.Say("mtls.serial")}, {Name: c.Say("credential.state")}, {Name: c.Say("certificates.issued")},
	}}
	for i := range h.Rekeys {
		k := &h.Rekeys[i]
		t.Rows = append(t.Rows, ui.Row{URL: pathOf(k.Serial), Cells: page.Cells(page.Serial(k.Serial), ui.Status(c.stateOf(k)), ui.Day(k.AcceptedAt))})
	}
	return t
}

// evidenceTable says how each name was validated.
func (c *call) evidenceTable(h *ra.Holding) ui.Table {
	t := ui.Table{Label: c.Say("certificates.evidence"), Columns: []ui.Column{
		{Name: c.Say("certificates.name")}, {Name: c.Say("certificates.method")}, {Name: c.Say("certificates.shown_at")}, {Name: c.Say("certificates.validated")},
	}}
	for _, n := range h.Names {
		method, adn := templ.Component(ui.Words("–")), templ.Component(ui.Words("–"))
		at := templ.Component(ui.Words("–"))
		if v, ok := h.Verifications[n.Verification]; ok {
			method, adn, at = ui.Words(c.MethodName(v.Method)), ui.Words(v.ADN), ui.Day(v.At)
		}
		t.Rows = append(t.Rows, ui.Row{Cells: page.Cells(ui.Words(n.Name), method, adn, at)})
	}
	return t
}

// A file is one of the forms in which a certificate is downloaded.
type file struct {
	key, name, contentType string
	write                  func(cert *x509.Certificate, chain []*x509.Certificate) ([]byte, error)
}

var files = []file{
	{"pem", "leaf.pem", "application/x-pem-file", func(cert *x509.Certificate, _ []*x509.Certificate) ([]byte, error) {
		return []byte(page.PEM(cert)), nil
	}},
	{"chain", "chain.pem", "application/x-pem-file", func(cert *x509.Certificate, chain []*x509.Certificate) ([]byte, error) {
		var b bytes.Buffer
		for _, x := range append([]*x509.Certificate{cert}, chain...) {
			b.WriteString(page.PEM(x))
		}
		return b.Bytes(), nil
	}},
	{"der", "leaf.cer", "application/pkix-cert", func(cert *x509.Certificate, _ []*x509.Certificate) ([]byte, error) { return cert.Raw, nil }},
	{"p7b", "chain.p7b", "application/pkcs7-mime", func(cert *x509.Certificate, chain []*x509.Certificate) ([]byte, error) {
		return tbs.CertsOnly(append([]*x509.Certificate{cert}, chain...))
	}},
}

// download serves GET /certificates/{serial}/files/{file}. The chain is that of the
// certificate's own issuer.
func (c *call) download() error {
	i := slices.IndexFunc(files, func(f file) bool { return f.name == c.R.PathValue("file") })
	if i < 0 {
		return page.ErrNotFound
	}
	h, err := c.this()
	if err != nil {
		return err
	}
	cert, err := parsed(h)
	if err != nil {
		return err
	}
	data, err := files[i].write(cert, h.Chain)
	if err != nil {
		return err
	}
	c.W.Header().Set("Content-Type", files[i].contentType)
	c.W.Header().Set("Content-Disposition", `attachment; filename="`+h.Certificate.Serial.String()+files[i].name[strings.IndexByte(files[i].name, '.'):]+`"`)
	_, err = c.W.Write(data)
	return err
}

// joined writes names beside one another.
func joined(all []string) string { return strings.Join(all, ", ") }
