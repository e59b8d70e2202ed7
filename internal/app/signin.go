package app

import (
	"context"
	"net"

	"github.com/telamon-ca/telamon/internal/signin"
)

// PortalConfig is the portal's.
type PortalConfig struct {
	// Agreement is the version of the service agreement that people accept for a new
	// account, such as "4.2 of 2026-03-01". Its text is yours to give them. Who has
	// accepted an earlier version is not asked again.
	Agreement string `yaml:"agreement"`
}

// defaultAgreement is the version of an agreement that has none yet.
const defaultAgreement = "1"

// wireSignIn makes the use cases of people who sign in, if there is a portal.
func (a *App) wireSignIn() (err error) {
	if len(a.Config.Names.Portal) == 0 {
		return nil
	}
	a.SignIn, err = signin.New(signin.Config{
		Store: a.Store, Directory: a.Directory, Keys: a.Keys, Clock: a.Clock, Log: a.Log, PortalURL: a.Config.portalURL(),
		Platform: a.Config.Mail.Platform, Agreement: a.Config.Portal.Agreement,
	})
	return err
}

// writeRefusals writes counts of refused logins and sign-ins to the audit log: those of a
// minute ago and before, or all.
func (a *App) writeRefusals(ctx context.Context, all bool) error {
	err := a.IAM.WriteRefusals(ctx, all)
	if a.SignIn == nil || err != nil {
		return err
	}
	return a.SignIn.WriteRefusals(ctx, all)
}

// atlasURL is where clients reach the Atlas API, "" if it has no name.
func (c *Config) atlasURL() string {
	if len(c.Names.Atlas) == 0 {
		return ""
	}
	host := c.Names.Atlas[0]
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "443" && port != "0" {
		host = net.JoinHostPort(host, port)
	}
	return "https://" + host
}
