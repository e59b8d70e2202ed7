package admin_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// as returns the world as an operator sees it who has this token.
func (w *world) as(token string) *world {
	other := *w
	other.Client = admin.NewClient(w.socket)
	other.Through(hold(w.t))
	other.Token = token
	return &other
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// withOperators names two operators.
func withOperators(cfg *app.Config) {
	cfg.Operators = []app.OperatorConfig{
		{Name: "ada", TokenSHA256: hashed("ada's token")}, {Name: "bob", TokenSHA256: hashed("bob's token")},
	}
}

var proposalID = regexp.MustCompile(`apv_[0-9a-v]{26}`)

// waits makes a call that must wait for a second operator, and returns its approval.
func (w *world) waits(method, path string, body any) admin.Approval {
	w.t.Helper()
	err := w.Do(w.t.Context(), method, path, body, nil)
	problem, ok := errors.AsType[*admin.Problem](err)
	if !ok || problem.Status != 409 || problem.Code != "approval_needed" {
		w.t.Fatalf("%s %s: got %v, want 409 approval_needed", method, path, err)
	}
	a := do[admin.Approval](w, get, "/approvals/"+proposalID.FindString(problem.Detail), nil)
	if !strings.Contains(problem.Detail, "telamon approval approve "+string(a.ID)+" -sha256 "+a.SHA256) {
		w.t.Errorf("the answer %q does not tell how to go on", problem.Detail)
	}
	return a
}

// TestFourEyes has acts wait for a second operator, by each way that they can go on.
func TestFourEyes(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorldWith(t, url, withOperators)
		ada, bob := w.as("ada's token"), w.as("bob's token")
		spec := admin.ServiceSpec{Name: "web", Series: "tls-ec", Unlimited: true, Policy: json.RawMessage(policy)}
		approve := func(a admin.Approval) (string, admin.Approve) {
			return "/approvals/" + string(a.ID) + "/approve", admin.Approve{SHA256: a.SHA256}
		}

		// Nothing that needs two people is done by one, or by somebody without a name.
		w.refused(post, "/services", spec, 403, "operator_unnamed")
		w.as("eve's token").refused(post, "/services", spec, 401, "operator_unknown")
		w.as("eve's token").refused(get, "/services", nil, 401, "operator_unknown")
		first := ada.waits(post, "/services", spec)
		if again := ada.waits(post, "/services", spec); again.ID != first.ID {
			t.Errorf("the same request waits as %s and as %s", first.ID, again.ID)
		}
		ada.refused(get, "/services/web", nil, 404, "service_not_found")
		if first.State != telamon.ProposalPending || first.RequestedBy != "ada" || first.Action != "service.create" || first.SHA256 != hashed(first.Request) ||
			!first.ExpiresAt.Equal(w.clock.Now().Add(staff.ProposalLife)) {
			t.Errorf("it waits as %+v", first)
		}
		path, body := approve(first)
		ada.refused(post, path, body, 403, "own_proposal")
		w.refused(post, path, body, 403, "operator_unnamed")
		bob.refused(post, path, admin.Approve{SHA256: hashed("another request")}, 409, "proposal_changed")
		bob.refused(post, "/approvals/"+idOf("apv")+"/approve", body, 404, "approval_not_found")

		done := do[admin.Approval](bob, post, path, body)
		var made admin.Service
		if err := json.Unmarshal(done.Answer, &made); err != nil || made.Name != "web" {
			t.Errorf("the act answered %s, %v", done.Answer, err)
		}
		if done.State != telamon.ProposalExecuted || done.Outcome != "ok" || done.DecidedBy != "bob" {
			t.Errorf("after its approval it is %+v", done)
		}
		bob.refused(post, path, body, 409, "proposal_decided")
		w.mustTell("proposal.create operator:ada", "proposal.approve operator:bob", "service.create operator:ada", "proposal.execute operator:bob")

		// An act that cannot be done any more was still asked for, and is over.
		update := made.Spec()
		update.StrictCAA = true
		stale := ada.waits(put, "/services/web", update)
		other := made.Spec()
		other.Unlimited = false
		path, body = approve(bob.waits(put, "/services/web", other))
		do[admin.Approval](ada, post, path, body)
		path, body = approve(stale)
		if late := do[admin.Approval](bob, post, path, body); late.State != telamon.ProposalExecuted || late.Outcome == "ok" {
			t.Errorf("an act on an old version is %+v", late)
		}
		if now := do[admin.Service](w, get, "/services/web", nil); now.StrictCAA || now.Version != 2 {
			t.Errorf("the service is %+v", now)
		}

		// Rejected, withdrawn, too late.
		again := made.Spec()
		again.Version = 2
		rejected := ada.waits(put, "/services/web", again)
		if r := do[admin.Approval](bob, post, "/approvals/"+string(rejected.ID)+"/reject", nil); r.State != telamon.ProposalRejected {
			t.Errorf("it is %s", r.State)
		}
		path, body = approve(rejected)
		bob.refused(post, path, body, 409, "proposal_decided")
		withdrawn := ada.waits(put, "/services/web", again)
		if r := do[admin.Approval](ada, post, "/approvals/"+string(withdrawn.ID)+"/reject", nil); r.DecidedBy != "ada" {
			t.Errorf("it is decided by %q", r.DecidedBy)
		}
		path, body = approve(ada.waits(put, "/services/web", again))
		w.clock.Advance(staff.ProposalLife)
		bob.refused(post, path, body, 409, "proposal_expired")

		// An issuing CA is not retired by one alone; a dry run waits for nobody.
		issuers := do[admin.List[admin.Issuer]](ada, get, "/issuers", nil)
		i := slices.IndexFunc(issuers.Items, func(i admin.Issuer) bool { return i.Role == telamon.RoleIssuing })
		retire := "/issuers/" + string(issuers.Items[i].ID) + "/retire"
		do[admin.RetiredIssuer](ada, post, retire, admin.IssuerRetirement{NoSuccessor: true, DryRun: true})
		path, body = approve(ada.waits(post, retire, admin.IssuerRetirement{NoSuccessor: true}))
		if retired := do[admin.Approval](bob, post, path, body); retired.Outcome != "ok" {
			t.Errorf("the retirement is %+v", retired)
		}
		w.mustTell("proposal.approve operator:bob", "issuer.retire operator:ada", "proposal.execute operator:bob")

		// A bulk revocation waits, too; its plan does not.
		plan := do[admin.Bulk](ada, post, "/revocations", admin.NewBulk{
			Filter: telamon.RevocationFilter{Domain: "example.com"}, RevocationReason: admin.RevocationReason{Reason: telamon.ReasonSuperseded},
		})
		deadline := time.Now().Add(patience)
		for plan.State == telamon.BulkCounting && time.Now().Before(deadline) {
			plan = do[admin.Bulk](ada, get, "/revocations/"+string(plan.ID), nil)
		}
		path, body = approve(ada.waits(post, "/revocations/"+string(plan.ID)+"/begin", nil))
		if begun := do[admin.Approval](bob, post, path, body); begun.Outcome != "ok" || plan.RequestedBy != "operator:ada" {
			t.Errorf("the revocation of %s begins with %+v", plan.RequestedBy, begun)
		}
	})
}

// mustTell checks that the audit log has these actions and actors, in this order, others
// between them.
func (w *world) mustTell(wanted ...string) {
	w.t.Helper()
	events := do[admin.List[struct {
		Action string `json:"action"`
		Actor  string `json:"actor"`
	}]](w, get, "/audit/events?newest=false&limit=1000", nil)
	var got []string
	for _, e := range events.Items {
		got = append(got, e.Action+" "+e.Actor)
	}
	at := 0
	for _, want := range wanted {
		i := slices.Index(got[at:], want)
		if i < 0 {
			w.t.Fatalf("the audit log lacks %q after event %d of %q", want, at, got)
		}
		at += i + 1
	}
}

// TestOneOperator has nothing wait where fewer than two operators are named, or where
// four eyes are off.
func TestOneOperator(t *testing.T) {
	for name, change := range map[string]func(*app.Config){
		"nobody is named": func(*app.Config) {},
		"one is named":    func(cfg *app.Config) { withOperators(cfg); cfg.Operators = cfg.Operators[:1] },
		"it is off":       func(cfg *app.Config) { withOperators(cfg); cfg.FourEyes = "off" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, dbtest.SQLite(t), change)
			do[admin.Service](w, post, "/services", admin.ServiceSpec{Name: "web", Series: "tls-ec", Unlimited: true, Policy: json.RawMessage(policy)})
		})
	}
}
