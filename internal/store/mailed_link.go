package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A LinkPurpose says what a mailed link is for.
type LinkPurpose string

// The purposes.
const (
	LinkVerify LinkPurpose = "verify" // ends a registration
	LinkKnown  LinkPurpose = "known"  // tells its owner that an address was registered again; it opens nothing
	LinkReset  LinkPurpose = "reset"  // sets a new password
	LinkInvite LinkPurpose = "invite" // makes a user of somebody who was invited
)

// A MailedLink is a link in a mail, for one use. The value in the link is made from the
// nonce under a key of the keystore and is kept nowhere.
type MailedLink struct {
	ID        telamon.MailedLinkID
	Purpose   LinkPurpose
	Email     string // the mailbox
	Subject   string // ID of the registration, user or invitation; "" for nobody
	Nonce     []byte
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero: not yet
}

// maxMailedLinks is how many links are made for one mailbox in a day, for whatever
// purpose: nobody's mailbox is to be flooded.
const maxMailedLinks = 20

// TemplateOf returns the name of the template of mails with a link.
func (p LinkPurpose) TemplateOf() string { return "sign_in_" + string(p) }

// LinkParams are the parameters of a mail with a link, as JSON.
type LinkParams struct {
	Link   telamon.MailedLinkID `json:"link"`
	Locale string               `json:"locale"`
}

// errLink is the fault of every link that is not good, for whatever reason.
func errLink() error {
	return fault.New(fault.NotFound, "link_invalid", "This link is no longer valid. Request a new one.")
}

// MailedLink returns a link that can still be used. It reports NotFound with
// link_invalid otherwise.
func (db *DB) MailedLink(ctx context.Context, id telamon.MailedLinkID) (*MailedLink, error) {
	l, err := db.AnyMailedLink(ctx, id)
	if err != nil {
		return nil, err
	}
	if !l.UsedAt.IsZero() || !db.clock.Now().Before(l.ExpiresAt) {
		return nil, errLink()
	}
	return l, nil
}

// AnyMailedLink returns a link, which may be used or have ended. It reports NotFound with
// link_invalid.
func (db *DB) AnyMailedLink(ctx context.Context, id telamon.MailedLinkID) (*MailedLink, error) {
	r, err := db.queries().MailedLink(ctx, id.String())
	if err != nil {
		if err = db.judge(ctx, found(err, "link_invalid", "link")); fault.Is(err, fault.NotFound) {
			err = errLink()
		}
		return nil, err
	}
	return &MailedLink{
		ID: id, Purpose: LinkPurpose(r.Purpose), Email: r.Email, Subject: r.Subject, Nonce: r.Nonce,
		CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt), UsedAt: timeOrZero(r.UsedAt),
	}, nil
}

// errMailLimit ends a transaction that would mail one link too many.
var errMailLimit = errors.New("too many links were mailed to this address today")

// mailLink writes a link and, if somebody is to get it, the mail.
func (t *txn) mailLink(ctx context.Context, l *MailedLink, account telamon.AccountID, locale string) error {
	n, err := t.CountMailedLinks(ctx, queries.CountMailedLinksParams{Email: l.Email, Since: t.now.Add(-24 * time.Hour).UnixMilli()})
	if err != nil {
		return fmt.Errorf("count the links mailed to an address: %w", err)
	}
	if n >= maxMailedLinks {
		return errMailLimit
	}
	l.CreatedAt = timeOf(t.millis())
	err = t.InsertMailedLink(ctx, queries.InsertMailedLinkParams{
		ID: l.ID.String(), Purpose: string(l.Purpose), Email: l.Email, Subject: l.Subject, Nonce: l.Nonce, CreatedAt: t.millis(),
		ExpiresAt: l.ExpiresAt.UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("insert link %s: %w", l.ID, err)
	}
	if l.Subject == "" {
		return nil
	}
	return t.mailParams(ctx, account, l.Email, l.Purpose.TemplateOf(), LinkParams{Link: l.ID, Locale: locale})
}

// mailParams writes a mail whose parameters are JSON.
func (t *txn) mailParams(ctx context.Context, account telamon.AccountID, to, template string, params any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("encode the parameters of %s: %w", template, err)
	}
	return t.insertMail(ctx, Mail{Account: account, Recipient: to, Template: template, Params: text})
}

// useLink uses a link of a purpose up.
func (t *txn) useLink(ctx context.Context, l *MailedLink, purpose LinkPurpose) error {
	if l.Purpose != purpose || l.Subject == "" {
		return errLink()
	}
	used, err := t.UseMailedLink(ctx, queries.UseMailedLinkParams{ID: l.ID.String(), Now: t.millis()})
	if err != nil {
		return fmt.Errorf("use link %s: %w", l.ID, err)
	}
	if used != 1 {
		return errLink()
	}
	return nil
}
