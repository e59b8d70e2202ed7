package app

import (
	"context"
	"errors"
	"net"

	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/portal/clients"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// defaultPortal is what new accounts accept until the operators have a text of their own.
func defaultPortal() PortalConfig {
	return PortalConfig{Agreement: "1", AdministratorLimit: store.DefaultAdministratorLimit, CreditLimits: defaultCreditLimits()}
}

// problems reports what is wrong with the configuration of the portal.
func (c *PortalConfig) problems() (problems []error) {
	if c.Agreement == "" || len(c.Agreement) > 64 {
		problems = append(problems, errors.New("portal.agreement: must be a version of 1 to 64 octets"))
	}
	if c.AdministratorLimit < 1 {
		problems = append(problems, errors.New("portal.administrator_limit: must be positive"))
	}
	if _, err := c.creditLimits(); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// wireSignIn makes what people register and sign in by, if there is a portal.
func (a *App) wireSignIn() error {
	if len(a.Config.Names.Portal) == 0 {
		return nil
	}
	cfg := &a.Config.Portal
	dialer := &egress.Dialer{Policy: egress.Policy{Allow: cfg.ProviderNetworks}, Lookup: a.resolver.addresses}
	var err error
	a.SignIn, err = signin.New(signin.Config{
		Store: a.Store, Directory: a.Directory, Keys: a.Keys, Passwords: a.passwords, Clock: a.Clock, Log: a.Log,
		PortalURL: a.Config.portalURL(), Platform: a.Config.Mail.Platform, Agreement: cfg.Agreement,
		OpenID: openid.New(openid.NewHTTP(dialer), a.Clock), WakeJobs: func() { a.jobs.Wake() },
	})
	return err
}

// writeRefusals writes the counts of refusals, all of them at the end of the process.
func (a *App) writeRefusals(ctx context.Context, all bool) error {
	err := a.IAM.WriteRefusals(ctx, all)
	if a.SignIn != nil {
		err = errors.Join(err, a.SignIn.WriteRefusals(ctx, all))
	}
	return err
}

// atlasURL is where clients reach the Atlas API, "" if it has no name.
func (c *Config) atlasURL() string {
	if len(c.Names.Atlas) == 0 {
		return ""
	}
	return c.urlOf(c.Names.Atlas[0])
}

// digicertONEURLs are where users reach the API of DigiCert ONE, if it has a name.
func (c *Config) digicertONEURLs() clients.API {
	bases, derived := c.Names.digicertONENames()
	if len(bases) == 0 {
		return clients.API{}
	}
	return clients.API{Base: c.urlOf(bases[0]), ClientAuth: c.urlOf(derived[0])}
}

// urlOf is the address of a name on the TLS listener.
func (c *Config) urlOf(host string) string {
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "443" && port != "0" {
		host = net.JoinHostPort(host, port)
	}
	return "https://" + host
}
