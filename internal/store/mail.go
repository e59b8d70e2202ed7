package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A MailState is what became of a mail.
type MailState string

// The states.
const (
	MailQueued MailState = "queued"
	MailSent   MailState = "sent"
	MailFailed MailState = "failed" // given up
)

// A Mail is a message of the outbox: a template and its parameters, from which the
// text is made when it is sent.
type Mail struct {
	ID        telamon.MailID // made by the store if it is empty
	Account   telamon.AccountID
	Recipient string
	Template  string
	Params    []byte // JSON, without secrets
	State     MailState
	LastError string
	CreatedAt time.Time
	EndedAt   time.Time // zero while it is queued
}

func (t *txn) insertMail(ctx context.Context, m Mail) error {
	id := cmp.Or(m.ID, telamon.NewMailID()).String()
	err := t.InsertMail(ctx, queries.InsertMailParams{
		ID: id, AccountID: m.Account.String(), Recipient: m.Recipient, Template: m.Template, Params: string(m.Params),
		CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("insert mail %s: %w", m.Template, err)
	}
	return t.putJob(ctx, Job{Kind: JobMailSend, Key: id, RunAt: t.now})
}

// Mail returns a mail of the outbox. It reports NotFound.
func (db *DB) Mail(ctx context.Context, id telamon.MailID) (*Mail, error) {
	r, err := db.queries().Mail(ctx, id.String())
	if err != nil {
		return nil, db.judge(ctx, found(err, "mail_not_found", "mail"))
	}
	m := mailOf(r)
	return &m, nil
}

// EndMail says what became of a queued mail: it was sent, or given up for a reason. A
// mail that has ended already stays as it is.
func (db *DB) EndMail(ctx context.Context, id telamon.MailID, state MailState, why string) error {
	return db.update(ctx, func(t *txn) error {
		_, err := t.Queries.EndMail(ctx, queries.EndMailParams{ID: id.String(), State: string(state), LastError: why, Now: t.millis()})
		if err != nil {
			return fmt.Errorf("end mail %s: %w", id, err)
		}
		return nil
	})
}
