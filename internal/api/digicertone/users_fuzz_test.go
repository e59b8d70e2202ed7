package digicertone

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
)

// fuzzAccount is the caller's account in the seeds of fuzz targets.
var fuzzAccount = telamon.AccountIDFromBytes([16]byte{0x01, 0x9a, 0xc0, 0xde, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1})

// FuzzUserBody reads the bodies of POST and PUT /user. What is read names no account but
// the caller's, and no role that is not there; what POST takes, PUT takes for the same.
func FuzzUserBody(f *testing.F) {
	f.Add([]byte(`{"user_type":"service","friendly_name":"x","email":"a@b.c","account_ids":["` + uuidOf(fuzzAccount) + `"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in userIn
		if decodeObject(body, &in) != nil {
			return
		}
		n, err := in.newServiceUser(fuzzAccount)
		change, changeErr := in.change(fuzzAccount)
		if err == nil && changeErr != nil {
			t.Fatalf("%q makes a user, and changes none: %v", body, changeErr)
		}
		if changeErr != nil {
			return
		}
		for _, one := range in.Accounts {
			if id, ok := parseUUID(one.ID); !ok || telamon.AccountIDFromBytes(id) != fuzzAccount {
				t.Errorf("%q is taken for the caller's account", body)
			}
		}
		for _, code := range change.Roles {
			if _, ok := authz.RoleNamed(code); !ok {
				t.Errorf("%q gives the role %q", body, code)
			}
		}
		if at := change.EndsAt; at != nil && (!at.Equal(at.Truncate(time.Second)) || at.Location() != time.UTC) {
			t.Errorf("%q gives the end %s", body, at)
		}
		if err == nil && (n.Account != fuzzAccount || len(n.Roles) != len(change.Roles) || change.EndsAt != nil && !n.EndsAt.Equal(*change.EndsAt) ||
			n.FriendlyName != textOf(change.Name)) {
			t.Errorf("%q makes %+v, and changes a user to %+v", body, n, change)
		}
	})
}

// FuzzTokenBody reads the bodies of POST and PUT /api-access-token. Without a user in the
// body the token is the caller's own.
func FuzzTokenBody(f *testing.F) {
	f.Add([]byte(`{"name":"x"}`))
	actor := telamon.Actor{Account: fuzzAccount, User: telamon.NewUserID()}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in tokenIn
		if decodeObject(body, &in) != nil {
			return
		}
		user, err := in.owner(actor)
		if err != nil {
			return
		}
		n, err := in.newToken(actor.Account, user)
		if err != nil {
			return
		}
		if n.Account != actor.Account || (in.UserID == nil) != (n.User == actor.User) && in.UserID == nil || uuidOf(n.User) == "" {
			t.Errorf("%q makes a token of %s in %s", body, n.User, n.Account)
		}
		if end, err := in.EndDate.end("end_date"); err != nil || end != nil && !n.EndsAt.Equal(*end) || !n.EndsAt.Equal(n.EndsAt.Truncate(time.Second)) {
			t.Errorf("%q makes a token with the end %s", body, n.EndsAt)
		}
	})
}
