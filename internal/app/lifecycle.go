package app

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"

	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/vetting"
)

// wireLifecycle makes what plans and exchanges issuing CAs.
func (a *App) wireLifecycle(table *rules.Table) {
	a.Life = lifecycle.New(lifecycle.Config{
		Store: a.Store, Issuance: a.Issuance, Keys: a.CAKeys, Clock: a.Clock, Log: a.Log, Rules: table,
		Changed: a.Directory.Refresh, Operators: a.Config.Mail.Operators, WakeJobs: func() { a.jobs.Wake() },
	})
}

// wireVetting makes the use cases of vetting agents.
func (a *App) wireVetting() error {
	table, err := a.Config.Validation.rules()
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	a.Vetting = vetting.New(vetting.Config{
		Store: a.Store, Directory: a.Directory, Clock: a.Clock, Rules: table, Platform: a.Config.Mail.Platform,
		PortalURL: a.Config.portalURL(), ReplyTo: a.Config.Mail.Vetting, Wake: func() { a.jobs.Wake() },
	})
	return nil
}

// enforceLifecycle brings the keystore to where the issuers stand, after reading keys
// that another server with the same directory has made.
func (a *App) enforceLifecycle(ctx context.Context) error {
	return errors.Join(a.Keys.Refresh(), a.Life.Enforce(ctx))
}

// showMail makes the message of a mail again for those who look at the history of mails,
// without what would open something.
func (a *App) showMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	if signin.IsTemplate(m.Template) && a.SignIn != nil {
		return a.SignIn.ShowMail(ctx, m)
	}
	message, err := a.renderMail(ctx, m)
	return notify.Masked(message), err
}

// renderMail makes the message of a mail of the outbox, by the package that wrote it.
func (a *App) renderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	if slices.Contains(lifecycle.Templates(), m.Template) {
		return a.Life.RenderMail(ctx, m)
	}
	if staff.IsTemplate(m.Template) {
		return a.Staff.RenderMail(ctx, m)
	}
	if m.Template == notify.TemplateClientCertsExpiring {
		return a.IAM.RenderMail(ctx, m)
	}
	if vetting.IsTemplate(m.Template) {
		return a.Vetting.RenderMail(ctx, m)
	}
	if slices.Contains(commerce.Templates(), m.Template) {
		return a.Commerce.RenderMail(ctx, m)
	}
	if signin.IsTemplate(m.Template) {
		if a.SignIn == nil { // the portal has gone, and its links with it
			return notify.Message{}, notify.ErrMoot
		}
		return a.SignIn.RenderMail(ctx, m)
	}
	return a.RA.RenderMail(ctx, m)
}

// checkMailbox reports what is wrong with an address that mail goes to.
func checkMailbox(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return fmt.Errorf("%q is not an address such as pki@example.com", address)
	}
	return nil
}
