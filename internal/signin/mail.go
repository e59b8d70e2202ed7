package signin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// What notices tell of: of notify.LetterNotices.
const (
	noticeLocked        = "locked"
	noticePassword      = "password"
	noticeFactorAdded   = "factor_added"
	noticeFactorRemoved = "factor_removed"
	noticeRecoveryCode  = "recovery_code"
)

// notice is a mail that tells a person what was done to their sign-in.
func notice(what string, from Client) store.NoticeParams {
	p := store.NoticeParams{What: what}
	if from.Address.IsValid() {
		p.Address = from.Address.Unmap().String()
	}
	return p
}

// Templates returns the names of the mails that RenderMail makes.
func Templates() []string { return notify.LetterTemplates() }

// IsTemplate reports whether RenderMail makes the mails of this template.
func IsTemplate(name string) bool { return slices.Contains(Templates(), name) }

// RenderMail makes the message of a mail that this package wrote. The value in its link is
// made here and nowhere kept. It reports notify.ErrMoot once a link cannot be used.
func (s *Service) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	l := notify.Letter{Platform: s.platform, Link: s.portalURL + SignInPath, At: m.CreatedAt}
	if m.Account != "" {
		account, err := s.store.Account(ctx, m.Account)
		if err != nil {
			return notify.Message{}, err
		}
		l.Account = account.Name
	}
	if m.Template == store.TemplateNotice {
		var p store.NoticeParams
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
		}
		l.Locale, l.What, l.From = p.Locale, p.What, p.Address
		return notify.RenderLetter(m.Template, l)
	}
	return s.renderLink(ctx, m, l)
}

// renderLink makes a mail with a link.
func (s *Service) renderLink(ctx context.Context, m *store.Mail, l notify.Letter) (notify.Message, error) {
	var p store.LinkParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	link, err := s.store.MailedLink(ctx, p.Link)
	if fault.Is(err, fault.NotFound) {
		return notify.Message{}, notify.ErrMoot
	}
	if err != nil {
		return notify.Message{}, err
	}
	l.Locale, l.Expires = p.Locale, link.ExpiresAt
	if path := linkPaths[link.Purpose]; path != "" {
		l.Link = s.portalURL + path + s.linkValue(link)
	}
	if link.Purpose == store.LinkInvite {
		if l.Person, err = s.inviter(ctx, telamon.InvitationID(link.Subject)); err != nil {
			return notify.Message{}, err
		}
	}
	return notify.RenderLetter(m.Template, l)
}

// ShowMail is RenderMail for those who look at the history of mails: a link has no value, and
// may be used or have ended. It reports notify.ErrMoot if the link is forgotten.
func (s *Service) ShowMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	if m.Template == store.TemplateNotice {
		return s.RenderMail(ctx, m)
	}
	var p store.LinkParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	link, err := s.store.AnyMailedLink(ctx, p.Link)
	if fault.Is(err, fault.NotFound) {
		return notify.Message{}, notify.ErrMoot
	}
	if err != nil {
		return notify.Message{}, err
	}
	l := notify.Letter{Platform: s.platform, Link: s.portalURL + SignInPath, At: m.CreatedAt, Locale: p.Locale, Expires: link.ExpiresAt}
	if m.Account != "" {
		account, err := s.store.Account(ctx, m.Account)
		if err != nil {
			return notify.Message{}, err
		}
		l.Account = account.Name
	}
	if path := linkPaths[link.Purpose]; path != "" {
		l.Link = s.portalURL + path + hiddenValue
	}
	if link.Purpose == store.LinkInvite {
		if l.Person, err = s.inviter(ctx, telamon.InvitationID(link.Subject)); err != nil {
			return notify.Message{}, err
		}
	}
	message, err := notify.RenderLetter(m.Template, l)
	return notify.Masked(message), err
}

// hiddenValue stands in the place of a link's value. It is masked, too.
var hiddenValue = strings.Repeat("-", 64)

// linkPaths are the pages to which mailed links lead.
var linkPaths = map[store.LinkPurpose]string{store.LinkVerify: VerifyPath, store.LinkReset: ResetPath, store.LinkInvite: InvitationPath}

// inviter returns the name of who invites, "" for operators.
func (s *Service) inviter(ctx context.Context, id telamon.InvitationID) (string, error) {
	i, err := s.store.Invitation(ctx, id)
	if err != nil || i.InvitedBy == "" {
		return "", err
	}
	user, err := s.store.User(ctx, i.Account, i.InvitedBy)
	return user.Name, err
}
