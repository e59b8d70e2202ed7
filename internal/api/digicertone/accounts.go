package digicertone

import (
	"net/http"
	"strings"
	"unicode"

	"github.com/telamon-ca/telamon"
)

func (a *API) accountRoutes() {
	a.route("GET /account/api/v1/account", factorAny, a.accounts)
	a.route("GET /account/api/v1/account/{id}", factorAny, a.account)
}

// wireAccount is an account among those of a user (digicert-one.md, Section 6.1).
type wireAccount struct {
	ID            string        `json:"id"`
	Name          string        `json:"name"`
	Active        bool          `json:"active"`
	ServicePeriod servicePeriod `json:"service_period"`
	Identifier    string        `json:"friendly_identifier"`
	Locale        string        `json:"locale"`
}

// servicePeriod is the first and the last day of an account's service.
type servicePeriod struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// listedAccount is an account in answers about accounts (digicert-one.md, Section 6.5).
type listedAccount struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Active        bool           `json:"active"`
	ServicePeriod servicePeriod  `json:"service_period"`
	Identifier    string         `json:"friendly_identifier"`
	Admins        []wireAdmin    `json:"admins"`
	SignInMethods []signInMethod `json:"sign_in_methods"`
	Locale        string         `json:"locale"`
}

type wireAdmin struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email"`
}

// signInMethod is in camel case inside of an API in snake case: so the service has it.
type signInMethod struct {
	SignInMethod               string `json:"signInMethod"`
	Status                     string `json:"status"`
	MFAStatus                  string `json:"mfaStatus"`
	ClientAuthCertLoginEnabled bool   `json:"clientAuthCertLoginEnabled"`
}

// What accounts of the platform have in common. A service period without an end ends on
// the day that stands for none in certificates (RFC 5280, Section 4.1.2.5).
const (
	accountLocale = "en_US"
	noLastDay     = "9999-12-31"
)

// signInMethods is how people sign in: with name and password. There is no other way.
var signInMethods = []signInMethod{{SignInMethod: "standard", Status: "enabled", MFAStatus: "disabled"}}

func wireAccountOf(account *telamon.Account) wireAccount {
	return wireAccount{
		ID: uuidOf(account.ID), Name: account.Name, Active: account.State == telamon.Active,
		ServicePeriod: servicePeriodOf(account), Identifier: friendlyIdentifier(account.Name), Locale: accountLocale,
	}
}

// servicePeriodOf returns the days of an account's service, which begins with the account
// if nothing else was agreed.
func servicePeriodOf(account *telamon.Account) servicePeriod {
	p := servicePeriod{From: account.CreatedAt.UTC().Format(dayLayout), To: noLastDay}
	if !account.StartsAt.IsZero() {
		p.From = account.StartsAt.UTC().Format(dayLayout)
	}
	if !account.EndsAt.IsZero() {
		p.To = account.EndsAt.UTC().Format(dayLayout)
	}
	return p
}

// friendlyIdentifier returns a name as addresses could hold it: its letters and digits in
// lower case, with dashes for whatever is between them.
func friendlyIdentifier(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}

// accounts serves GET /account: a user has one.
func (a *API) accounts(c *call) error {
	account, err := a.listedAccount(c, c.actor.Account)
	if err != nil {
		return err
	}
	return writeArray(c, []*listedAccount{account})
}

// account serves GET /account/{id}.
func (a *API) account(c *call) error {
	id, err := pathID(c, telamon.AccountIDFromBytes)
	if err != nil {
		return err
	}
	account, err := a.listedAccount(c, id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, account)
}

func (a *API) listedAccount(c *call, id telamon.AccountID) (*listedAccount, error) {
	ctx := c.r.Context()
	account, err := a.iam.Account(ctx, c.actor, id)
	if err != nil {
		return nil, err
	}
	admins, err := a.iam.AccountAdmins(ctx, c.actor, id)
	if err != nil {
		return nil, err
	}
	of := wireAccountOf(&account)
	listed := &listedAccount{
		ID: of.ID, Name: of.Name, Active: of.Active, ServicePeriod: of.ServicePeriod, Identifier: of.Identifier,
		Admins: []wireAdmin{}, SignInMethods: signInMethods, Locale: of.Locale,
	}
	for _, u := range admins {
		listed.Admins = append(listed.Admins, wireAdmin{ID: uuidOf(u.ID), Name: u.Name, Email: u.Email})
	}
	return listed, nil
}
