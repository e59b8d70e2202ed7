package portal_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

var sessionForm = regexp.MustCompile(`action="(/settings/sessions/ses_[a-z0-9]+)"`)

// TestSettings holds that people end their own sessions and nobody else's, and change
// their password by the present one alone, which ends the others.
func TestSettings(t *testing.T) {
	w := newTown(t)
	w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	first := w.member(t, account, "reader@northwind.example", "read_only")
	again := func() *guest {
		g := w.guest(t)
		g.post(t, http.StatusSeeOther, "/sign-in", "email", "reader@northwind.example", "password", horse)
		return g
	}
	second := again()
	found := sessionForm.FindAllStringSubmatch(first.get(t, "/settings").body, -1)
	if len(found) != 1 {
		t.Fatalf("of two sessions, %q can be ended", found)
	}
	stranger := w.member(t, account, "other@northwind.example", "read_only")
	stranger.post(t, http.StatusNotFound, found[0][1])
	first.post(t, http.StatusNotFound, "/settings/sessions/x")
	if a := second.get(t, "/"); a.status != http.StatusOK {
		t.Fatalf("somebody else has ended the session: %d", a.status)
	}
	first.post(t, http.StatusSeeOther, found[0][1])
	if a := second.get(t, "/"); a.status != http.StatusSeeOther {
		t.Errorf("a session that was ended = %d", a.status)
	}
	third := again()
	for _, wrong := range [][]string{{"present", "wrong horse battery", "password", "another horse battery"}, {"present", horse, "password", "short"}} {
		if a := first.post(t, http.StatusUnprocessableEntity, "/settings/password", wrong...); strings.Contains(a.body, "horse") || !strings.Contains(a.body, "error-summary") {
			t.Error("a wrong password is sent back, or nothing is said of it")
		}
	}
	first.post(t, http.StatusSeeOther, "/settings/password", "present", horse, "password", "another horse battery")
	if a, b := first.get(t, "/settings").status, third.get(t, "/settings").status; a != http.StatusOK || b != http.StatusSeeOther {
		t.Errorf("after the change, the own session = %d and the other one = %d", a, b)
	}
}

// TestFreshFactor holds that what asks for a second factor which was shown lately leads to
// it and back, and that the last factor of a role that needs one stays.
func TestFreshFactor(t *testing.T) {
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	if a := g.get(t, "/settings/factors/totp"); a.status != http.StatusOK {
		t.Fatalf("right after the factor was shown: %d", a.status)
	}
	if a := g.post(t, http.StatusConflict, "/settings/factors/totp"); !strings.Contains(a.body, "factor") {
		t.Error("the last factor stays, and the page does not say why")
	}
	if a := g.post(t, http.StatusOK, "/settings/factors/codes"); !strings.Contains(a.body, "recovery-codes.txt") {
		t.Error("new recovery codes are not shown")
	}
	w.clock.Advance(14 * time.Minute)
	for _, path := range []string{"/settings/factors/totp", "/settings/factors/codes"} {
		if a := g.get(t, path); a.status != http.StatusSeeOther || a.header.Get("Location") != "/second-factor?next="+strings.ReplaceAll(path, "/", "%2F") {
			t.Errorf("later, %s = %d %v", path, a.status, a.header)
		}
	}
	if a := g.post(t, http.StatusForbidden, "/second-factor", "code", "000000", "next", "/settings/factors/codes"); !strings.Contains(a.body, "f-code-error") {
		t.Error("nothing is said of a wrong code")
	}
}

// TestInvitation holds that the link of an invitation leads to a page that asks for a
// name and a password, and that a link which is none says so.
func TestInvitation(t *testing.T) {
	w := newTown(t)
	w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	got(w.signin.Invite(t.Context(), townOperator, account, "bob@northwind.example", "en", []string{"read_only"}))(t)
	link, g := w.mailed(t, "bob@northwind.example"), w.guest(t)
	if a := g.get(t, link); a.status != http.StatusOK || !strings.Contains(a.body, "Northwind Energy Supply Ltd") {
		t.Fatalf("%d: the page does not name the account", a.status)
	}
	g.post(t, http.StatusUnprocessableEntity, link, "name", "", "password", horse)
	g.post(t, http.StatusSeeOther, link, "name", "Bob Lee", "password", horse)
	g.post(t, http.StatusNotFound, link, "name", "Bob Lee", "password", horse)
	if a := g.get(t, "/invitation/x"); a.status != http.StatusNotFound || !strings.Contains(a.body, "ACC-01") {
		t.Errorf("a link that is none = %d, without its code", a.status)
	}
	g.post(t, http.StatusSeeOther, "/sign-in", "email", "bob@northwind.example", "password", horse)
	if a := g.get(t, "/"); a.status != http.StatusOK || !strings.Contains(a.body, "Bob Lee") {
		t.Errorf("the invited person's dashboard = %d", a.status)
	}
}

// TestRegistrationLink holds that the link of a registration asks for its password, and
// that the owner of the mailbox can discard what a stranger registered.
func TestRegistrationLink(t *testing.T) {
	w := newTown(t)
	g := w.guest(t)
	g.post(t, http.StatusOK, "/register", "email", ada, "password", "a stranger's password")
	link := w.mailed(t, ada)
	if a := g.get(t, link); a.status != http.StatusOK || !strings.Contains(a.body, ada) || !strings.Contains(a.body, `href="?not-me=1"`) {
		t.Errorf("the page of the link = %d:\n%s", a.status, a.body)
	}
	if a := g.post(t, http.StatusUnprocessableEntity, link, "password", horse); !strings.Contains(a.body, "f-password-error") {
		t.Error("nothing is said of a wrong password")
	}
	if a := g.get(t, link+"?not-me=1"); a.status != http.StatusOK || !strings.Contains(a.body, `value="discard"`) {
		t.Errorf("the page that discards = %d", a.status)
	}
	if a := g.post(t, http.StatusSeeOther, link, "act", "discard"); a.header.Get("Location") != "/sign-in?news=discarded" {
		t.Errorf("a discarded registration leads to %s", a.header.Get("Location"))
	}
	g.post(t, http.StatusNotFound, link, "password", "a stranger's password")
}
