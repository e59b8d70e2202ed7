package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// An AccountKind says whom an account is for.
type AccountKind string

// The kinds.
const (
	AccountDirect          AccountKind = "direct"           // for itself
	AccountServiceProvider AccountKind = "service_provider" // for its customers too
	AccountStaff           AccountKind = "staff"            // the CA's own
)

// A Company is what an account says of the organization that it belongs to.
type Company struct {
	Name       string `json:"name"`
	Street     string `json:"street,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Locality   string `json:"locality"`
	State      string `json:"state,omitempty"`
	Country    string `json:"country"` // ISO 3166-1, two capital letters
}

// A Profile is what a person says of themselves and their account at the first sign-in.
type Profile struct {
	Name, JobTitle, Phone, Locale string
	Company                       Company
	Kind                          AccountKind
}

// An AccountProfile is what is kept of an account's profile. The zero one is that of an
// account which an operator made.
type AccountProfile struct {
	Kind             AccountKind
	Company          Company
	AgreementVersion string // "": none was accepted
	AgreementAt      time.Time
	AgreementFrom    string // an address
	AgreementBy      telamon.UserID
}

// AccountProfile returns the profile of an account.
func (db *DB) AccountProfile(ctx context.Context, id telamon.AccountID) (AccountProfile, error) {
	p, err := accountProfile(ctx, db.queries(), id)
	return p, db.judge(ctx, err)
}

func accountProfile(ctx context.Context, q *queries.Queries, id telamon.AccountID) (AccountProfile, error) {
	rows, err := q.AccountProfile(ctx, id.String())
	if err != nil || len(rows) == 0 {
		return AccountProfile{}, err
	}
	r := rows[0]
	p := AccountProfile{
		Kind: AccountKind(r.Kind), AgreementVersion: r.AgreementVersion, AgreementAt: timeOrZero(r.AgreementAt),
		AgreementFrom: r.AgreementFrom, AgreementBy: telamon.UserID(r.AgreementBy),
	}
	if err := json.Unmarshal([]byte(r.Company), &p.Company); err != nil {
		return AccountProfile{}, fmt.Errorf("read the profile of %s: %w", id, err)
	}
	return p, nil
}

// CompleteProfile writes the profile of the actor and their account, and names the
// account after the company: if another one has that name, the end of the account's ID
// follows it. It reports Conflict with wrong_stage.
func (db *DB) CompleteProfile(ctx context.Context, actor telamon.Actor, p Profile) error {
	err := db.completeProfile(ctx, actor, p, p.Company.Name)
	if violates(err, "account_name_is_unique") {
		id := actor.Account.String()
		err = db.completeProfile(ctx, actor, p, fmt.Sprintf("%s (%s)", p.Company.Name, id[len(id)-8:]))
	}
	return err
}

func (db *DB) completeProfile(ctx context.Context, actor telamon.Actor, p Profile, name string) error {
	company, err := json.Marshal(p.Company)
	if err != nil {
		return fmt.Errorf("encode a company: %w", err)
	}
	return db.update(ctx, func(t *txn) error {
		if err := t.moveStage(ctx, actor.User, StageProfile, StageAgreement); err != nil {
			return err
		}
		_, err := t.DescribePerson(ctx, queries.DescribePersonParams{UserID: actor.User.String(), JobTitle: p.JobTitle, Phone: p.Phone})
		if err != nil {
			return fmt.Errorf("describe user %s: %w", actor.User, err)
		}
		err = mustChange(t.NamePerson(ctx, queries.NamePersonParams{
			AccountID: actor.Account.String(), ID: actor.User.String(), Name: p.Name, NameKey: nameKey(p.Name), Locale: p.Locale,
		}))
		if err != nil {
			return fmt.Errorf("name user %s: %w", actor.User, err)
		}
		if err := mustChange(t.NameAccount(ctx, queries.NameAccountParams{ID: actor.Account.String(), Name: name})); err != nil {
			return fmt.Errorf("name account %s: %w", actor.Account, err)
		}
		err = t.PutAccountProfile(ctx, queries.PutAccountProfileParams{AccountID: actor.Account.String(), Kind: string(p.Kind), Company: string(company)})
		if err != nil {
			return fmt.Errorf("write the profile of %s: %w", actor.Account, err)
		}
		if err := t.changed(ctx, ChangeUser, actor.User.String()); err != nil {
			return err
		}
		if err := t.changed(ctx, ChangeAccount, actor.Account.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: actor.Account, Action: "account.update", Object: actor.Account.String(), Result: "ok",
			After: map[string]any{"name": name, "kind": p.Kind, "company": p.Company, "person": p.Name},
		})
	})
}

// moveStage moves a person on. It reports Conflict with wrong_stage.
func (t *txn) moveStage(ctx context.Context, user telamon.UserID, from, to Stage) error {
	moved, err := t.MoveStage(ctx, queries.MoveStageParams{UserID: user.String(), FromStage: string(from), ToStage: string(to)})
	if err != nil {
		return fmt.Errorf("move user %s on: %w", user, err)
	}
	if moved != 1 {
		return fault.New(fault.Conflict, "wrong_stage", "This step is not the next one.")
	}
	return nil
}

// AcceptAgreement writes that the actor accepted a version of the agreement for their
// account. It reports Conflict with wrong_stage.
func (db *DB) AcceptAgreement(ctx context.Context, actor telamon.Actor, version string) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.moveStage(ctx, actor.User, StageAgreement, StageActive); err != nil {
			return err
		}
		err := mustChange(t.Queries.AcceptAgreement(ctx, queries.AcceptAgreementParams{
			AccountID: actor.Account.String(), Version: version, Now: t.millis(), Address: addressText(actor.Address),
			UserID: actor.User.String(),
		}))
		if err != nil {
			return fmt.Errorf("accept the agreement for %s: %w", actor.Account, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: actor.Account, Action: "account.accept_agreement", Object: actor.Account.String(), Result: "ok",
			After: map[string]any{"version": version},
		})
	})
}

// MakeStaffAccount says that an account is the CA's own. It reports NotFound.
func (db *DB) MakeStaffAccount(ctx context.Context, actor telamon.Actor, id telamon.AccountID) error {
	return db.update(ctx, func(t *txn) error {
		account, err := t.Account(ctx, id.String())
		if err != nil {
			return found(err, "account_not_found", "account")
		}
		before, err := accountProfile(ctx, t.Queries, id)
		if err != nil {
			return err
		}
		if before.Company.Name == "" {
			before.Company.Name = account.Name
		}
		company, err := json.Marshal(before.Company)
		if err != nil {
			return fmt.Errorf("encode a company: %w", err)
		}
		err = t.PutAccountProfile(ctx, queries.PutAccountProfileParams{AccountID: id.String(), Kind: string(AccountStaff), Company: string(company)})
		if err != nil {
			return fmt.Errorf("write the profile of %s: %w", id, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: id, Action: "account.make_staff", Object: id.String(), Result: "ok",
			Before: map[string]any{"kind": before.Kind}, After: map[string]any{"kind": AccountStaff},
		})
	})
}
