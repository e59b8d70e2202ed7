package staff_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
)

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// TestIdentify tells operators by their user and by their token.
func TestIdentify(t *testing.T) {
	const own = 990
	operators, err := staff.NewOperators([]staff.Operator{
		{Name: "ada", UID: 1001}, {Name: "bob", UID: -1, TokenSHA256: tokenHash("bob's")}, {Name: "cy", UID: 1003, TokenSHA256: tokenHash("cy's")},
	}, own)
	must(t, err)
	if operators.Len() != 3 {
		t.Errorf("there are %d operators", operators.Len())
	}
	for _, tt := range []struct {
		name  string
		uid   int64
		token string
		want  string // "-" is refused
	}{
		{"a user", 1001, "", "ada"},
		{"a token", own, "bob's", "bob"},
		{"a token as another's user", 1001, "bob's", "bob"},
		{"either of two", 1003, "", "cy"},
		{"either of two, by token", 0, "cy's", "cy"},
		{"the server's user", own, "", ""},
		{"root", 0, "", ""},
		{"a user that is not known", -1, "", ""},
		{"a user who is no operator", 1002, "", "-"},
		{"a token that is nobody's", 1001, "eve's", "-"},
		{"the hash of a token", own, tokenHash("bob's"), "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, err := operators.Identify(tt.uid, tt.token)
			if tt.want == "-" {
				mustBe(t, err, fault.Unauthenticated, "operator_unknown")
			} else if err != nil || name != tt.want {
				t.Errorf("Identify(%d, %q) = %q, %v, want %q", tt.uid, tt.token, name, err, tt.want)
			}
		})
	}
}

// TestOperatorsRefuses goes through lists by which one person could be two.
func TestOperatorsRefuses(t *testing.T) {
	hash := tokenHash("x")
	for name, list := range map[string][]staff.Operator{
		"no name":               {{UID: 1001}},
		"an unclean name":       {{Name: "Ada L", UID: 1001}},
		"nothing that shows it": {{Name: "ada", UID: -1}},
		"root":                  {{Name: "ada", UID: 0}},
		"the server's user":     {{Name: "ada", UID: 990}},
		"a user's ID":           {{Name: telamon.NewUserID().String(), UID: 1001}},
		"a name twice":          {{Name: "ada", UID: 1001}, {Name: "ada", UID: 1002}},
		"a user twice":          {{Name: "ada", UID: 1001}, {Name: "bob", UID: 1001}},
		"a token twice":         {{Name: "ada", UID: -1, TokenSHA256: hash}, {Name: "bob", UID: -1, TokenSHA256: hash}},
		"a token itself":        {{Name: "ada", UID: -1, TokenSHA256: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if o, err := staff.NewOperators(list, 990); err == nil {
				t.Errorf("NewOperators() takes them: %d", o.Len())
			}
		})
	}
}

// TestProposalEnds lets the time of a proposal run out, and has none for what is not
// asked of two.
func TestProposalEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		must(t, w.Approve(ctx, ada, authz.ServiceUpdate, "change x", []byte("{}"))) // four eyes are off
		w.Staff = staff.New(staff.Config{Store: w.db, Clock: w.clock, FourEyes: true})
		must(t, w.Approve(ctx, ada, authz.CertificateRevoke, "revoke x", []byte("{}")))
		must(t, w.Approve(ctx, telamon.Actor{Kind: telamon.ActorSystem}, authz.IssuerRetire, "retire x", []byte("{}")))
		mustBe(t, w.Approve(ctx, ada, authz.ServiceUpdate, "change x", []byte("{}")), fault.NotReady, "approval_needed")
		user := telamon.Actor{Kind: telamon.ActorUser, User: telamon.NewUserID(), Roles: []string{authz.RoleAdministrator}}
		mustBe(t, w.Approve(ctx, user, authz.ServiceUpdate, "change x", []byte("{}")), fault.Denied, "access_denied")
		all, err := w.Proposals(ctx, bob, store.Page{Limit: 9})
		must(t, err)
		waiting, err := w.PendingProposals(ctx, bob)
		must(t, err)
		if len(waiting) != 1 || waiting[0].ID != all[0].ID {
			t.Errorf("%d proposals wait", len(waiting))
		}
		_, err = w.PendingProposals(ctx, telamon.Actor{Kind: telamon.ActorAnonymous})
		mustBe(t, err, fault.Denied, "access_denied")
		if len(all) != 1 || all[0].Summary != "change x" {
			t.Fatalf("there are %+v, want one", all)
		}
		expire := func() telamon.ProposalState {
			t.Helper()
			job := store.Job{Kind: store.JobProposalExpire, Key: all[0].ID.String()}
			if _, err := w.Handlers()[store.JobProposalExpire].Run(ctx, job); err != nil {
				t.Fatal(err)
			}
			p, err := w.Proposal(ctx, bob, all[0].ID)
			must(t, err)
			return p.State
		}
		if state := expire(); state != telamon.ProposalPending {
			t.Errorf("before its time is over it is %s", state)
		}
		w.clock.Advance(staff.ProposalLife)
		if state := expire(); state != telamon.ProposalExpired {
			t.Errorf("after its time it is %s", state)
		}
		_, err = w.RejectProposal(ctx, bob, all[0].ID, "")
		mustBe(t, err, fault.Conflict, "proposal_expired")
		mustBe(t, w.Approve(ctx, ada, authz.ServiceUpdate, "change x", []byte("{}")), fault.NotReady, "approval_needed") // anew
	})
}

// TestFourEyesOfPeople has users of the portal and operators of the socket ask and decide:
// nobody approves what they have asked for themselves, by whichever face.
func TestFourEyesOfPeople(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		operators, err := staff.NewOperators([]staff.Operator{
			{Name: "ada", UID: 1001, Email: "Ada@ca.example"}, {Name: "bob", UID: -1, Email: "bob@ca.example"},
		}, 990)
		must(t, err)
		w.Staff = staff.New(staff.Config{Store: w.db, Clock: w.clock, FourEyes: true, Operators: operators})
		account := telamon.Account{ID: telamon.NewAccountID(), Name: "Staff"}
		must(t, w.db.CreateAccount(ctx, ada, &account))
		user := func(kind telamon.UserKind, email, name string) telamon.Actor {
			t.Helper()
			u := telamon.User{
				ID: telamon.NewUserID(), Account: account.ID, Kind: kind, Email: email, Name: name, Roles: []string{authz.RoleCAOperator},
			}
			must(t, w.db.CreateUser(ctx, ada, &u))
			a := telamon.Actor{Kind: telamon.ActorUser, Account: account.ID, User: u.ID, UserName: name, Roles: u.Roles}
			if kind == telamon.StandardUser {
				a.Session, a.SecondFactorAt = telamon.NewSessionID(), w.clock.Now()
			}
			return a
		}
		adaToo, cleo, dora := user(telamon.StandardUser, "ada@ca.example", "Ada"), user(telamon.StandardUser, "cleo@ca.example", "Cleo"),
			user(telamon.StandardUser, "dora@ca.example", "Dora")
		machine := user(telamon.ServiceUser, "cleo@ca.example", "deploy")

		// asked returns what waits after the actor asked for it.
		n := 0
		asked := func(actor telamon.Actor) telamon.Proposal {
			t.Helper()
			n++
			summary := "change " + strconv.Itoa(n)
			mustBe(t, w.Approve(ctx, actor, authz.ServiceUpdate, summary, []byte(summary)), fault.NotReady, "approval_needed")
			all, err := w.Proposals(ctx, bob, store.Page{Limit: 99})
			must(t, err)
			p := all[slices.IndexFunc(all, func(p telamon.Proposal) bool { return p.Summary == summary })]
			if p.User != actor.User {
				t.Errorf("%s was asked for by user %q", summary, p.User)
			}
			return p
		}
		approve := func(actor telamon.Actor, p telamon.Proposal) error {
			_, err := w.ExecuteProposal(ctx, actor, p.ID, p.Hash(), "looked at it", func(context.Context, *telamon.Proposal) string { return "ok" })
			return err
		}
		for _, tt := range []struct {
			name  string
			asks  telamon.Actor
			code  string // of the one who may not
			not   telamon.Actor
			other telamon.Actor // who may
		}{
			{"a user, the same user", cleo, "own_proposal", cleo, dora},
			{"an operator, the same human in the portal", ada, "own_proposal", adaToo, bob},
			{"an operator's user, the same human on the socket", adaToo, "own_proposal", ada, bob},
			{"an operator, a user who may be the same", ada, "operator_unlinked", cleo, bob},
			{"a user, an operator who may be the same", cleo, "operator_unlinked", bob, adaToo},
			{"an operator of the portal alone", bob, "operator_unlinked", dora, adaToo},
			{"a service user, the person behind it", machine, "own_proposal", cleo, dora},
			{"a user, a service user", dora, "not_a_person", machine, cleo},
		} {
			t.Run(tt.name, func(t *testing.T) {
				p := asked(tt.asks)
				mustBe(t, approve(tt.not, p), fault.Denied, tt.code)
				must(t, approve(tt.other, p))
				p, err := w.Proposal(ctx, bob, p.ID)
				must(t, err)
				if p.State != telamon.ProposalExecuted || p.Reason != "looked at it" || p.DecidedBy == p.RequestedBy {
					t.Errorf("it is %+v", p)
				}
			})
		}

		// The second factor is fresh; who asked may withdraw it; roles and users are those of now.
		p := asked(dora)
		w.clock.Advance(authz.FreshFor)
		mustBe(t, approve(cleo, p), fault.Denied, "second_factor_stale")
		mustBe(t, w.Approve(ctx, cleo, authz.ServiceUpdate, "late", []byte("late")), fault.Denied, "second_factor_stale")
		cleo.SecondFactorAt, dora.SecondFactorAt = w.clock.Now(), w.clock.Now()
		requester, err := w.Requester(ctx, &p, "req_9")
		must(t, err)
		if requester.User != dora.User || !slices.Equal(requester.Roles, dora.Roles) || requester.Session != "" {
			t.Errorf("who asked is %+v", requester)
		}
		must(t, w.db.SetUserState(ctx, ada, account.ID, dora.User, telamon.Disabled))
		_, err = w.Requester(ctx, &p, "req_9")
		mustBe(t, err, fault.Denied, "requester_gone")
		if p, err = w.RejectProposal(ctx, dora, p.ID, "not needed"); err != nil || p.State != telamon.ProposalRejected || p.Reason != "not needed" {
			t.Errorf("it is %+v, %v", p, err)
		}
		_, err = w.RejectProposal(ctx, cleo, asked(cleo).ID, strings.Repeat("x", 1001))
		mustBe(t, err, fault.Invalid, "invalid_member")
	})
}
