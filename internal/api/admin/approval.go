package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/web"
)

// An Approval is an act of an operator that waits for the approval of another, or had it.
type Approval struct {
	ID          telamon.ApprovalID    `json:"id"`
	State       telamon.ProposalState `json:"state"`
	Action      string                `json:"action"`
	Summary     string                `json:"summary"`
	RequestedBy string                `json:"requested_by"`
	CreatedAt   time.Time             `json:"created_at"`
	ExpiresAt   time.Time             `json:"expires_at"`
	DecidedBy   string                `json:"decided_by,omitempty"`
	DecidedAt   *time.Time            `json:"decided_at,omitempty"`
	Reason      string                `json:"reason,omitempty"` // why it was approved or rejected
	Outcome     string                `json:"outcome,omitempty"`
	SHA256      string                `json:"sha256"`  // of Request
	Request     string                `json:"request"` // exactly what is carried out
	// Answer is what the act answered, to whoever approved it.
	Answer json.RawMessage `json:"answer,omitempty"`
}

func approvalOf(p telamon.Proposal) Approval {
	return Approval{
		ID: p.ID, State: p.State, Action: p.Action, Summary: p.Summary, RequestedBy: p.RequestedBy, CreatedAt: p.CreatedAt,
		ExpiresAt: p.ExpiresAt, DecidedBy: p.DecidedBy, DecidedAt: timeOf(p.DecidedAt), Reason: p.Reason, Outcome: p.Outcome, SHA256: p.Hash(),
		Request: string(p.Request),
	}
}

// Approve is the body that approves an act: the hash of the request that was looked at.
type Approve struct {
	SHA256 string `json:"sha256"`
	Reason string `json:"reason,omitempty"`
}

// Reject is the body that rejects an act. It may be left out.
type Reject struct {
	Reason string `json:"reason,omitempty"`
}

// A proposed is a request as it waits for a second operator: it is sent through the
// routes again when it has one.
type proposed struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body"`
}

// approvedKey is the key of the proposal in the context of a request that is carried out
// after its approval.
type approvedKey struct{}

// actor returns who makes a request: whoever asked for it, if it was approved; a person, by
// the portal; a machine; or an operator, who has no name if it is whoever runs the server.
func (s *server) actor(r *http.Request) (telamon.Actor, error) {
	ctx := r.Context()
	if in, ok := ctx.Value(insideKey{}).(*inside); ok {
		return in.actor, nil
	}
	if p, ok := ctx.Value(approvedKey{}).(*telamon.Proposal); ok {
		return s.Staff.Requester(ctx, p, web.RequestID(ctx))
	}
	if m, ok := ctx.Value(machineKey{}).(*iam.Machine); ok {
		actor := m.Actor
		actor.RequestID = web.RequestID(ctx)
		return actor, mustShowCertificate(m, r)
	}
	actor := telamon.Actor{Kind: telamon.ActorOperator, RequestID: web.RequestID(ctx)}
	if s.Operators == nil {
		return actor, nil
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var err error
	actor.Operator, err = s.Operators.Identify(web.PeerUID(ctx), token)
	return actor, err
}

// insideKey is the key of an act of the portal in the context of its request.
type insideKey struct{}

// An inside is an act of the portal, which goes through the routes as a request does.
type inside struct {
	actor  telamon.Actor
	result any
	err    error
}

// Act has the actor do what a request of this method, path and body asks for, so that an act
// which needs a second person waits as the same proposal, wherever it was asked for. It
// returns what the route answers, and the faults of its use case.
func (a *API) Act(ctx context.Context, actor telamon.Actor, method, path string, body any) (any, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode a request: %w", err)
		}
	}
	in := &inside{actor: actor}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, insideKey{}, in), method, path, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if _, pattern := a.s.mux.Handler(r); pattern == "" {
		return nil, fmt.Errorf("there is no route %s %s", method, path)
	}
	a.s.mux.ServeHTTP(&recorder{header: http.Header{}}, r)
	return in.result, in.err
}

// Approve has the actor approve a proposal, whose hash they have seen, and carries it out.
// See [staff.Staff.ExecuteProposal].
func (a *API) Approve(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, hash, reason string) (telamon.Proposal, error) {
	return a.s.Staff.ExecuteProposal(ctx, actor, id, hash, reason, func(ctx context.Context, p *telamon.Proposal) string {
		_, outcome := a.s.execute(ctx, p)
		return outcome
	})
}

// approve returns nil if the call may go on: its action needs no second operator, or had
// one. Otherwise the request waits for one, and the fault says how to go on. It is called
// before anything is changed, and after the body was read.
func (c *call) approve(ctx context.Context, action authz.Action, summary string) error {
	request, err := json.Marshal(proposed{Method: c.r.Method, Path: c.r.URL.RequestURI(), Body: string(c.raw)})
	if err != nil {
		return err
	}
	if p, ok := ctx.Value(approvedKey{}).(*telamon.Proposal); ok && p.Action == string(action) && bytes.Equal(p.Request, request) {
		return nil
	}
	return c.Staff.Approve(ctx, c.actor, action, summary, request)
}

// approveUnless is approve, and nothing for a dry run.
func (c *call) approveUnless(ctx context.Context, dryRun bool, action authz.Action, summary string) error {
	if dryRun {
		return nil
	}
	return c.approve(ctx, action, summary)
}

// execute sends the request of a proposal through the routes, and returns what they
// answered, and "ok" or the code of a refusal.
func (s *server) execute(ctx context.Context, p *telamon.Proposal) (answer json.RawMessage, outcome string) {
	const unreadable = "internal"
	var in proposed
	if err := json.Unmarshal(p.Request, &in); err != nil {
		return nil, unreadable
	}
	ctx = context.WithValue(ctx, approvedKey{}, p)
	r, err := http.NewRequestWithContext(ctx, in.Method, in.Path, strings.NewReader(in.Body))
	if err != nil {
		return nil, unreadable
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	s.mux.ServeHTTP(w, r)
	if text := bytes.TrimSpace(w.body.Bytes()); len(text) > 0 {
		answer = text
	}
	if w.status < http.StatusBadRequest {
		return answer, "ok"
	}
	var problem Problem
	if err := json.Unmarshal(answer, &problem); err != nil || problem.Code == "" {
		return nil, unreadable
	}
	return answer, problem.Code
}

// recorder keeps the answer of a route.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *recorder) WriteHeader(status int)      { w.status = status }

func (s *server) approvalRoutes() {
	listRoute(s, "GET /approvals", s.Staff.Proposals, approvalOf, func(p telamon.Proposal) string { return p.ID.String() })
	s.route("GET /approvals/{approval}", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "approval", telamon.ParseApprovalID)
		if err != nil {
			return nil, err
		}
		p, err := s.Staff.Proposal(ctx, c.actor, id)
		return approvalOf(p), err
	})
	s.route("POST /approvals/{approval}/approve", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "approval", telamon.ParseApprovalID)
		if err != nil {
			return nil, err
		}
		var in Approve
		if err := c.body(&in); err != nil {
			return nil, err
		}
		var answer json.RawMessage
		p, err := s.Staff.ExecuteProposal(ctx, c.actor, id, in.SHA256, in.Reason, func(ctx context.Context, p *telamon.Proposal) (outcome string) {
			answer, outcome = s.execute(ctx, p)
			return outcome
		})
		if err != nil {
			return nil, err
		}
		out := approvalOf(p)
		out.Answer = answer
		return out, nil
	})
	s.route("POST /approvals/{approval}/reject", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		id, err := id(c, "approval", telamon.ParseApprovalID)
		if err != nil {
			return nil, err
		}
		var in Reject
		if c.r.ContentLength != 0 {
			if err := c.body(&in); err != nil {
				return nil, err
			}
		}
		p, err := s.Staff.RejectProposal(ctx, c.actor, id, in.Reason)
		return approvalOf(p), err
	})
}
