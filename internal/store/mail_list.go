package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A MailFilter says which mails to list, the newest first. Empty members are not asked for.
type MailFilter struct {
	Account   telamon.AccountID // empty: those of all accounts, and the platform's own
	Recipient string            // a part of it, without regard to case
	Template  string
	State     MailState
	From      time.Time // when they were written; inclusive
	To        time.Time // exclusive
	After     telamon.MailID
	Limit     int // 1 to 1000; 0 is 100
}

// A MailPage is a part of a list of mails.
type MailPage struct {
	Mails []Mail
	// Next is After for the following page, which may be empty; it is empty itself at the
	// end of the list.
	Next telamon.MailID
}

// Bounds of Mails: what it looks at for a page, and that at a time.
const (
	maxMailScan  = 10_000
	mailScanStep = 500
	lastOfIDs    = "~" // after every ID
)

// Mails returns a page of the mails that the filter asks for, as [DB.AuditEvents] does of
// events: the cost of a page is bounded, so that it may have fewer mails than its limit, or
// none, although there are more.
func (db *DB) Mails(ctx context.Context, f MailFilter) (MailPage, error) {
	if f.Limit <= 0 || f.Limit > 1000 {
		f.Limit = 100
	}
	var page MailPage
	before := lastOfIDs
	if f.After != "" {
		before = f.After.String()
	}
	for range maxMailScan / mailScanStep {
		rows, err := f.scan(ctx, db.queries(), before)
		if err != nil {
			return MailPage{}, db.judge(ctx, fmt.Errorf("list mails: %w", err))
		}
		for _, r := range rows {
			before, page.Next = r.ID, telamon.MailID(r.ID)
			m := mailOf(r)
			if !f.matches(&m) {
				continue
			}
			if page.Mails = append(page.Mails, m); len(page.Mails) == f.Limit {
				return page, nil
			}
		}
		if len(rows) < mailScanStep {
			page.Next = ""
			return page, nil
		}
	}
	return page, nil
}

func (f *MailFilter) scan(ctx context.Context, q *queries.Queries, before string) ([]queries.Mail, error) {
	if f.Account == "" {
		return q.AllMails(ctx, queries.AllMailsParams{Before: before, Lim: mailScanStep})
	}
	return q.MailsOf(ctx, queries.MailsOfParams{AccountID: f.Account.String(), Before: before, Lim: mailScanStep})
}

func (f *MailFilter) matches(m *Mail) bool {
	return (f.Recipient == "" || strings.Contains(strings.ToLower(m.Recipient), strings.ToLower(f.Recipient))) &&
		(f.Template == "" || m.Template == f.Template) && (f.State == "" || m.State == f.State) &&
		(f.From.IsZero() || !m.CreatedAt.Before(f.From)) && (f.To.IsZero() || m.CreatedAt.Before(f.To))
}

func mailOf(r queries.Mail) Mail {
	return Mail{
		ID: telamon.MailID(r.ID), Account: telamon.AccountID(r.AccountID), Recipient: r.Recipient, Template: r.Template, Params: []byte(r.Params),
		State: MailState(r.State), LastError: r.LastError, CreatedAt: timeOf(r.CreatedAt), EndedAt: timeOrZero(r.EndedAt),
	}
}

// AccountSettings are what an account has chosen.
type AccountSettings struct {
	MailHistory bool // its administrators see which mails were sent
}

// AccountSettings returns what an account has chosen, or what holds until it does.
func (db *DB) AccountSettings(ctx context.Context, account telamon.AccountID) (AccountSettings, error) {
	rows, err := db.queries().AccountSetting(ctx, account.String())
	if err != nil {
		return AccountSettings{}, db.judge(ctx, fmt.Errorf("read the settings of %s: %w", account, err))
	}
	if len(rows) == 0 {
		return AccountSettings{MailHistory: true}, nil
	}
	return AccountSettings{MailHistory: rows[0].MailHistory}, nil
}

// PutAccountSettings replaces what an account has chosen. It reports NotFound.
func (db *DB) PutAccountSettings(ctx context.Context, actor telamon.Actor, account telamon.AccountID, s AccountSettings) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.lockAccount(ctx, account); err != nil {
			return err
		}
		before := AccountSettings{MailHistory: true}
		rows, err := t.AccountSetting(ctx, account.String())
		if err != nil {
			return fmt.Errorf("read the settings of %s: %w", account, err)
		}
		if len(rows) > 0 {
			before.MailHistory = rows[0].MailHistory
		}
		if err := t.PutAccountSetting(ctx, queries.PutAccountSettingParams{AccountID: account.String(), MailHistory: s.MailHistory}); err != nil {
			return fmt.Errorf("change the settings of %s: %w", account, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "account.settings", Object: account.String(), Result: "ok",
			Before: map[string]any{"mail_history": before.MailHistory}, After: map[string]any{"mail_history": s.MailHistory},
		})
	})
}
