package iam_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		data := map[string]string{"organization": "東京ガス株式会社", "locality": "東京"}
		i := got(w.CreateIdentity(ctx, operator, w.other, "Tokyo", data))(t)
		read := got(w.Identity(ctx, operator, w.other, i.ID))(t)
		if read.State != telamon.IdentityDraft || !read.ExpiresAt.IsZero() || !maps.Equal(read.Data, data) {
			t.Errorf("Identity = %+v, want a draft with the data", read)
		}
		data["locality"] = "大阪"
		must(t, w.EditIdentity(ctx, operator, w.other, i.ID, "Osaka", data))
		all := got(w.Identities(ctx, operator, w.other, store.Page{Limit: 9}))(t)
		if len(all) != 1 || all[0].Name != "Osaka" || !maps.Equal(all[0].Data, data) {
			t.Errorf("Identities = %+v, want the edited one", all)
		}
		mustBe(t, w.EditIdentity(ctx, operator, w.other, i.ID, "", data), fault.Invalid, "invalid_identity")
		w.move(t, w.other, i.ID, telamon.IdentityQueued)
		mustBe(t, w.EditIdentity(ctx, operator, w.other, i.ID, "Kyoto", nil), fault.Conflict, "identity_submitted")
		mustBe(t, errorOf(w.CreateIdentity(ctx, operator, telamon.NewAccountID(), "x", nil)), fault.NotFound, "account_not_found")
	})
}

func TestIdentityInvalid(t *testing.T) {
	w := newWorld(t, sqlite(t))
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprintf("member_%d", i)] = "x"
	}
	for _, tt := range []struct {
		name, path string
		data       map[string]string
	}{
		{"too many members", "data", many},
		{"a member in capitals", "data", map[string]string{"Organization": "x"}},
		{"a member without a name", "data", map[string]string{"": "x"}},
		{"a placeholder as a member", "data", map[string]string{"a}}": "x"}},
		{"an empty value", "data.country", map[string]string{"country": ""}},
		{"a value with a NUL", "data.country", map[string]string{"country": "J\x00P"}},
		{"a long value", "data.country", map[string]string{"country": strings.Repeat("x", 1025)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := errorOf(w.CreateIdentity(t.Context(), operator, w.account, "Acme", tt.data))
			mustBe(t, err, fault.Invalid, "invalid_identity")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
				t.Errorf("the fields are %v, want %s alone", f.Fields, tt.path)
			}
		})
	}
}

var identityStates = []telamon.IdentityState{
	telamon.IdentityDraft, telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive,
	telamon.IdentityRejected, telamon.IdentityExpired, telamon.IdentityWithdrawn,
}

// pathTo is a shortest way from a draft to each state.
var pathTo = map[telamon.IdentityState][]telamon.IdentityState{
	telamon.IdentityDraft:     nil,
	telamon.IdentityQueued:    {telamon.IdentityQueued},
	telamon.IdentityProcessed: {telamon.IdentityQueued, telamon.IdentityProcessed},
	telamon.IdentityActive:    {telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive},
	telamon.IdentityRejected:  {telamon.IdentityQueued, telamon.IdentityRejected},
	telamon.IdentityExpired:   {telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive, telamon.IdentityExpired},
	telamon.IdentityWithdrawn: {telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive, telamon.IdentityWithdrawn},
}

// moves are the steps that an identity may take, and what the audit log calls them.
var moves = map[string]string{
	"draft queued": "identity.submit", "queued processed": "identity.process", "queued rejected": "identity.reject",
	"processed active": "identity.activate", "processed rejected": "identity.reject", "active expired": "identity.expire",
	"active withdrawn": "identity.withdraw", "expired active": "identity.activate",
}

// TestMoveIdentity tries every step from every state to every state, and to one
// that there is not.
func TestMoveIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for _, from := range identityStates {
			for _, to := range append([]telamon.IdentityState{"", "deleted"}, identityStates...) {
				id := got(w.CreateIdentity(ctx, operator, w.account, "Acme", nil))(t).ID
				w.move(t, w.account, id, pathTo[from]...)
				err := w.MoveIdentity(ctx, operator, w.account, id, iam.IdentityMove{To: to, Reason: "the register says so"})
				action, want, name := moves[string(from)+" "+string(to)], from, string(from)+" to "+string(to)
				if action == "" {
					if !fault.Is(err, fault.Conflict) || fault.From(err).Code != "wrong_state" {
						t.Errorf("%s: %v, want a conflict", name, err)
					}
				} else if want = to; err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if i := got(w.Identity(ctx, operator, w.account, id))(t); i.State != want {
					t.Errorf("%s: it is %s, want %s", name, i.State, want)
				}
				page := got(w.db.AuditEvents(ctx, store.AuditFilter{Object: id.String(), Newest: true, Limit: 1}))(t)
				if e := page.Events[0]; action != "" && (e.Action != action || !strings.Contains(string(e.After), "the register says so")) {
					t.Errorf("%s: the audit log says %s %s, want %s and the reason", name, e.Action, e.After, action)
				}
			}
		}
	})
}

func TestMoveIdentityInvalid(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		id := got(w.CreateIdentity(ctx, operator, w.account, "Acme", nil))(t).ID
		w.move(t, w.account, id, pathTo[telamon.IdentityProcessed]...)
		for name, m := range map[string]iam.IdentityMove{
			"to reject without a reason":      {To: telamon.IdentityRejected},
			"a reason that cannot be shown":   {To: telamon.IdentityActive, Reason: "a\x00"},
			"an end that is now":              {To: telamon.IdentityActive, ExpiresAt: w.clock.Now()},
			"an end that has been":            {To: telamon.IdentityActive, ExpiresAt: w.clock.Now().Add(-time.Hour)},
			"a reason as long as a text book": {To: telamon.IdentityRejected, Reason: strings.Repeat("x", 1025)},
		} {
			if err := w.MoveIdentity(ctx, operator, w.account, id, m); !fault.Is(err, fault.Invalid) || fault.From(err).Code != "invalid_move" {
				t.Errorf("%s: %v, want invalid", name, err)
			}
		}
		ends := w.clock.Now().Add(398 * 24 * time.Hour)
		must(t, w.MoveIdentity(ctx, operator, w.account, id, iam.IdentityMove{To: telamon.IdentityActive, ExpiresAt: ends}))
		if i := got(w.Identity(ctx, operator, w.account, id))(t); !i.ExpiresAt.Equal(ends) {
			t.Errorf("it ends at %s, want %s", i.ExpiresAt, ends)
		}
	})
}

// TestMoveIdentityBySystem checks that a step needs its own right: the platform
// lets identities expire and withdraws none.
func TestMoveIdentityBySystem(t *testing.T) {
	w, system := newWorld(t, sqlite(t)), telamon.Actor{Kind: telamon.ActorSystem}
	move := func(to telamon.IdentityState) error {
		return w.MoveIdentity(t.Context(), system, w.account, w.identity, iam.IdentityMove{To: to})
	}
	mustBe(t, move(telamon.IdentityWithdrawn), fault.Denied, "access_denied")
	must(t, move(telamon.IdentityExpired))
}

// TestIdentityLife checks what an identity's end does: logins and tokens go on,
// issuance does not, and vetting it again mends that without a new credential.
func TestIdentityLife(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "api", nil)
		token := w.login(t, l)
		may := func(code string) {
			t.Helper()
			actor := got(w.Authorize(ctx, token, home, nil))(t)
			_, err := w.dir.Scope(ctx, actor.Pair)
			if code != "" {
				mustBe(t, err, fault.Denied, code)
			} else {
				must(t, err)
			}
			w.login(t, l)
		}
		may("")
		w.move(t, w.account, w.identity, telamon.IdentityExpired)
		may("identity_not_active")
		mustBe(t, errorOf3(w.CreateCredential(ctx, operator, w.spec("late"))), fault.Conflict, "identity_not_active")
		ends := w.clock.Now().Add(time.Minute)
		must(t, w.MoveIdentity(ctx, operator, w.account, w.identity, iam.IdentityMove{To: telamon.IdentityActive, ExpiresAt: ends}))
		may("")
		w.clock.Advance(time.Minute)
		may("identity_expired")
		mustBe(t, errorOf3(w.CreateCredential(ctx, operator, w.spec("late"))), fault.Conflict, "identity_not_active")
		w.move(t, w.account, w.identity, telamon.IdentityWithdrawn)
		may("identity_not_active")
	})
}
