package playground_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/telamon-ca/telamon/internal/signin"
)

// The person of the description signs in with what is in it, and may do everything of
// their account at once.
func TestPersonSignsIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if len(w.Description.Users) != 1 {
			t.Fatalf("the description has %d users", len(w.Description.Users))
		}
		person, in, from := w.Description.Users[0], w.App.SignIn, signin.Client{Address: netip.MustParseAddr("192.0.2.1")}
		_, session, err := in.SignIn(t.Context(), person.Email, person.Password, from)
		if err != nil || session.Need != signin.NeedSecondFactor {
			t.Fatalf("SignIn = %+v, %v", session, err)
		}
		code, err := totp.GenerateCode(person.TOTPSecret, w.clock.Now().Add(30*time.Second)) // of the next step: this one's may be used
		if err != nil {
			t.Fatal(err)
		}
		value, err := in.SecondFactor(t.Context(), session, code)
		if err != nil {
			t.Fatal(err)
		}
		if session, err = in.Session(t.Context(), value, from); err != nil || session.Need != signin.NeedNothing || session.Account.Name != w.Description.Account {
			t.Errorf("Session = %+v, %v", session, err)
		}
	})
}
