package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// An Account is a tenant.
type Account struct {
	ID        telamon.AccountID `json:"id"`
	Name      string            `json:"name"`
	State     telamon.State     `json:"state"`
	CreatedAt time.Time         `json:"created_at"`
	ServicePeriod
}

// A ServicePeriod is the time in which an account's users may act: its first and its last
// instant. One that is left out is no bound.
type ServicePeriod struct {
	StartsAt *time.Time `json:"starts_at,omitempty"`
	EndsAt   *time.Time `json:"ends_at,omitempty"`
}

func (p ServicePeriod) period() (iam.Period, error) {
	end, err := endOf(p.EndsAt)
	return iam.Period{StartsAt: valueOf(p.StartsAt), EndsAt: end}, err
}

func accountOf(a telamon.Account) Account {
	return Account{
		ID: a.ID, Name: a.Name, State: a.State, CreatedAt: a.CreatedAt,
		ServicePeriod: ServicePeriod{StartsAt: timeOf(a.StartsAt), EndsAt: timeOf(a.EndsAt)},
	}
}

// NewAccount is the body that makes an account.
type NewAccount struct {
	Name string `json:"name"`
	ServicePeriod
}

// A User is a person of an account, or a machine's login.
type User struct {
	ID          telamon.UserID   `json:"id"`
	Kind        telamon.UserKind `json:"kind"`
	Email       string           `json:"email"`
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"`
	Roles       []string         `json:"roles"`
	State       telamon.State    `json:"state"`
	EndsAt      *time.Time       `json:"ends_at,omitempty"`   // the last second
	LockedAt    *time.Time       `json:"locked_at,omitempty"` // only while the user is locked
	CreatedAt   time.Time        `json:"created_at"`
}

func userOf(u telamon.User) User {
	return User{
		ID: u.ID, Kind: u.Kind, Email: u.Email, Name: u.Name, Description: u.Description, Roles: orEmpty(u.Roles), State: u.State, EndsAt: timeOf(u.EndsAt),
		LockedAt: timeOf(u.LockedAt), CreatedAt: u.CreatedAt,
	}
}

// NewUser is the body that makes a user: a person, unless it is of the kind "service". A
// person without a password has none yet; a service user has none ever.
type NewUser struct {
	Kind        telamon.UserKind `json:"kind,omitempty"`
	Email       string           `json:"email"`
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"` // of a service user
	Roles       []string         `json:"roles"`
	EndsAt      *time.Time       `json:"ends_at,omitempty"` // of a service user: the last second
	Password    string           `json:"password,omitempty"`
}

// A CreatedUser is a user who was just made; a service user comes with an API token, which
// is shown once.
type CreatedUser struct {
	User
	APIToken string `json:"api_token,omitempty"`
}

// UserChange is the body that changes a user. What is left out stays as it is.
type UserChange struct {
	Email       *string    `json:"email,omitempty"`
	Name        *string    `json:"name,omitempty"`
	Description *string    `json:"description,omitempty"`
	Roles       []string   `json:"roles,omitempty"`
	EndsAt      *time.Time `json:"ends_at,omitempty"`
	NoEnd       bool       `json:"no_end,omitempty"` // removes the end
}

func (in *UserChange) change() (iam.UserChange, error) {
	end, err := newEnd(in.EndsAt, in.NoEnd)
	return iam.UserChange{Name: in.Name, Description: in.Description, Email: in.Email, Roles: in.Roles, EndsAt: end}, err
}

// newEnd returns the end that a change gives: nil leaves it, the zero time removes it. It
// reports what endOf does.
func newEnd(end *time.Time, none bool) (*time.Time, error) {
	if none {
		return &time.Time{}, nil
	}
	_, err := endOf(end)
	return end, err
}

// endOf returns the end that a body gives, the zero time if it gives none. It reports
// Invalid for the zero time itself, which would be taken for no end.
func endOf(end *time.Time) (time.Time, error) {
	if end != nil && end.IsZero() {
		return time.Time{}, &fault.Fault{
			Kind: fault.Invalid, Code: "invalid_end", Detail: "The end is refused.",
			Fields: []fault.Field{{Path: "ends_at", Problem: "is in the year 1: leave it out for no end"}},
		}
	}
	return valueOf(end), nil
}

// Password is the body that sets a user's password.
type Password struct {
	Password string `json:"password"`
}

// An Identity is vetted data whose members a subject may carry.
type Identity struct {
	ID        telamon.IdentityID    `json:"id"`
	Name      string                `json:"name"`
	Data      map[string]string     `json:"data"`
	State     telamon.IdentityState `json:"state"`
	ExpiresAt *time.Time            `json:"expires_at,omitempty"`
	CreatedAt time.Time             `json:"created_at"`
}

func identityOf(i telamon.Identity) Identity {
	return Identity{ID: i.ID, Name: i.Name, Data: i.Data, State: i.State, ExpiresAt: timeOf(i.ExpiresAt), CreatedAt: i.CreatedAt}
}

// IdentityData is the body that makes an identity, or edits a draft.
type IdentityData struct {
	Name string            `json:"name"`
	Data map[string]string `json:"data"`
}

// IdentityMove is the body that moves an identity to another state.
type IdentityMove struct {
	To        telamon.IdentityState `json:"to"`
	Reason    string                `json:"reason,omitempty"`
	ExpiresAt *time.Time            `json:"expires_at,omitempty"`
}

// timeOf leaves out a time that is not set.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// valueOf is the reverse of timeOf.
func valueOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// account returns the account that the path names, by ID or by name.
func (c *call) account(ctx context.Context) (telamon.Account, error) {
	return c.accountNamed(ctx, c.r.PathValue("account"))
}

// accountID returns the ID of the account that the path names, for use cases that check
// whose it is. Whoever sees their own account alone, or none, names it by its ID.
func (c *call) accountID(ctx context.Context) (telamon.AccountID, error) {
	id, err := telamon.ParseAccountID(c.r.PathValue("account"))
	if err == nil && authz.Check(c.actor, authz.AccountRead, "") != nil {
		return id, nil
	}
	account, err := c.account(ctx)
	return account.ID, err
}

// accountNamed returns the account of an ID or a name.
func (c *call) accountNamed(ctx context.Context, text string) (telamon.Account, error) {
	if id, err := telamon.ParseAccountID(text); err == nil {
		return c.IAM.Account(ctx, c.actor, id)
	}
	return c.IAM.AccountNamed(ctx, c.actor, text)
}

// id reads an ID in the path. What cannot be one is not found.
func id[T any](c *call, name string, parse func(string) (T, error)) (T, error) {
	value, err := parse(c.r.PathValue(name))
	if err != nil {
		what := strings.ReplaceAll(name, "_", " ")
		return value, fault.New(fault.NotFound, name+"_not_found", "There is no such "+what+".")
	}
	return value, nil
}

func (s *server) accountRoutes() {
	listRoute(s, "GET /accounts", s.IAM.Accounts, accountOf, func(a telamon.Account) string { return a.ID.String() })
	s.route("POST /accounts", http.StatusCreated, func(ctx context.Context, c *call) (any, error) {
		var in NewAccount
		if err := c.body(&in); err != nil {
			return nil, err
		}
		period, err := in.period()
		if err != nil {
			return nil, err
		}
		account, err := s.IAM.CreateAccount(ctx, c.actor, iam.NewAccount{Name: in.Name, Period: period})
		return made(account, err, accountOf)
	})
	s.route("GET /accounts/{account}", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		account, err := c.account(ctx)
		return accountOf(account), err
	})
	s.route("PUT /accounts/{account}/service-period", http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		var in ServicePeriod
		if err := c.body(&in); err != nil {
			return nil, err
		}
		account, err := c.accountID(ctx)
		if err != nil {
			return nil, err
		}
		period, err := in.period()
		if err != nil {
			return nil, err
		}
		return nil, s.IAM.SetServicePeriod(ctx, c.actor, account, period)
	})
	s.accountAction("POST /accounts/{account}/disable", s.IAM.DisableAccount)
	s.accountAction("POST /accounts/{account}/enable", s.IAM.EnableAccount)
	s.accountAction("DELETE /accounts/{account}", s.IAM.DeleteAccount)
	s.userRoutes()
	s.tokenRoutes()
	s.userCertificateRoutes()
	s.identityRoutes()
}

func (s *server) accountAction(pattern string, do func(context.Context, telamon.Actor, telamon.AccountID) error) {
	s.route(pattern, http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		account, err := c.accountID(ctx)
		if err != nil {
			return nil, err
		}
		return nil, do(ctx, c.actor, account)
	})
}

func (s *server) userRoutes() {
	const all, one, name = "/accounts/{account}/users", "/accounts/{account}/users/{user}", "user"
	accountListRoute(s, "GET "+all, s.IAM.Users, userOf, func(u telamon.User) string { return u.ID.String() })
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewUser) (any, error) {
		return s.createUser(ctx, c, account, in)
	})
	changeRoute(s, "PUT "+one, name, telamon.ParseUserID,
		func(ctx context.Context, c *call, account telamon.AccountID, user telamon.UserID, in *UserChange) error {
			change, err := in.change()
			if err == nil {
				_, err = s.IAM.UpdateUser(ctx, c.actor, account, user, change)
			}
			return err
		})
	objectRoute(s, "GET "+one, name, telamon.ParseUserID, s.IAM.User, userOf)
	actionRoute(s, "POST "+one+"/disable", name, telamon.ParseUserID, s.IAM.DisableUser)
	actionRoute(s, "POST "+one+"/enable", name, telamon.ParseUserID, s.IAM.EnableUser)
	actionRoute(s, "POST "+one+"/lock", name, telamon.ParseUserID, s.IAM.LockUser)
	actionRoute(s, "POST "+one+"/unlock", name, telamon.ParseUserID, s.IAM.UnlockUser)
	actionRoute(s, "DELETE "+one, name, telamon.ParseUserID, s.IAM.DeleteUser)
	changeRoute(s, "POST "+one+"/password", name, telamon.ParseUserID,
		func(ctx context.Context, c *call, account telamon.AccountID, user telamon.UserID, in *Password) error {
			return s.IAM.SetPassword(ctx, c.actor, account, user, in.Password)
		})
}

func (s *server) createUser(ctx context.Context, c *call, account telamon.AccountID, in *NewUser) (any, error) {
	switch in.Kind {
	case "", telamon.StandardUser:
		if in.Description != "" || in.EndsAt != nil {
			return nil, fault.New(fault.Invalid, "invalid_user", "A description and an end are those of service users.")
		}
		user, err := s.IAM.CreateUser(ctx, c.actor, iam.NewUser{
			Account: account, Email: in.Email, Name: in.Name, Roles: in.Roles, Password: in.Password,
		})
		return made(user, err, userOf)
	case telamon.ServiceUser:
		if in.Password != "" {
			return nil, fault.New(fault.Invalid, "invalid_user", "A service user has no password.")
		}
		end, err := endOf(in.EndsAt)
		if err != nil {
			return nil, err
		}
		user, token, err := s.IAM.CreateServiceUser(ctx, c.actor, iam.NewServiceUser{
			Account: account, FriendlyName: in.Name, Description: in.Description, Email: in.Email, EndsAt: end, Roles: in.Roles,
		})
		return made(user, err, func(u telamon.User) CreatedUser { return CreatedUser{User: userOf(u), APIToken: token} })
	}
	return nil, fault.New(fault.Invalid, "invalid_user", "The kind of a user is standard or service.")
}

func (s *server) identityRoutes() {
	const all, one, name = "/accounts/{account}/identities", "/accounts/{account}/identities/{identity}", "identity"
	accountListRoute(s, "GET "+all, s.IAM.Identities, identityOf, func(i telamon.Identity) string { return i.ID.String() })
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *IdentityData) (any, error) {
		identity, err := s.IAM.CreateIdentity(ctx, c.actor, account, in.Name, in.Data)
		return made(identity, err, identityOf)
	})
	objectRoute(s, "GET "+one, name, telamon.ParseIdentityID, s.IAM.Identity, identityOf)
	changeRoute(s, "PUT "+one, name, telamon.ParseIdentityID,
		func(ctx context.Context, c *call, account telamon.AccountID, identity telamon.IdentityID, in *IdentityData) error {
			return s.IAM.EditIdentity(ctx, c.actor, account, identity, in.Name, in.Data)
		})
	changeRoute(s, "POST "+one+"/move", name, telamon.ParseIdentityID,
		func(ctx context.Context, c *call, account telamon.AccountID, identity telamon.IdentityID, in *IdentityMove) error {
			return s.IAM.MoveIdentity(ctx, c.actor, account, identity,
				iam.IdentityMove{To: in.To, Reason: in.Reason, ExpiresAt: valueOf(in.ExpiresAt)})
		})
}
