package admin_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestSignIn makes the account of the CA's staff and those who use it, as an operator does
// before anybody can sign in.
func TestSignIn(t *testing.T) {
	w := newWorldWith(t, dbtest.SQLite(t), func(cfg *app.Config) { cfg.Names.Portal = []string{"portal.example.com"} })
	do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: "Our CA"})
	const users = "/accounts/Our%20CA/users"
	ada := do[admin.User](w, post, users, admin.NewUser{Email: "ada@example.com", Name: "Ada", Roles: []string{"administrator"}})
	invite := admin.NewInvitation{Email: "bob@example.com", Language: "de", Roles: []string{"vetting_agent"}}
	w.refused(post, "/accounts/Our%20CA/invitations", invite, http.StatusForbidden, "staff_role")
	w.done(post, "/accounts/Our%20CA/make-staff", nil)
	i := do[admin.Invitation](w, post, "/accounts/Our%20CA/invitations", invite)
	if i.Email != "bob@example.com" || !slices.Equal(i.Roles, invite.Roles) || !i.ExpiresAt.After(w.clock.Now()) {
		t.Errorf("the invitation is %+v", i)
	}
	w.refused(post, "/accounts/Our%20CA/invitations", invite, http.StatusConflict, "already_invited")
	invite.Roles = nil
	w.refused(post, "/accounts/Our%20CA/invitations", invite, http.StatusUnprocessableEntity, "invalid_invitation")
	if all := do[admin.List[admin.Invitation]](w, get, "/accounts/Our%20CA/invitations", nil); len(all.Items) != 1 || all.Items[0].ID != i.ID || all.Next != "" {
		t.Errorf("the invitations are %+v", all)
	}
	at := users + "/" + ada.ID.String()
	w.refused(post, at+"/roles", admin.Roles{Roles: []string{"ca_operator"}}, http.StatusConflict, "last_administrator")
	w.refused(post, at+"/disable", nil, http.StatusConflict, "last_administrator")
	w.done(post, at+"/roles", admin.Roles{Roles: []string{"ca_operator", "administrator"}})
	if u := do[admin.User](w, get, at, nil); !slices.Equal(u.Roles, []string{"administrator", "ca_operator"}) {
		t.Errorf("the roles are %v", u.Roles)
	}
	w.refused(post, at+"/reset-factors", nil, http.StatusNotFound, "factor_not_found")
	w.refused(post, users+"/"+telamon.NewUserID().String()+"/reset-factors", nil, http.StatusNotFound, "user_not_found")
}

func TestSignInWithoutPortal(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: "Acme"})
	id := telamon.NewUserID().String()
	w.refused(post, "/accounts/Acme/make-staff", nil, http.StatusConflict, "no_portal")
	w.refused(get, "/accounts/Acme/invitations", nil, http.StatusConflict, "no_portal")
	w.refused(post, "/accounts/Acme/invitations", admin.NewInvitation{}, http.StatusConflict, "no_portal")
	w.refused(post, "/accounts/Acme/users/"+id+"/roles", admin.Roles{}, http.StatusConflict, "no_portal")
	w.refused(post, "/accounts/Acme/users/"+id+"/reset-factors", nil, http.StatusConflict, "no_portal")
}
