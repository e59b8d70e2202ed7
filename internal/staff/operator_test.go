package staff_test

import (
	"crypto/sha256"
	"encoding/hex"
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
		_, err = w.RejectProposal(ctx, bob, all[0].ID)
		mustBe(t, err, fault.Conflict, "proposal_expired")
		mustBe(t, w.Approve(ctx, ada, authz.ServiceUpdate, "change x", []byte("{}")), fault.NotReady, "approval_needed") // anew
	})
}
