package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// addUser adds a user of the account and returns them as an actor.
func (w *world) addUser(t testing.TB, name string) telamon.Actor {
	t.Helper()
	u := telamon.User{ID: telamon.NewUserID(), Account: w.account, Email: strings.ToLower(name) + "@example.com", Name: name}
	if err := w.db.CreateUser(t.Context(), operator, &u); err != nil {
		t.Fatal(err)
	}
	return telamon.Actor{
		Kind: telamon.ActorUser, Account: w.account, User: u.ID, UserName: name, Address: netip.MustParseAddr("192.0.2.7"),
	}
}

// tell writes an event of the account.
func (w *world) tell(t testing.TB, actor telamon.Actor, action, object, result string) {
	t.Helper()
	w.record(t, telamon.Event{Actor: actor, Account: w.account, Action: action, Object: object, Result: result})
}

func (w *world) record(t testing.TB, events ...telamon.Event) {
	t.Helper()
	if n, err := w.db.RecordEvents(t.Context(), events); err != nil || n != len(events) {
		t.Fatalf("recorded %d of %d events: %v", n, len(events), err)
	}
}

// activities returns a list, which must not fail.
func (w *world) activities(t testing.TB, f store.ActivityFilter) ([]telamon.Activity, int64) {
	t.Helper()
	if f.Account == "" {
		f.Account = w.account
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	list, total, err := w.db.Activities(t.Context(), f)
	if err != nil {
		t.Fatalf("list %+v: %v", f, err)
	}
	return list, total
}

func wireID[K ~string](id K, bytes func() ([16]byte, bool)) string {
	b, ok := bytes()
	if !ok {
		panic("no id: " + string(id))
	}
	return uuid.UUID(b).String()
}

// What an account is shown of each event.
func TestActivityOfEvent(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		alice := w.addUser(t, "Build Agent")
		cert, token, pair := telamon.NewClientCertID(), telamon.NewAPITokenID(), telamon.NewKeyPairID()
		stranger := telamon.Actor{Kind: telamon.ActorAnonymous, Address: netip.MustParseAddr("2001:db8::7")}
		w.insertToken(t, token, alice.User)
		count := audit.RefusalCount{Count: 3, First: clock.Now(), Last: clock.Now().Add(30 * time.Second)}
		tests := []struct {
			name  string
			event telamon.Event
			want  string // action, type, resource, failed, user, name, description, address; empty: not shown
		}{
			{"by an operator", telamon.Event{Actor: operator, Action: "user.disable", Object: alice.User.String(), Result: "ok"},
				"disable user " + wireID(alice.User, alice.User.Bytes) + " false|operator||"},
			{"by a user", telamon.Event{Actor: alice, Action: "api_token.create", Object: token.String(), Result: "ok"},
				"create api_access_token " + wireID(token, token.Bytes) + " false " + alice.User.String() + "|Build Agent||192.0.2.7"},
			{"a certificate", telamon.Event{Actor: alice, Action: "client_certificate.issue", Object: cert.String(), Result: "ok"},
				"create client_auth_cert " + wireID(cert, cert.Bytes) + " false " + alice.User.String() + "|Build Agent||192.0.2.7"},
			{"a signature", telamon.Event{Actor: alice, Action: "key_pair.sign", Object: pair.String(), Result: "ok"},
				"sign keypair " + wireID(pair, pair.Bytes) + " false " + alice.User.String() + "|Build Agent||192.0.2.7"},
			{"a revoked key pair", telamon.Event{Actor: operator, Action: "key_pair.revoke", Object: pair.String(), Result: "ok"},
				"revoke keypair " + wireID(pair, pair.Bytes) + " false|operator||"},
			{"too many refusals", telamon.Event{Actor: stranger, Action: "user.authenticate", Object: audit.Others, Result: audit.Others},
				"authenticate session other true|anonymous|There were too many refusals to tell of each.|2001:db8::7"},
			{"a refused token is its user's", telamon.Event{Actor: stranger, Action: "user.authenticate", Object: token.String(), Result: "api_token_disabled"},
				"authenticate api_access_token " + wireID(token, token.Bytes) + " true " + alice.User.String() + "|Build Agent|The API token is disabled.|2001:db8::7"},
			{"refused often", telamon.Event{Actor: stranger, Action: "user.authenticate", Object: token.String(), Result: "user_locked", After: count},
				"authenticate api_access_token " + wireID(token, token.Bytes) + " true " + alice.User.String() +
					"|Build Agent|The user is locked. 3 times between 08:59:58 and 09:00:28.|2001:db8::7"},
			{"a serial number", telamon.Event{Actor: stranger, Action: "user.authenticate", Object: "0a1b", Result: "certificate_unknown"},
				"authenticate client_auth_cert 0A1B true|anonymous|The certificate is none of this platform.|2001:db8::7"},
			{"a session", telamon.Event{Actor: stranger, Action: "user.authenticate", Object: alice.User.String(), Result: "wrong_password"},
				"authenticate session " + wireID(alice.User, alice.User.Bytes) + " true " + alice.User.String() + "|Build Agent|Wrong password.|2001:db8::7"},
			{"an issuance", telamon.Event{Actor: operator, Action: "credential.create", Object: "crd_1", Result: "ok"}, ""},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				_, before := w.activities(t, store.ActivityFilter{})
				tt.event.ID, tt.event.Account, tt.event.At = telamon.NewEventID(), w.account, clock.Now()
				w.record(t, tt.event)
				w.record(t, tt.event) // an unknown outcome: once more
				list, total := w.activities(t, store.ActivityFilter{})
				if tt.want == "" {
					if total != before {
						t.Errorf("it is shown as %+v", list[0])
					}
					return
				}
				a := list[slices.IndexFunc(list, func(a telamon.Activity) bool { return a.ID == tt.event.ID })]
				address := ""
				if a.Address.IsValid() {
					address = a.Address.String()
				}
				got := strings.TrimSpace(fmt.Sprintf("%s %s %s %t %s", a.Action, a.ResourceType, a.Resource, a.Failed, a.User)) +
					"|" + a.UserName + "|" + a.Description + "|" + address
				if got != tt.want || total != before+1 || !a.At.Equal(tt.event.At) || a.Account != w.account {
					t.Errorf("shown as\n%s, want\n%s; %d entries, before %d", got, tt.want, total, before)
				}
			})
		}
	})
}

// insertToken adds a token of a user.
func (w *world) insertToken(t testing.TB, id telamon.APITokenID, user telamon.UserID) {
	t.Helper()
	w.exec(t, "INSERT INTO api_token (id, account_id, user_id, name, name_key, lookup, secret_mac, pepper_version, state, created_at)"+
		" VALUES ($1, $2, $3, $4, $4, $4, $5, 1, 'active', 0)", id.String(), w.account.String(), user.String(), id.String(), []byte{1})
}

func TestActivities(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		alice, bob := w.addUser(t, "Alice"), w.addUser(t, "B_o%b")
		w.exec(t, "DELETE FROM activity")
		token, cert := telamon.NewAPITokenID(), telamon.NewClientCertID()
		for i, e := range []telamon.Event{
			{Actor: alice, Action: "api_token.create", Object: token.String(), Result: "ok"},
			{Actor: alice, Action: "client_certificate.issue", Object: cert.String(), Result: "ok"},
			{Actor: bob, Action: "client_certificate.disable", Object: cert.String(), Result: "ok"},
			{Actor: alice, Action: "user.authenticate", Object: cert.String(), Result: "certificate_disabled"},
			{Actor: alice, Action: "user.authenticate", Object: token.String(), Result: "api_token_expired"},
			{Actor: operator, Action: "user.create", Object: bob.User.String(), Result: "ok"},
		} {
			e.Account = w.account
			w.record(t, e)
			if i < 5 {
				clock.Advance(24 * time.Hour)
			}
		}
		first := clock.Now().Add(-5 * 24 * time.Hour)
		day := func(n int) time.Time { return first.Add(time.Duration(n) * 24 * time.Hour) }
		certID := wireID(cert, cert.Bytes)
		for name, tt := range map[string]struct {
			f    store.ActivityFilter
			want string // by their number in the list above
		}{
			"all":               {store.ActivityFilter{}, "5 4 3 2 1 0"},
			"oldest first":      {store.ActivityFilter{OldestFirst: true}, "0 1 2 3 4 5"},
			"a part of a name":  {store.ActivityFilter{UserName: "LIC"}, "4 3 1 0"},
			"no pattern":        {store.ActivityFilter{UserName: "_o%"}, "2"},
			"nor so":            {store.ActivityFilter{UserName: "%"}, "2"},
			"operators":         {store.ActivityFilter{UserName: "operator"}, "5"},
			"action":            {store.ActivityFilter{Action: "CREATE"}, "5 1 0"},
			"no such action":    {store.ActivityFilter{Action: "creat"}, ""},
			"types":             {store.ActivityFilter{ResourceTypes: []string{"USER", "api_access_token", "x", "user"}}, "5 4 0"},
			"no such type":      {store.ActivityFilter{ResourceTypes: []string{"x"}}, ""},
			"resource":          {store.ActivityFilter{Resource: strings.ToUpper(certID)}, "3 2 1"},
			"resource by ID":    {store.ActivityFilter{Resource: cert.String()}, "3 2 1"},
			"failures":          {store.ActivityFilter{Status: store.ActivityFailure}, "4 3"},
			"successes":         {store.ActivityFilter{Status: store.ActivitySuccess}, "5 2 1 0"},
			"rotation, step 7":  {store.ActivityFilter{Status: store.ActivityFailure, Resource: certID}, "3"},
			"all of it":         {store.ActivityFilter{Status: store.ActivityFailure, Resource: certID, Action: "authenticate", UserName: "alice"}, "3"},
			"one is not so":     {store.ActivityFilter{Status: store.ActivityFailure, Resource: certID, Action: "authenticate", UserName: "bob"}, ""},
			"from is inclusive": {store.ActivityFilter{From: day(4)}, "5 4"},
			"to is exclusive":   {store.ActivityFilter{To: day(2)}, "1 0"},
			"page":              {store.ActivityFilter{Limit: 2, Offset: 1}, "4 3"},
			"page past the end": {store.ActivityFilter{Limit: 2, Offset: 6}, ""},
			"another account":   {store.ActivityFilter{Account: telamon.NewAccountID()}, ""},
		} {
			t.Run(name, func(t *testing.T) {
				list, total := w.activities(t, tt.f)
				var got []string
				for _, a := range list {
					got = append(got, fmt.Sprint(int(a.At.Sub(first).Hours())/24))
				}
				if strings.Join(got, " ") != tt.want {
					t.Errorf("got %v, want %s", got, tt.want)
				}
				if tt.f.Limit == 0 && total != int64(len(list)) || tt.f.Limit != 0 && total != 6 {
					t.Errorf("%d in all", total)
				}
			})
		}
		_, _, err := w.db.Activities(t.Context(), store.ActivityFilter{Account: w.account, Offset: store.MaxActivities - 9, Limit: 10})
		mustBe(t, err, fault.Invalid, "activity_page")
	})
}

// An event that is purged takes what its account was shown with it.
func TestPurgeActivity(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		account := telamon.Account{ID: telamon.NewAccountID(), Name: "Acme"}
		must(t, l.db.CreateAccount(t.Context(), operator, &account))
		l.account = account.ID
		alice := l.addUser(t, "Alice")
		l.tell(t, alice, "user.update", alice.User.String(), "ok")
		l.tell(t, alice, "user.lock", alice.User.String(), "ok")
		l.tell(t, operator, "credential.create", "crd_1", "ok")
		turn(t, l.seq, 5)
		l.clock.Set(time.Now().Add(time.Hour)) // the IDs have the system's time
		purged, err := l.db.PurgeEvents(t.Context(), store.Dropping{Before: l.clock.Now().Add(-time.Minute)},
			func(action string) bool { return action == "user.lock" || action == "audit.purge" })
		if err != nil || purged != 4 {
			t.Fatalf("%d were purged, %v; want 4", purged, err)
		}
		if list, total := l.activities(t, store.ActivityFilter{}); total != 1 || list[0].Action != "lock" {
			t.Errorf("%+v are left, want the event that was kept", list)
		}
		turn(t, l.seq, 1)
		if _, problems := l.problems(t, func(o *audit.Options) { o.PurgedBefore = l.clock.Now() }); len(problems) > 0 {
			t.Errorf("the log has the problems %v", problems)
		}
	})
}

// What accounts are shown is in the transaction of its event: of an act that is refused or
// fails, nothing is.
func TestActivityOfFailure(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		alice := w.addUser(t, "Alice")
		_, before := w.activities(t, store.ActivityFilter{})
		mustBe(t, w.db.SetUserState(t.Context(), operator, w.account, alice.User, telamon.Active), fault.Conflict, "wrong_state")
		store.FailCommit(w.db, func(*sql.Tx) error { return errors.New("no commit") })
		if err := w.db.SetUserState(t.Context(), operator, w.account, alice.User, telamon.Disabled); err == nil {
			t.Error("a commit that failed is reported as done")
		}
		store.FailCommit(w.db, nil)
		if _, total := w.activities(t, store.ActivityFilter{}); total != before {
			t.Errorf("%d entries, before %d", total, before)
		}
		must(t, w.db.SetUserState(t.Context(), operator, w.account, alice.User, telamon.Disabled))
		if _, total := w.activities(t, store.ActivityFilter{}); total != before+1 {
			t.Errorf("%d entries, before %d", total, before)
		}
	})
}

// Each reason for which users are refused has a sentence.
func TestReasonSentences(t *testing.T) {
	page, err := os.ReadFile("../../docs/ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reasons, _ := strings.Cut(string(page), "\n## Reasons\n")
	n := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]*\\buser \\|").FindAllStringSubmatch(reasons, -1) {
		if n++; !store.HasSentence(row[1]) {
			t.Errorf("reason %s has no sentence", row[1])
		}
	}
	if n < 20 {
		t.Errorf("the page has %d reasons", n)
	}
}

// Each change of users and of what they authenticate by is shown to their account.
func TestActivityActions(t *testing.T) {
	for _, action := range authz.Actions() {
		object, verb, _ := strings.Cut(string(action), ".")
		about := slices.Contains([]string{"user", "api_token", "client_certificate", "key_pair"}, object)
		if want := about && verb != "read"; store.IsActivity(string(action)) != want {
			t.Errorf("events of %s are shown: %t", action, !want)
		}
	}
}
