package vetting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

const (
	day = 24 * time.Hour
	// ahead is how long before its end an identity is first told of.
	ahead = 60 * day
	// lookEvery is how often the job looks for identities that end. Nothing is issued for
	// one that has ended, whether the job has seen it or not.
	lookEvery = time.Hour
	// atATime is how many identities are read at a time.
	atATime = 500
)

// Handlers returns what does the jobs of this package.
func (v *Vetting) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{store.JobIdentityEnd: {Run: v.end, AtOnce: 1, Lease: time.Minute}}
}

// StartJobs makes sure that the work that comes again by itself is there. It is called at
// each start.
func (v *Vetting) StartJobs(ctx context.Context) error {
	return v.store.EnsureJob(ctx, store.Job{Kind: store.JobIdentityEnd, RunAt: v.clock.Now()})
}

// end does the hourly job: it lets identities expire whose vetting has run out, and tells
// the account of those whose will, once for each step. A job that is done again tells
// nobody twice.
func (v *Vetting) end(ctx context.Context, _ store.Job) (time.Time, error) {
	now := v.clock.Now()
	var after store.EndingIdentity
	for {
		list, err := v.store.EndingIdentities(ctx, now.Add(ahead), after, atATime)
		if err != nil {
			return time.Time{}, err
		}
		for i := range list {
			if err := v.endOne(ctx, &list[i], now); err != nil {
				return time.Time{}, fmt.Errorf("end of identity %s: %w", list[i].ID, err)
			}
		}
		if len(list) < atATime {
			break
		}
		after = list[len(list)-1]
	}
	v.wake()
	return now.Add(lookEvery), nil
}

func (v *Vetting) endOne(ctx context.Context, i *store.EndingIdentity, now time.Time) error {
	if now.Before(i.ExpiresAt) {
		step := telamon.IdentityReminder(i.ExpiresAt, now)
		if step == 0 || i.ToldDays != 0 && i.ToldDays <= step {
			return nil
		}
		return v.store.RemindOfIdentity(ctx, i, step, int(math.Ceil(i.ExpiresAt.Sub(now).Hours()/24)))
	}
	platform := telamon.Actor{Kind: telamon.ActorSystem, Account: i.Account}
	err := v.store.MoveIdentity(ctx, platform, i.Account, i.ID, store.IdentityMove{
		From: telamon.IdentityActive, To: telamon.IdentityExpired, Action: string(authz.IdentityExpire), ExpiresAt: i.ExpiresAt,
	})
	if fault.Is(err, fault.Conflict) {
		return nil // it was withdrawn meanwhile
	}
	if err == nil {
		v.directory.Refresh(ctx, store.Change{Kind: store.ChangeIdentity, Object: i.ID.String()})
	}
	return err
}

// IsTemplate reports whether RenderMail makes the mails of this template.
func IsTemplate(name string) bool { return slices.Contains(notify.IdentityTemplates(), name) }

// RenderMail makes the message of a mail about an identity. It reports notify.ErrMoot if
// there is no such identity any more.
func (v *Vetting) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	var p store.IdentityParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	account, err := v.store.Account(ctx, m.Account)
	if err != nil {
		return notify.Message{}, err
	}
	identity, err := v.store.Identity(ctx, m.Account, p.Identity)
	if fault.Is(err, fault.NotFound) {
		return notify.Message{}, errors.Join(notify.ErrMoot, err)
	}
	if err != nil {
		return notify.Message{}, err
	}
	mail := notify.IdentityMail{
		Locale: p.Locale, Platform: v.platform, Account: account.Name, Identity: identity.Name, Expires: p.Expires, Days: p.Days, ReplyTo: v.replyTo,
	}
	if v.portalURL != "" {
		mail.Link = v.portalURL + IdentitiesPath + "/" + p.Identity.String()
	}
	if p.Case != "" {
		c, err := v.store.VettingCase(ctx, p.Case)
		if err != nil {
			return notify.Message{}, err
		}
		mail.Case, mail.Again = c.Reference(), c.Again
		if c.State == telamon.VettingRejected {
			mail.Reason = c.Reason
		}
	}
	return notify.RenderIdentity(m.Template, mail)
}

// IdentitiesPath is the path of the portal's page of identities, below which each has its
// own.
const IdentitiesPath = "/identities"
