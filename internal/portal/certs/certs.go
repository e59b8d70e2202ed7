// Package certs serves the pages of certificates: the list with its filters, saved views
// and file, the request of one, all that there is to see of it, and what is done with it.
// A private key is sent nowhere.
//
// It holds no rules: package ra has them.
package certs

import (
	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// The paths beside those of package page.
const (
	filePath    = page.CertificatesPath + "/export.csv"
	viewsPath   = "/certificate-views"
	inspectPath = page.CertificatesPath + "/inspect"
	onePath     = page.CertificatesPath + "/{serial}"
)

// Pages serves the pages.
type Pages struct {
	shell *page.Shell
	iam   *iam.IAM
	ra    *ra.RA
}

// New returns the pages.
func New(shell *page.Shell, iam *iam.IAM, ra *ra.RA) *Pages { return &Pages{shell, iam, ra} }

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	for pattern, h := range map[string]func(*call) error{
		"GET " + page.CertificatesPath:     (*call).list,
		"GET " + filePath:                  (*call).file,
		"POST " + viewsPath:                (*call).saveView,
		"GET " + viewsPath + "/{id}":       (*call).askDeleteView,
		"POST " + viewsPath + "/{id}":      (*call).deleteView,
		"GET " + page.CertificateNewPath:   (*call).newRequest,
		"POST " + page.CertificateNewPath:  (*call).request,
		"POST " + inspectPath:              (*call).inspect,
		"GET " + onePath:                   (*call).certificate,
		"GET " + onePath + "/files/{file}": (*call).download,
		"GET " + onePath + "/reissue":      (*call).askReissue,
		"POST " + onePath + "/reissue":     (*call).reissue,
		"GET " + onePath + "/revoke":       (*call).askRevoke,
		"POST " + onePath + "/revoke":      (*call).revoke,
		"GET " + onePath + "/same-key":     (*call).askSiblings,
		"POST " + onePath + "/same-key":    (*call).revokeSiblings,
	} {
		mux.HandleFunc(pattern, p.shell.Person(func(c *page.Call) error { return h(&call{c, p}) }))
	}
}

// A call is one request of somebody who has signed in.
type call struct {
	*page.Call
	*Pages
}

// pathOf is the page of a certificate.
func pathOf(serial telamon.Serial) string { return page.CertificatesPath + "/" + serial.String() }

// serial returns the serial number of the address.
func (c *call) serial() (telamon.Serial, error) {
	serial, ok, err := telamon.ParseSerial(c.R.PathValue("serial"))
	if err != nil || !ok {
		return serial, page.ErrNotFound
	}
	return serial, nil
}

// this returns the certificate of the address.
func (c *call) this() (*ra.Holding, error) {
	serial, err := c.serial()
	if err != nil {
		return nil, err
	}
	return c.ra.Holding(c.Context(), c.Actor, serial)
}

// A catalogue is what the account's certificates refer to, by what people call it.
type catalogue struct {
	offers      []iam.Offer
	identities  []telamon.Identity
	credentials []telamon.Credential // none if the person may not see them
}

func (c *call) catalogue() (*catalogue, error) {
	var all catalogue
	var err error
	if all.offers, err = c.iam.Offers(c.Context(), c.Actor, c.Account()); err != nil {
		return nil, err
	}
	if all.identities, err = c.iam.Identities(c.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows}); err != nil {
		return nil, err
	}
	if c.May(authz.CredentialRead) {
		all.credentials, err = c.iam.Credentials(c.Context(), c.Actor, c.Account(), store.Page{Limit: page.MaxRows})
	}
	return &all, err
}

// service is the name of a subscription's service.
func (all *catalogue) service(id telamon.SubscriptionID) string {
	for _, o := range all.offers {
		if o.Subscription.ID == id {
			return o.Service.Name
		}
	}
	return id.String()
}

func (all *catalogue) identity(id telamon.IdentityID) string {
	for _, i := range all.identities {
		if i.ID == id {
			return i.Name
		}
	}
	return id.String()
}

func (all *catalogue) credential(id telamon.CredentialID) string {
	for _, k := range all.credentials {
		if k.ID == id {
			return k.Name
		}
	}
	return id.String()
}

// stateOf returns what a certificate is now, in words.
func (c *call) stateOf(cert *telamon.Certificate) ui.State {
	now := c.Clock.Now()
	switch {
	case cert.Revocation != nil:
		return ui.State{Tone: ui.Bad, Word: c.Say("state.revoked")}
	case !cert.NotAfter.After(now):
		return ui.State{Tone: ui.Off, Word: c.Say("state.expired")}
	case cert.NotAfter.Before(now.Add(page.AttentionSpan)):
		return ui.State{Tone: ui.Warn, Word: c.Say("mtls.soon")}
	}
	return ui.State{Tone: ui.Good, Word: c.Say("certificates.issued")}
}
