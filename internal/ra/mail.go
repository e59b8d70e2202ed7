package ra

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// RenderMail makes the message of a mail that this package wrote. It reports
// notify.ErrMoot if what the mail is about is gone.
func (ra *RA) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	account, err := ra.store.Account(ctx, m.Account)
	if err != nil {
		return notify.Message{}, err
	}
	if m.Template == notify.TemplateClaimApproval {
		return ra.renderApproval(ctx, m, account.Name)
	}
	if m.Template == notify.TemplateCertificatesExpiring {
		return ra.renderCertificates(m, account.Name)
	}
	var p ClaimParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	if _, err := ra.store.AnyClaim(ctx, p.Claim); err != nil {
		if fault.Is(err, fault.NotFound) {
			return notify.Message{}, notify.ErrMoot
		}
		return notify.Message{}, err
	}
	return notify.Render(m.Template, notify.ClaimMail{
		Locale: p.Locale, Account: account.Name, Identity: p.Identity, Domain: p.Domain, Method: p.Method, Token: p.Token, Problem: p.Problem,
		Deadline: p.Deadline, Days: p.Days, PortalURL: ra.validation.PortalURL,
	})
}

// renderApproval makes the mail that asks for approval. The value of its link is made
// here and nowhere kept.
func (ra *RA) renderApproval(ctx context.Context, m *store.Mail, account string) (notify.Message, error) {
	var p approvalParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	approval, err := ra.store.Approval(ctx, p.Approval)
	if fault.Is(err, fault.NotFound) {
		return notify.Message{}, notify.ErrMoot
	}
	if err != nil {
		return notify.Message{}, err
	}
	switch err := ra.usable(ctx, approval); {
	case fault.Is(err, fault.Conflict): // the link would be dead on arrival
		return notify.Message{}, notify.ErrMoot
	case err != nil:
		return notify.Message{}, err
	}
	return notify.Render(m.Template, notify.ApprovalMail{
		Account: account, Domain: approval.Name, Address: approval.Address, Platform: ra.validation.Platform,
		Link: ra.validation.ApprovalURL + ra.ApprovalValue(approval), Expires: approval.ExpiresAt,
	})
}
