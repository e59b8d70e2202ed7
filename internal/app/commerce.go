package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
)

// defaultCreditLimits are the amounts of the platform that this one is modelled on.
func defaultCreditLimits() []string { return []string{"USD 5000.00", "GBP 3000.00", "EUR 3500.00"} }

// creditLimits reads the totals above which quotes are cleared, in minor units by currency.
func (c *PortalConfig) creditLimits() (map[string]int64, error) {
	limits := map[string]int64{}
	for _, text := range c.CreditLimits {
		code, amount, _ := strings.Cut(text, " ")
		minor, err := commerce.ParsePrice(amount, code)
		if err != nil {
			return nil, fmt.Errorf("portal.credit_limits: %q is no amount such as EUR 3500.00", text)
		}
		if _, twice := limits[code]; twice {
			return nil, fmt.Errorf("portal.credit_limits: %s is there twice", code)
		}
		limits[code] = minor
	}
	return limits, nil
}

// wireCommerce makes what offers services to accounts.
func (a *App) wireCommerce() error {
	limits, err := a.Config.Portal.creditLimits()
	if err != nil {
		return err
	}
	portalURL := ""
	if len(a.Config.Names.Portal) > 0 {
		portalURL = a.Config.portalURL()
	}
	a.Commerce = commerce.New(commerce.Config{
		Store: a.Store, Directory: a.Directory, Clock: a.Clock, Log: a.Log, Terms: a.Config.Portal.Agreement, CreditLimits: limits,
		Mailboxes: a.Config.Mail.Operators, Platform: a.Config.Mail.Platform, PortalURL: portalURL, WakeJobs: func() { a.jobs.Wake() },
		EnsureDVIdentity: func(ctx context.Context, account telamon.AccountID) error {
			_, err := a.IAM.EnsureDVIdentity(ctx, System, account)
			return err
		},
	})
	return nil
}

// startJobs puts the jobs that come again by themselves.
func (a *App) startJobs(ctx context.Context) error {
	return errors.Join(a.RA.StartJobs(ctx), a.IAM.StartJobs(ctx), a.Vetting.StartJobs(ctx), a.Commerce.StartJobs(ctx))
}
