package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// An Issuer is a root or an issuing CA.
type Issuer struct {
	ID          telamon.IssuerID     `json:"id"`
	Role        telamon.IssuerRole   `json:"role"`
	Status      telamon.IssuerStatus `json:"status"`
	Series      string               `json:"series,omitempty"`
	Parent      telamon.IssuerID     `json:"parent,omitempty"`
	Subject     string               `json:"subject"`
	Serial      string               `json:"serial"`
	NotBefore   time.Time            `json:"not_before"`
	NotAfter    time.Time            `json:"not_after"`
	ActivateAt  time.Time            `json:"activate_at"`
	RetireAt    *time.Time           `json:"retire_at,omitempty"`   // null: no successor is planned
	SignsUntil  *time.Time           `json:"signs_until,omitempty"` // for tokens that are bound to it
	CRLShards   int                  `json:"crl_shards"`
	Certificate string               `json:"certificate"` // PEM
}

// Status says how the server does.
type Status struct {
	Version       string     `json:"version"`
	Database      string     `json:"database"` // "sqlite" or "postgres"
	Schema        int64      `json:"schema"`
	Ready         bool       `json:"ready"`
	NotReady      string     `json:"not_ready,omitempty"` // why
	AuditEvents   int64      `json:"audit_events"`        // that have a place in the log
	AuditPending  int64      `json:"audit_pending"`       // that have none yet
	AuditOldest   *time.Time `json:"audit_oldest_pending,omitempty"`
	AuditVerifier string     `json:"audit_verifier"` // the key by which checkpoints are verified
}

// An AuditList is a part of the list of events, which may be empty although there
// is a next one.
type AuditList struct {
	Items      []*audit.Payload  `json:"items"`
	Unreadable []telamon.EventID `json:"unreadable,omitempty"` // were altered so that they cannot be read
	Next       telamon.EventID   `json:"next,omitempty"`
}

// A Checkpoint is the newest signed note of the log.
type Checkpoint struct {
	Checkpoint string     `json:"checkpoint"`
	Verifier   string     `json:"verifier"` // the key by which it is verified
	At         *time.Time `json:"at"`       // null: there is none yet
}

// Verify is the body that asks for a verification of the audit log.
type Verify struct {
	// Checkpoints are signed notes that were kept elsewhere: the log must hold
	// all that they hold. Without one, whoever can sign can shorten the log.
	Checkpoints []string `json:"checkpoints,omitempty"`
	// Since is a checkpoint that was kept elsewhere: only what came after it is
	// verified, and that the log began so. It excludes Checkpoints.
	Since string `json:"since,omitempty"`
	// PurgedBefore is the end of the time whose events may be missing; without it, what
	// the log itself says that retention took.
	PurgedBefore *time.Time `json:"purged_before,omitempty"`
}

// A Verification is what was found.
type Verification struct {
	OK         bool       `json:"ok"`
	Events     int64      `json:"events"`
	Purged     int64      `json:"purged"`
	Pending    int64      `json:"pending"` // too new to have a place
	TreeSize   int64      `json:"tree_size"`
	RootHash   string     `json:"root_hash"`
	Checkpoint string     `json:"checkpoint"` // keep it elsewhere for the next time
	Problems   []string   `json:"problems"`   // the first of them
	Count      int64      `json:"problem_count"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

// maxProblems is how many problems a verification lists.
const maxProblems = 1000

func (s *server) platformRoutes() {
	s.route("GET /status", http.StatusOK, s.status)
	s.route("GET /issuers", http.StatusOK, s.issuers)
	s.route("GET /audit/events", http.StatusOK, s.auditEvents)
	s.route("GET /accounts/{account}/audit/events", http.StatusOK, s.accountEvents)
	s.route("GET /audit/checkpoint", http.StatusOK, s.auditCheckpoint)
	s.route("GET /audit/events/{event}/proof", http.StatusOK, s.auditProof)
	s.route("POST /audit/verify", http.StatusOK, s.auditVerify)
}

func (s *server) status(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.AuditRead); err != nil {
		return nil, err
	}
	out := Status{Version: s.Version, Database: s.Store.Engine(), Ready: true, AuditVerifier: s.VerifierKey}
	if err := s.Ready(ctx); err != nil {
		out.Ready, out.NotReady = false, err.Error()
		return out, nil
	}
	var err error
	if out.Schema, err = s.Store.SchemaVersion(ctx); err != nil {
		return nil, err
	}
	head, err := s.Store.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	lag, err := s.Store.AuditLag(ctx)
	if err != nil {
		return nil, err
	}
	out.AuditEvents, out.AuditPending, out.AuditOldest = head.Tree.Size, lag.Pending, timeOf(lag.Oldest)
	return out, nil
}

func (s *server) issuers(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.IssuerRead); err != nil {
		return nil, err
	}
	issuers, series, err := s.Store.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	names := map[telamon.SeriesID]string{}
	for _, one := range series {
		names[one.ID] = one.Name
	}
	list := List[Issuer]{Items: []Issuer{}}
	for _, i := range issuers {
		serial, _ := telamon.SerialFromInt(i.Certificate.SerialNumber)
		list.Items = append(list.Items, Issuer{
			ID: i.ID, Role: i.Role, Status: i.Status, Series: names[i.Series], Parent: i.Parent,
			Subject: i.Certificate.Subject.String(), Serial: serial.String(), NotBefore: i.Certificate.NotBefore,
			NotAfter: i.Certificate.NotAfter, ActivateAt: i.ActivateAt, RetireAt: timeOf(i.RetireAt), SignsUntil: timeOf(i.SignUntil), CRLShards: i.CRLShards, Certificate: pemOf(i.Certificate),
		})
	}
	return list, nil
}

func (s *server) auditEvents(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.AuditRead); err != nil {
		return nil, err
	}
	var of telamon.AccountID
	if text := c.r.URL.Query().Get("account"); text != "" {
		account, err := c.accountNamed(ctx, text)
		if err != nil {
			return nil, err
		}
		of = account.ID
	}
	return s.eventsOf(ctx, c, of)
}

// accountEvents serves the events of the account in the path.
func (s *server) accountEvents(ctx context.Context, c *call) (any, error) {
	account, err := c.accountID(ctx)
	if err != nil {
		return nil, err
	}
	if err := authz.Check(c.actor, authz.AuditRead, account); err != nil {
		return nil, err
	}
	return s.eventsOf(ctx, c, account)
}

// eventsOf returns the events that the request filters, of all accounts if the account is
// empty.
func (s *server) eventsOf(ctx context.Context, c *call, account telamon.AccountID) (any, error) {
	query := c.r.URL.Query()
	filter := store.AuditFilter{
		Actor: query.Get("actor"), Action: query.Get("action"), Object: query.Get("object"), Result: query.Get("result"),
		Account: account, After: telamon.EventID(query.Get("after")), Limit: defaultPage,
	}
	var err error
	if filter.From, err = timeParameter(query.Get("from"), "from"); err != nil {
		return nil, err
	}
	if filter.To, err = timeParameter(query.Get("to"), "to"); err != nil {
		return nil, err
	}
	if text := query.Get("newest"); text != "" {
		if filter.Newest, err = strconv.ParseBool(text); err != nil {
			return nil, fault.New(fault.Malformed, "newest", "The parameter newest must be true or false.")
		}
	}
	page, err := c.page()
	if err != nil {
		return nil, err
	}
	filter.Limit = page.Limit
	found, err := s.Store.AuditEvents(ctx, filter)
	if err != nil {
		return nil, err
	}
	if found.Events == nil {
		found.Events = []*audit.Payload{}
	}
	return AuditList{Items: found.Events, Unreadable: found.Unreadable, Next: found.Next}, nil
}

func timeParameter(text, name string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fault.New(fault.Malformed, name, "The parameter "+name+" must be a time such as 2026-01-31T12:00:00Z.")
	}
	return at, nil
}

func (s *server) auditCheckpoint(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.AuditRead); err != nil {
		return nil, err
	}
	head, err := s.Store.AuditHead(ctx)
	return Checkpoint{Checkpoint: head.Checkpoint, Verifier: s.VerifierKey, At: timeOf(head.At)}, err
}

func (s *server) auditVerify(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.AuditVerify); err != nil {
		return nil, err
	}
	var in Verify
	if err := c.body(&in); err != nil {
		return nil, err
	}
	return VerifyLog(ctx, s.Store, s.Verifier, in, s.Clock.Now())
}

func openCheckpoint(text string, verifier note.Verifier) (audit.Checkpoint, error) {
	checkpoint, err := audit.OpenCheckpoint(text, verifier)
	if err != nil {
		return checkpoint, &fault.Fault{Kind: fault.Invalid, Code: "checkpoint", Detail: "A checkpoint is not one of this log.", Cause: err}
	}
	return checkpoint, nil
}

// An AuditProof proves to others that an event is in the log.
type AuditProof struct {
	Event string `json:"event"` // its octets, whose hash is the leaf
	Seq   int64  `json:"seq"`
	Proof string `json:"proof"` // c2sp.org/tlog-proof, with the signed checkpoint
}

func (s *server) auditProof(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.AuditRead); err != nil {
		return nil, err
	}
	return ProveEvent(ctx, s.Store, telamon.EventID(c.r.PathValue("event")))
}

// ProveEvent proves an event of a database: see [store.DB.AuditProof].
func ProveEvent(ctx context.Context, db *store.DB, event telamon.EventID) (*AuditProof, error) {
	proof, err := db.AuditProof(ctx, "", event)
	if err != nil {
		return nil, err
	}
	return &AuditProof{Event: string(proof.Payload), Seq: proof.Seq, Proof: audit.InclusionText(proof.Seq, proof.Proof, proof.Checkpoint)}, nil
}

// VerifyLog verifies the audit log of a database: by a server of its own, or by the
// command for one that does not run.
func VerifyLog(ctx context.Context, db *store.DB, verifier note.Verifier, in Verify, now time.Time) (*Verification, error) {
	out := &Verification{Problems: []string{}}
	opts := audit.Options{Verifier: verifier, PurgedBefore: valueOf(in.PurgedBefore), Report: func(p audit.Problem) {
		if len(out.Problems) < maxProblems {
			out.Problems = append(out.Problems, p.String())
		}
	}}
	if in.PurgedBefore == nil {
		horizon, err := db.AuditHorizon(ctx)
		if fault.Is(err, fault.NotReady) { // events were purged a moment ago
			return nil, err
		}
		if err != nil {
			opts.Report(audit.Problem{Kind: audit.Altered, What: "horizon", Seq: -1, Text: fault.From(err).Detail})
		}
		opts.PurgedBefore = horizon
	}
	for _, text := range in.Checkpoints {
		checkpoint, err := openCheckpoint(text, verifier)
		if err != nil {
			return nil, err
		}
		opts.Trusted = append(opts.Trusted, checkpoint)
	}
	var result audit.Result
	var err error
	if in.Since == "" {
		result, err = db.VerifyAudit(ctx, opts)
	} else if since, openErr := openCheckpoint(in.Since, verifier); openErr != nil {
		return nil, openErr
	} else if len(in.Checkpoints) > 0 {
		return nil, fault.New(fault.Invalid, "checkpoint", "Give either since or checkpoints.")
	} else {
		result, err = db.VerifyAuditSince(ctx, since, opts)
	}
	if err != nil {
		return nil, err
	}
	head, err := db.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	out.OK, out.Events, out.Purged, out.Pending = result.Problems == 0 && len(out.Problems) == 0, result.Events, result.Purged, result.Lag.Pending
	out.TreeSize, out.RootHash, out.Checkpoint = result.Tree.Size, result.Tree.Root.String(), head.Checkpoint
	out.Count, out.FinishedAt = max(result.Problems, int64(len(out.Problems))), timeOf(now)
	return out, nil
}
