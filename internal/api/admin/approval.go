package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
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
	Outcome     string                `json:"outcome,omitempty"`
	SHA256      string                `json:"sha256"`  // of Request
	Request     string                `json:"request"` // exactly what is carried out
	// Answer is what the act answered, to whoever approved it.
	Answer json.RawMessage `json:"answer,omitempty"`
}

func approvalOf(p telamon.Proposal) Approval {
	return Approval{
		ID: p.ID, State: p.State, Action: p.Action, Summary: p.Summary, RequestedBy: p.RequestedBy, CreatedAt: p.CreatedAt,
		ExpiresAt: p.ExpiresAt, DecidedBy: p.DecidedBy, DecidedAt: timeOf(p.DecidedAt), Outcome: p.Outcome, SHA256: p.Hash(),
		Request: string(p.Request),
	}
}

// Approve is the body that approves an act: the hash of the request that was looked at.
type Approve struct {
	SHA256 string `json:"sha256"`
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

// operator returns the name of the operator who makes a request, "" for whoever runs the
// server. A request that was approved is that of who asked for it.
func (s *server) operator(r *http.Request) (string, error) {
	if p, ok := r.Context().Value(approvedKey{}).(*telamon.Proposal); ok {
		return p.RequestedBy, nil
	}
	if s.Operators == nil {
		return "", nil
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return s.Operators.Identify(web.PeerUID(r.Context()), token)
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
	r, err := http.NewRequestWithContext(context.WithValue(ctx, approvedKey{}, p), in.Method, in.Path, strings.NewReader(in.Body))
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
		p, err := s.Staff.ExecuteProposal(ctx, c.actor, id, in.SHA256, func(ctx context.Context, p *telamon.Proposal) (outcome string) {
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
		p, err := s.Staff.RejectProposal(ctx, c.actor, id)
		return approvalOf(p), err
	})
}
