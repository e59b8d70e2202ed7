package certs

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// toAct returns the certificate of the address if the person may do the action to it.
func (c *call) toAct(action authz.Action) (*ra.Holding, error) {
	if err := authz.Check(c.Actor, action, c.Account()); err != nil {
		return nil, err
	}
	return c.this()
}

// object is what a certificate is known by on the page of an act.
func (c *call) object(h *ra.Holding) []ui.Fact {
	listed, _ := ra.NamesOf(h.DER)
	return []ui.Fact{
		{Key: c.Say("certificates.names"), Value: nameList(listed)},
		{Key: c.Say("mtls.serial"), Value: ui.Words(h.Certificate.Serial.String())},
		{Key: c.Say("mtls.expires"), Value: ui.Moment(h.Certificate.NotAfter)},
	}
}

// askReissue serves GET /certificates/{serial}/reissue.
func (c *call) askReissue() error {
	h, err := c.toAct(authz.CertificateRekey)
	if err != nil {
		return err
	}
	if h.Certificate.Revocation != nil || !h.Certificate.NotAfter.After(c.Clock.Now()) {
		return c.Redirect(pathOf(h.Certificate.Serial))
	}
	return c.showReissue(http.StatusOK, h, requestView{fields: []ui.Field{c.csrField("", "")}})
}

func (c *call) showReissue(status int, h *ra.Holding, v requestView) error {
	here := pathOf(h.Certificate.Serial)
	head := ui.Head{Up: &ui.Link{Text: page.ShortSerial(h.Certificate.Serial), URL: here}, Title: c.Say("certificates.reissue.ask"), Lead: c.Say("certificates.reissue.lead")}
	form := ui.Form{
		Action: here + "/reissue", Button: c.Say("certificates.reissue.button"), Cancel: c.CancelTo(here),
		Inspect: inspectPath, PrivateKey: c.Say("error.private_key"),
	}
	return c.Show(status, head.Title, formPage(head, c.object(h), form, v))
}

// reissue serves POST /certificates/{serial}/reissue.
func (c *call) reissue() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	h, err := c.toAct(authz.CertificateRekey)
	if err != nil {
		return err
	}
	text := form.Get("csr")
	csr, err := tbs.ParseCSR(text)
	if err != nil {
		if fault.From(iam.CSRFault(err)).Code == "private_key" { // it goes nowhere, not even back
			text = ""
		}
		return c.showReissue(http.StatusUnprocessableEntity, h, requestView{fields: []ui.Field{c.csrField(text, c.csrProblem(err))}})
	}
	actor, err := c.ra.ForCertificate(c.Context(), c.Actor, h.Certificate.Serial)
	if err != nil {
		return err
	}
	terms, err := c.ra.Terms(c.Context(), actor)
	if err != nil {
		return err
	}
	req := &ra.RekeyRequest{PublicKey: text}
	if terms.Policy.PublicKeyRule().Format != "PKCS10" {
		req.PublicKey = spkiPEM(csr)
	}
	serial, err := c.ra.Rekey(c.Context(), actor, h.Certificate.Serial, req)
	if err != nil {
		v := requestView{fields: []ui.Field{c.csrField(text, "")}}
		offer, otherErr := c.offerOf(h.Pair.Subscription)
		if otherErr != nil {
			return otherErr
		}
		if !c.blame(&v, err, offer, 0, terms) {
			return err
		}
		return c.showReissue(http.StatusUnprocessableEntity, h, v)
	}
	return c.Redirect(pathOf(serial) + "?issued=")
}

// offerOf returns what is left of a subscription.
func (c *call) offerOf(id telamon.SubscriptionID) (*iam.Offer, error) {
	offers, err := c.iam.Offers(c.Context(), c.Actor, c.Account())
	for i := range offers {
		if offers[i].Subscription.ID == id {
			return &offers[i], err
		}
	}
	return &iam.Offer{}, err
}

// reasons are those that a subscriber gives (BR 7.2.2), the usual one first.
var reasons = []telamon.RevocationReason{
	telamon.ReasonUnspecified, telamon.ReasonKeyCompromise, telamon.ReasonAffiliationChanged, telamon.ReasonSuperseded, telamon.ReasonCessationOfOperation,
}

// reasonKey is a reason as the keys of messages have it.
func reasonKey(r telamon.RevocationReason) string { return strings.ToLower(string(r)) }

// askRevoke serves GET /certificates/{serial}/revoke.
func (c *call) askRevoke() error {
	h, err := c.toAct(authz.CertificateRevoke)
	if err != nil {
		return err
	}
	if h.Certificate.Revocation != nil {
		return c.Redirect(pathOf(h.Certificate.Serial))
	}
	reason, at := c.reasonFields(string(telamon.ReasonUnspecified), "")
	return c.showRevoke(http.StatusOK, h, reason, at)
}

// reasonFields ask for the reason, and since when a key is compromised.
func (c *call) reasonFields(reason, at string) (ui.Field, ui.Field) {
	f := ui.Field{Name: "reason", Label: c.Say("certificates.reason"), Value: reason, Require: true}
	for _, r := range reasons {
		key := "certificates.reason." + reasonKey(r)
		f.Options = append(f.Options, ui.Option{Value: string(r), Text: c.Say(key), Hint: c.Say("certificates.why." + reasonKey(r))})
	}
	return f, ui.Field{
		Name: "compromised_at", Label: c.Say("certificates.compromised_at"), Hint: c.Say("certificates.compromised_at.hint"), Value: at, Type: "datetime-local", Narrow: true,
	}
}

func (c *call) showRevoke(status int, h *ra.Holding, reason, at ui.Field) error {
	here := pathOf(h.Certificate.Serial)
	title := c.Say("mtls.revoke.ask")
	return c.Show(status, title, revokePage(ui.Head{Up: &ui.Link{Text: page.ShortSerial(h.Certificate.Serial), URL: here}, Title: title},
		ui.Confirmation{
			Object: c.object(h), Effects: []string{c.Say("certificates.revoke.effect"), c.Say("certificates.revoke.key")}, Keeps: c.Say("certificates.revoke.keeps"),
			Form: ui.Form{Action: here + "/revoke", Button: c.Say("mtls.revoke.button"), Danger: true, Cancel: c.CancelTo(here)},
		}, reason, at))
}

// revoke serves POST /certificates/{serial}/revoke.
func (c *call) revoke() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	h, err := c.toAct(authz.CertificateRevoke)
	if err != nil {
		return err
	}
	reason, at := c.reasonFields(form.Get("reason"), form.Get("compromised_at"))
	rev := ra.Revocation{Reason: telamon.RevocationReason(reason.Value)}
	if rev.Reason == telamon.ReasonKeyCompromise && at.Value != "" {
		if rev.CompromisedAt, err = momentOf(at.Value); err != nil {
			at.Error = c.Say("certificates.compromised_at.wrong")
			return c.showRevoke(http.StatusUnprocessableEntity, h, reason, at)
		}
	}
	actor, err := c.ra.ForCertificate(c.Context(), c.Actor, h.Certificate.Serial)
	if err != nil {
		return err
	}
	if err := c.ra.Revoke(c.Context(), actor, h.Certificate.Serial, rev); err != nil {
		for _, wrong := range fault.From(err).Fields {
			switch wrong.Path {
			case "revocation_reason":
				reason.Error = c.Say("certificates.reason.wrong")
			case "revocation_time":
				at.Error = c.Say("certificates.compromised_at.wrong")
			}
		}
		if reason.Error == "" && at.Error == "" {
			return err
		}
		return c.showRevoke(http.StatusUnprocessableEntity, h, reason, at)
	}
	return c.Redirect(pathOf(h.Certificate.Serial))
}

// momentOf reads what browsers send of a date and a time, which is UTC here.
func momentOf(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fault.New(fault.Malformed, "form_unreadable", "The form cannot be read.")
}

// askSiblings serves GET /certificates/{serial}/same-key: which other certificates have
// its key.
func (c *call) askSiblings() error {
	h, err := c.toAct(authz.CertificateRevoke)
	if err != nil {
		return err
	}
	return c.showSiblings(http.StatusOK, h, "")
}

func (c *call) showSiblings(status int, h *ra.Holding, problem string) error {
	here := pathOf(h.Certificate.Serial)
	f := &filter{}
	if after := c.R.URL.Query().Get("after"); after != "" && !f.setCursor(after) {
		return page.ErrNotFound
	}
	found, err := c.ra.Siblings(c.Context(), c.Actor, h.Certificate.Serial, f.search.After)
	if err != nil {
		return err
	}
	var rows []ui.PickRow
	for i := range found.Certificates {
		k := &found.Certificates[i]
		rows = append(rows, ui.PickRow{Value: k.Serial.String(), Name: page.ShortSerial(k.Serial), Picked: true, Cells: page.Cells(
			names(k.Names), ui.Status(c.stateOf(&k.Certificate)), ui.Day(k.NotAfter))})
	}
	next := ""
	if found.Next != nil {
		next = here + "/same-key?after=" + cursorText(found.Next)
	}
	head := ui.Head{
		Up: &ui.Link{Text: page.ShortSerial(h.Certificate.Serial), URL: here}, Title: c.Say("certificates.same_key.ask"), Lead: c.Say("certificates.same_key.lead"),
	}
	field := ui.Field{Name: "serial", Label: c.Say("certificates.same_key.pick"), Error: problem}
	columns := []ui.Column{{Name: c.Say("mtls.serial")}, {Name: c.Say("certificates.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("mtls.expires")}}
	form := ui.Form{Action: here + "/same-key", Button: c.Say("certificates.same_key.button"), Danger: true, Cancel: &ui.Link{Text: c.Say("certificates.same_key.back"), URL: here}}
	return c.Show(status, head.Title, siblingsPage(head, field, columns, rows, form, next))
}

// cursorText writes a place in a list of which nothing is counted.
func cursorText(at *store.CertificateCursor) string {
	return strconv.FormatInt(at.At, 10) + "." + at.Serial.String() + ".0.-1"
}

// revokeSiblings serves POST /certificates/{serial}/same-key.
func (c *call) revokeSiblings() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	h, err := c.toAct(authz.CertificateRevoke)
	if err != nil {
		return err
	}
	var serials []telamon.Serial
	for _, text := range form["serial"] {
		serial, ok, err := telamon.ParseSerial(text)
		if err != nil || !ok {
			return page.ErrNotFound
		}
		serials = append(serials, serial)
	}
	if len(serials) == 0 {
		return c.showSiblings(http.StatusUnprocessableEntity, h, c.Say("certificates.same_key.nothing"))
	}
	if _, err := c.ra.RevokeSiblings(c.Context(), c.Actor, h.Certificate.Serial, serials); err != nil {
		return err
	}
	return c.Redirect(pathOf(h.Certificate.Serial) + "/same-key")
}
