package operator

import (
	"crypto/x509"
	"net/http"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/staff"
)

func (p *Pages) certificateRoutes(mux page.Router) {
	mux.HandleFunc("GET "+certificatesPath, p.person((*call).findCertificate))
	mux.HandleFunc("GET "+certificatesPath+"/{serial}/revoke", p.person((*call).askRevoke))
	mux.HandleFunc("POST "+certificatesPath+"/{serial}/revoke", p.person((*call).revoke))
}

// findCertificate serves GET /operator/certificates?serial=: a certificate of any account.
func (c *call) findCertificate() error {
	text := strings.Map(func(r rune) rune {
		if r == ':' || r == ' ' {
			return -1
		}
		return r
	}, c.R.URL.Query().Get("serial"))
	field := ui.Field{Name: "serial", Label: c.Say("operator.column.serial"), Hint: c.Say("operator.certificate.hint"), Value: text, Code: true, Max: 80, Require: true}
	head := ui.Head{Title: c.Say("operator.certificates.title"), Lead: c.Say("operator.certificates.lead")}
	form := ui.Form{Action: certificatesPath, Get: true, Button: c.Say("operator.certificates.find")}
	if text == "" {
		return c.detail(http.StatusOK, head, actForm(form, []ui.Field{field}))
	}
	serial, ours, err := telamon.ParseSerial(text)
	if err != nil || !ours {
		field.Error = c.Say("operator.certificates.none")
		return c.detail(http.StatusUnprocessableEntity, head, actForm(form, []ui.Field{field}))
	}
	cert, account, der, err := c.Staff.Certificate(c.Context(), c.Actor, serial)
	if fault.Is(err, fault.NotFound) {
		field.Error = c.Say("operator.certificates.none")
		return c.detail(http.StatusNotFound, head, actForm(form, []ui.Field{field}))
	}
	if err != nil {
		return err
	}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	state := c.certificateState(cert)
	found := ui.Head{Up: c.up("operator.certificates.title", certificatesPath), Title: nameOf(x), ID: serial.String(), State: &state}
	if cert.Status != telamon.StatusRevoked && cert.NotAfter.After(c.Clock.Now()) {
		found.Quiet = []ui.Link{{Text: c.Say("operator.certificate.revoke"), URL: certificatesPath + "/" + serial.String() + "/revoke"}}
	}
	facts := []ui.Fact{
		c.fact("account", ui.Words(account.Name)), c.fact("subject", words(x.Subject.String())), c.fact("names", words(strings.Join(x.DNSNames, ", "))),
		c.fact("key", ui.Words(page.KeyWords(x))), c.fact("not_before", ui.Moment(x.NotBefore)), c.fact("ends", ui.Moment(x.NotAfter)),
	}
	if cert.Revocation != nil {
		facts = append(facts, c.fact("reason", ui.Words(string(cert.Revocation.Reason))), c.fact("revoked", ui.Moment(cert.UpdatedAt)))
	}
	return c.detail(http.StatusOK, found, ui.Certificate(ui.CertificateView{Chain: chainCards(c, x), Facts: facts, PEM: page.PEM(x), Hex: page.HexLines(x.Raw)}))
}

func nameOf(x *x509.Certificate) string {
	switch {
	case x.Subject.CommonName != "":
		return x.Subject.CommonName
	case len(x.DNSNames) > 0:
		return x.DNSNames[0]
	}
	return x.Subject.String()
}

func (c *call) certificateState(cert *telamon.Certificate) ui.State {
	switch {
	case cert.Status == telamon.StatusRevoked:
		return ui.State{Tone: ui.Bad, Word: c.Say("state.revoked")}
	case !cert.NotAfter.After(c.Clock.Now()):
		return ui.State{Tone: ui.Off, Word: c.Say("operator.issuer.expired")}
	}
	return ui.State{Tone: ui.Good, Word: c.Say("state.active")}
}

func (c *call) thisCertificate() (*telamon.Certificate, telamon.Account, *x509.Certificate, error) {
	serial, ours, err := telamon.ParseSerial(c.R.PathValue("serial"))
	if err != nil || !ours {
		return nil, telamon.Account{}, nil, page.ErrNotFound
	}
	cert, account, der, err := c.Staff.Certificate(c.Context(), c.Actor, serial)
	if err != nil {
		return nil, account, nil, err
	}
	x, err := x509.ParseCertificate(der)
	return cert, account, x, err
}

func (c *call) askRevoke() error {
	cert, account, x, err := c.thisCertificate()
	if err != nil {
		return err
	}
	reason := ui.Field{Name: "reason", Label: c.Say("operator.column.reason"), Value: string(telamon.ReasonPrivilegeWithdrawn)}
	for _, r := range telamon.RevocationReasons {
		reason.Options = append(reason.Options, ui.Option{Value: string(r), Text: string(r)})
	}
	compromised := ui.Field{Name: "compromised", Label: c.Say("operator.certificate.compromised"), Hint: c.Say("operator.certificate.compromised.hint"), Type: "date", Narrow: true}
	serial := cert.Serial.String()
	return c.confirm(c.up("operator.certificate.back", certificatesPath+"?serial="+serial), c.Say("operator.certificate.revoke.ask", "name", nameOf(x)), c.Say("operator.certificate.revoke"),
		[]ui.Fact{c.fact("serial", ui.Identifier(serial)), c.fact("account", ui.Words(account.Name)), c.fact("ends", ui.Moment(cert.NotAfter))},
		[]string{c.Say("operator.certificate.revoke.effect"), c.Say("operator.certificate.revoke.key")}, true, reason, compromised)
}

func (c *call) revoke() error {
	cert, _, _, err := c.thisCertificate()
	if err != nil {
		return err
	}
	rev := staff.Revocation{Reason: telamon.RevocationReason(c.R.PostFormValue("reason"))}
	if text := c.R.PostFormValue("compromised"); text != "" {
		if rev.CompromisedAt, err = time.Parse(time.DateOnly, text); err != nil {
			return fault.New(fault.Invalid, "compromised_at", c.Say("operator.certificate.compromised.hint"))
		}
	}
	if _, err := c.Staff.Revoke(c.Context(), c.Actor, cert.Serial, rev); err != nil {
		return err
	}
	return c.Redirect(certificatesPath + "?serial=" + cert.Serial.String())
}
