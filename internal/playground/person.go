package playground

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"

	"github.com/pquerna/otp/totp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/store"
)

// userEmail is the address of the person who is told of the account's domains.
const userEmail = "ada@playground.example"

// addPerson makes the account's administrator, who can sign in to the portal: with a
// password and one-time passwords, since administrators need a second factor.
func (p *playground) addPerson(ctx context.Context, account telamon.AccountID, d *Description) error {
	person := User{Email: userEmail, Password: rand.Text()}
	_, err := p.app.IAM.CreateUser(ctx, operator, iam.NewUser{
		Account: account, Email: person.Email, Name: "Ada Admin", Roles: []string{"administrator"}, Password: person.Password,
	})
	if err != nil {
		return err
	}
	if person.TOTPSecret, err = p.enrol(ctx, person); err != nil {
		return fmt.Errorf("enrol %s: %w", person.Email, err)
	}
	d.Users = []User{person}
	return nil
}

// enrol signs the person in, does what their session needs, and returns the secret of
// their one-time passwords.
func (p *playground) enrol(ctx context.Context, person User) (secret string, err error) {
	in, from := p.app.SignIn, signin.Client{Address: netip.IPv6Loopback(), Agent: "telamon dev"}
	value, session, err := in.SignIn(ctx, person.Email, person.Password, from)
	if err != nil {
		return "", err
	}
	for session.Need == signin.NeedProfile || session.Need == signin.NeedAgreement {
		if session.Need == signin.NeedProfile {
			err = in.CompleteProfile(ctx, session, signin.Profile{
				Name: "Ada Admin", Locale: "en", Company: store.Company{Name: accountName, Locality: "London", Country: "GB"}, Kind: store.AccountDirect,
			})
		} else {
			err = in.AcceptAgreement(ctx, session, in.Agreement())
		}
		if err == nil {
			session, err = in.Session(ctx, value, from)
		}
		if err != nil {
			return "", err
		}
	}
	begun, err := in.BeginTOTP(ctx, session)
	if err != nil {
		return "", err
	}
	code, err := totp.GenerateCode(begun.Secret, p.app.Clock.Now())
	if err != nil {
		return "", err
	}
	enrolled, err := in.ConfirmTOTP(ctx, session, code)
	if err != nil {
		return "", err
	}
	return begun.Secret, in.SignOut(ctx, enrolled.Value, from)
}
