package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// The templates of mails about an identity. They take IdentityParams.
const (
	TemplateIdentityQueued    = "identity_queued"
	TemplateIdentityProcessed = "identity_processed"
	TemplateIdentityActive    = "identity_active"
	TemplateIdentityRejected  = "identity_rejected"
	TemplateIdentityExpiring  = "identity_expiring"
	TemplateIdentityExpired   = "identity_expired"
)

// IdentityParams are the parameters of a mail about an identity.
type IdentityParams struct {
	Identity telamon.IdentityID    `json:"identity"`
	Case     telamon.VettingCaseID `json:"case,omitempty"`
	Locale   string                `json:"locale"`
	Expires  time.Time             `json:"expires,omitzero"`
	Days     int                   `json:"days,omitempty"` // left until then
}

// identityRoles are the roles of those who are told of an account's identities.
var identityRoles = []string{"administrator", "manage_identities"}

// Bounds of who is told.
const (
	maxToldUsers = 20
	maxSeenUsers = 1000
)

// tellOfIdentity writes a mail to each person of the account who cares for identities.
func (t *txn) tellOfIdentity(ctx context.Context, i *telamon.Identity, template string, p IdentityParams) error {
	rows, err := t.LiveUsers(ctx, queries.LiveUsersParams{AccountID: i.Account.String(), Kind: string(telamon.StandardUser), Lim: maxSeenUsers})
	if err != nil {
		return fmt.Errorf("list the users of %s: %w", i.Account, err)
	}
	p.Identity = i.ID
	told := 0
	for _, row := range rows {
		u := userOf(row)
		cares := slices.ContainsFunc(u.Roles, func(role string) bool { return slices.Contains(identityRoles, role) })
		if !cares || u.Status(t.now) != telamon.UserActive || told == maxToldUsers {
			continue
		}
		told++
		p.Locale = u.Locale
		if err := t.mailParams(ctx, i.Account, u.Email, template, p); err != nil {
			return err
		}
	}
	return nil
}

// An EndingIdentity is an active identity that has an end.
type EndingIdentity struct {
	telamon.Identity
	ToldDays int // the last step of its reminders; 0: none
}

// EndingIdentities lists the active identities that end by an instant, in the order of
// their ends, after the one that is given; the zero one begins.
func (db *DB) EndingIdentities(ctx context.Context, until time.Time, after EndingIdentity, limit int) ([]EndingIdentity, error) {
	afterAt := int64(0)
	if !after.ExpiresAt.IsZero() {
		afterAt = after.ExpiresAt.UnixMilli()
	}
	rows, err := db.queries().EndingIdentities(ctx, queries.EndingIdentitiesParams{
		Until: until.UnixMilli(), AfterAt: afterAt, After: after.ID.String(), Lim: int32(limit),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list identities that end: %w", err))
	}
	return mappedOrError(rows, func(r queries.Identity) (EndingIdentity, error) {
		i, err := identityOf(r)
		return EndingIdentity{i, int(r.ToldDays)}, err
	})
}

// RemindOfIdentity writes the mails that tell of an identity's end so many days ahead, once
// for each step: it does nothing if the step was told, or the identity has another end or
// state by now.
func (db *DB) RemindOfIdentity(ctx context.Context, i *EndingIdentity, step, days int) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.NoteIdentityTold(ctx, queries.NoteIdentityToldParams{
			ID: i.ID.String(), ExpiresAt: i.ExpiresAt.UnixMilli(), Before: int64(i.ToldDays), ToldDays: int64(step),
		})
		if err != nil {
			return fmt.Errorf("note that identity %s was reminded of: %w", i.ID, err)
		}
		if changed != 1 {
			return nil
		}
		return t.tellOfIdentity(ctx, &i.Identity, TemplateIdentityExpiring, IdentityParams{Expires: i.ExpiresAt, Days: days})
	})
}
