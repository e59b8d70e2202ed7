package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// ErrMoot says that there is nothing to tell any more: what a mail was about is gone.
var ErrMoot = errors.New("what the mail is about is gone")

// Outbox sends the mails that were written with what they tell of. A mail is sent at
// least once, with the same Message-ID each time.
type Outbox struct {
	Store *store.DB
	SMTP  *SMTP // nil: no mail leaves, and each is given up at once
	// Render makes the message of a mail. It may report ErrMoot.
	Render func(ctx context.Context, m *store.Mail) (Message, error)
}

// errNoSMTP is why mails are given up by an installation that sends none.
var errNoSMTP = errors.New("mail is not configured")

// Send sends the mail of a job of kind store.JobMailSend. An error of it means that it
// is to be tried again. It is a jobs.Handler's Run.
func (o *Outbox) Send(ctx context.Context, job store.Job) (time.Time, error) {
	m, err := o.Store.Mail(ctx, telamon.MailID(job.Key))
	if fault.Is(err, fault.NotFound) {
		return time.Time{}, nil
	}
	if err != nil || m.State != store.MailQueued {
		return time.Time{}, err
	}
	if o.SMTP == nil {
		return time.Time{}, o.Store.EndMail(ctx, m.ID, store.MailFailed, errNoSMTP.Error())
	}
	message, err := o.Render(ctx, m)
	if errors.Is(err, ErrMoot) {
		return time.Time{}, o.Store.EndMail(ctx, m.ID, store.MailFailed, ErrMoot.Error())
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("render mail %s: %w", m.ID, err)
	}
	message.To, message.ID = m.Recipient, m.ID.String()
	switch err := o.SMTP.Send(ctx, message); {
	case IsPermanent(err):
		return time.Time{}, o.Store.EndMail(ctx, m.ID, store.MailFailed, err.Error())
	case err != nil:
		return time.Time{}, err
	}
	return time.Time{}, o.Store.EndMail(ctx, m.ID, store.MailSent, "")
}

// GiveUp ends a mail that could not be sent. It is a jobs.Handler's GivenUp.
func (o *Outbox) GiveUp(ctx context.Context, job store.Job, cause error) error {
	return o.Store.EndMail(ctx, telamon.MailID(job.Key), store.MailFailed, cause.Error())
}
