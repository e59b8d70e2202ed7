package ra

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// How many days before a deadline people are told. A deadline that was set fewer days
// ahead has only the later ones.
var (
	tokenReminders  = []int{7, 1}
	expiryReminders = []int{30, 14, 7, 1}
)

const day = 24 * time.Hour

// ClaimParams are the parameters of mails about a claim.
type ClaimParams struct {
	Locale   string          `json:"locale,omitempty"` // of the reader
	Claim    telamon.ClaimID `json:"claim"`
	Identity string          `json:"identity"` // its name
	Domain   string          `json:"domain"`
	Method   string          `json:"method,omitempty"` // the section of the rule
	Token    string          `json:"token,omitempty"`  // the value to publish, which the DNS makes public
	Problem  string          `json:"problem,omitempty"`
	Deadline time.Time       `json:"deadline"`
	Days     int             `json:"days,omitempty"` // left until then
}

// recipientRoles are the roles of those who are told of an account's domains.
var recipientRoles = []string{"administrator", "manage_domains"}

// maxRecipients is how many people of an account are told of a claim.
const maxRecipients = 20

// recipients returns the people of an account who have one of the roles, of whom mails
// need the address and the locale.
func (ra *RA) recipients(ctx context.Context, account telamon.AccountID, roles []string) ([]telamon.User, error) {
	users, err := ra.store.Users(ctx, account, store.Page{Limit: 1000})
	if err != nil {
		return nil, err
	}
	var people []telamon.User
	for _, u := range users {
		cares := slices.ContainsFunc(u.Roles, func(role string) bool { return slices.Contains(roles, role) })
		if cares && u.State == telamon.Active && len(people) < maxRecipients {
			people = append(people, u)
		}
	}
	return people, nil
}

// mails returns a mail of the template about the claim to each of its people.
func (ra *RA) mails(ctx context.Context, claim *telamon.Claim, template string, params ClaimParams) ([]store.Mail, error) {
	people, err := ra.recipients(ctx, claim.Account, recipientRoles)
	if err != nil || len(people) == 0 {
		return nil, err
	}
	identity, err := ra.store.Identity(ctx, claim.Account, claim.Identity)
	if err != nil {
		return nil, err
	}
	params.Claim, params.Identity, params.Domain = claim.ID, identity.Name, claim.Name
	mails := make([]store.Mail, len(people))
	for i, person := range people {
		params.Locale = person.Locale
		text, err := json.Marshal(params)
		if err != nil {
			return nil, fmt.Errorf("encode a mail about claim %s: %w", claim.ID, err)
		}
		mails[i] = store.Mail{Account: claim.Account, Recipient: person.Email, Template: template, Params: text}
	}
	return mails, nil
}

// tokenIssued is what comes with a new token: its mail, and the next reminder.
func (ra *RA) tokenIssued(ctx context.Context, _ *directory.Scope, claim *telamon.Claim) (store.Extra, error) {
	return ra.reminders(ctx, claim, notify.TemplateClaimTokenIssued, "")
}

// reminders returns a mail of the template about a claim as it will be, and the job
// that reminds of its next deadline.
func (ra *RA) reminders(ctx context.Context, claim *telamon.Claim, template, problem string) (store.Extra, error) {
	params := ClaimParams{Problem: problem, Deadline: claim.AssertBy}
	switch template {
	case notify.TemplateClaimTokenIssued:
		params.Token = ra.TokenValue(claim)
	case notify.TemplateClaimVerified:
		params.Deadline, params.Method = claim.ExpiresAt, claim.Method.Rule(claim.Kind)
	}
	now := ra.clock.Now()
	params.Days = daysLeft(params.Deadline, now)
	mails, err := ra.mails(ctx, claim, template, params)
	if err != nil {
		return store.Extra{}, err
	}
	extra := store.Extra{Mails: mails}
	if next := nextReminder(claim, now); !next.IsZero() {
		extra.Jobs = append(extra.Jobs, store.Job{Kind: store.JobClaimRemind, Key: claim.ID.String(), RunAt: next})
	}
	return extra, nil
}

// daysLeft is how many days are left until a deadline, rounded up.
func daysLeft(deadline, now time.Time) int {
	return max(int(math.Ceil(deadline.Sub(now).Hours()/24)), 0)
}

// A reminder is a moment at which something is to be said or done about a claim.
type reminder struct {
	at     time.Time
	expiry bool // of the verification, and not of the token
}

// remindersOf returns the moments of a claim, in no order: the days before the
// deadline of its open token, and those before its verification expires, with the
// moment at which it does, of which no mail tells.
func remindersOf(claim *telamon.Claim) []reminder {
	var all []reminder
	add := func(from, deadline time.Time, days []int, expiry bool) {
		for _, n := range days {
			if at := deadline.Add(-time.Duration(n) * day); at.After(from) {
				all = append(all, reminder{at, expiry})
			}
		}
	}
	if claim.Open {
		add(claim.TokenAt, claim.AssertBy, tokenReminders, false)
	}
	if claim.Status == telamon.ClaimVerified {
		add(claim.VerifiedAt, claim.ExpiresAt, append(expiryReminders, 0), true)
	}
	return all
}

// nextReminder returns the next moment after now, zero if there is none.
func nextReminder(claim *telamon.Claim, now time.Time) time.Time {
	var next time.Time
	for _, r := range remindersOf(claim) {
		if r.at.After(now) && (next.IsZero() || r.at.Before(next)) {
			next = r.at
		}
	}
	return next
}

// dueReminders returns what is to be told now of what was due since the time: the
// latest of each kind, unless its deadline has passed.
func dueReminders(claim *telamon.Claim, since, now time.Time) []reminder {
	latest := map[bool]reminder{}
	for _, r := range remindersOf(claim) {
		deadline := claim.AssertBy
		if r.expiry {
			deadline = claim.ExpiresAt
		}
		if r.at.Before(since) || r.at.After(now) || !now.Before(deadline) {
			continue
		}
		if old, ok := latest[r.expiry]; !ok || r.at.After(old.at) {
			latest[r.expiry] = r
		}
	}
	return slices.Collect(maps.Values(latest))
}

// remind does the job of a claim's deadlines: mails what is due, makes the claim
// pending when its verification has expired, and comes again at the next moment. A
// process that comes late says only the latest of each kind.
func (ra *RA) remind(ctx context.Context, job store.Job) (time.Time, error) {
	claim, err := ra.store.AnyClaim(ctx, telamon.ClaimID(job.Key))
	if fault.Is(err, fault.NotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	now := ra.clock.Now()
	var extra store.Extra
	for _, due := range dueReminders(claim, job.RunAt, now) {
		template, deadline := notify.TemplateClaimTokenExpiring, claim.AssertBy
		if due.expiry {
			template, deadline = notify.TemplateClaimExpiring, claim.ExpiresAt
		}
		mails, err := ra.mails(ctx, claim, template, ClaimParams{Deadline: deadline, Days: daysLeft(deadline, now)})
		if err != nil {
			return time.Time{}, err
		}
		extra.Mails = append(extra.Mails, mails...)
	}
	if next := nextReminder(claim, now); !next.IsZero() { // takes this job's place, in one transaction with the mails
		extra.Jobs = append(extra.Jobs, store.Job{Kind: store.JobClaimRemind, Key: job.Key, RunAt: next})
	}
	if claim.Status == telamon.ClaimVerified && !now.Before(claim.ExpiresAt) {
		_, err = ra.store.ExpireClaim(ctx, telamon.Actor{Kind: telamon.ActorSystem, Account: claim.Account}, claim.ID, extra)
	} else {
		err = ra.store.PutExtra(ctx, extra)
	}
	ra.wake()
	return time.Time{}, err
}
