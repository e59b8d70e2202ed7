package staff

import (
	"context"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Queue is what waits to be done.
type Queue struct {
	Kinds []store.JobKind
	Jobs  []store.QueuedJob // of one kind or of all, those that are due first
}

// Queue returns the jobs of a kind, of every kind if it is empty, up to a limit.
func (s *Staff) Queue(ctx context.Context, actor telamon.Actor, kind string, limit int) (Queue, error) {
	if err := authz.Check(actor, authz.PlatformRead, ""); err != nil {
		return Queue{}, err
	}
	kinds, err := s.store.JobKinds(ctx)
	if err != nil {
		return Queue{}, err
	}
	jobs, err := s.store.QueuedJobs(ctx, kind, limit)
	return Queue{kinds, jobs}, err
}

// QueuedJob returns a job. It reports NotFound.
func (s *Staff) QueuedJob(ctx context.Context, actor telamon.Actor, id telamon.JobID) (store.QueuedJob, error) {
	if err := authz.Check(actor, authz.PlatformRead, ""); err != nil {
		return store.QueuedJob{}, err
	}
	return s.store.QueuedJob(ctx, id)
}

// RunJob has a job done now that waits for its time. It reports NotFound, and Conflict with
// job_not_waiting.
func (s *Staff) RunJob(ctx context.Context, actor telamon.Actor, id telamon.JobID) error {
	if err := authz.Check(actor, authz.JobRun, ""); err != nil {
		return err
	}
	if err := s.store.RunJobNow(ctx, actor, id); err != nil {
		return err
	}
	s.wakeJobs()
	return nil
}

// Events lists audit events of every account.
func (s *Staff) Events(ctx context.Context, actor telamon.Actor, f store.AuditFilter) (store.AuditPage, error) {
	if err := authz.Check(actor, authz.AuditRead, f.Account); err != nil {
		return store.AuditPage{}, err
	}
	return s.store.AuditEvents(ctx, f)
}

// A Proven is an audit event and the proof that it is in the log.
type Proven struct {
	Event    *audit.Payload
	Text     []byte // the event's octets, whose hash is the leaf
	Placed   bool   // it has a place in the log; what follows is empty without
	Seq      int64
	Tree     audit.Tree
	Verified bool   // the proof leads from the octets to the root of the signed checkpoint
	Proof    string // c2sp.org/tlog-proof, with the checkpoint
}

// Event returns an audit event of any account with its proof, which is verified here as
// anybody can who has the log's verifier key. It reports NotFound.
func (s *Staff) Event(ctx context.Context, actor telamon.Actor, id telamon.EventID, verifier note.Verifier) (*Proven, error) {
	if err := authz.Check(actor, authz.AuditRead, ""); err != nil {
		return nil, err
	}
	p, err := s.store.AuditProof(ctx, "", id)
	if fault.Is(err, fault.NotReady) {
		return s.unplaced(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	out := &Proven{Text: p.Payload, Placed: true, Seq: p.Seq, Tree: p.Tree, Proof: audit.InclusionText(p.Seq, p.Proof, p.Checkpoint)}
	if out.Event, err = audit.Decode(p.Payload); err != nil {
		return nil, err
	}
	checkpoint, err := audit.OpenCheckpoint(p.Checkpoint, verifier)
	out.Verified = err == nil && checkpoint.Tree == p.Tree &&
		tlog.CheckRecord(p.Proof, checkpoint.Tree.Size, checkpoint.Tree.Root, p.Seq, audit.LeafHash(p.Payload)) == nil
	return out, nil
}

// unplaced is an event that has no place in the log yet.
func (s *Staff) unplaced(ctx context.Context, id telamon.EventID) (*Proven, error) {
	text, err := s.store.EventText(ctx, id)
	if err != nil {
		return nil, err
	}
	event, err := audit.Decode(text)
	return &Proven{Event: event, Text: text}, err
}

// Health says how the platform does, as of now.
type Health struct {
	Engine   string // of the database
	Schema   int64
	Database error // what is wrong with the database; nil: nothing
	Due      []store.JobsDue
	Log      audit.Lag
	LogSize  int64
}

// Health looks at what the platform needs.
func (s *Staff) Health(ctx context.Context, actor telamon.Actor) (*Health, error) {
	if err := authz.Check(actor, authz.PlatformRead, ""); err != nil {
		return nil, err
	}
	h := &Health{Engine: s.store.Engine()}
	if h.Database = s.store.Ready(ctx); h.Database != nil {
		return h, nil
	}
	var err error
	if h.Schema, err = s.store.SchemaVersion(ctx); err != nil {
		return nil, err
	}
	if h.Due, err = s.store.JobsDue(ctx); err != nil {
		return nil, err
	}
	head, err := s.store.AuditHead(ctx)
	if err != nil {
		return nil, err
	}
	h.LogSize = head.Tree.Size
	h.Log, err = s.store.AuditLag(ctx)
	return h, err
}

// Issuers returns every issuer and series.
func (s *Staff) Issuers(ctx context.Context, actor telamon.Actor) ([]telamon.Issuer, []telamon.Series, error) {
	if err := authz.Check(actor, authz.IssuerRead, ""); err != nil {
		return nil, nil, err
	}
	return s.store.Issuers(ctx)
}

// Responders returns the keys that sign OCSP responses.
func (s *Staff) Responders(ctx context.Context, actor telamon.Actor) ([]store.Responder, error) {
	if err := authz.Check(actor, authz.CRLRead, ""); err != nil {
		return nil, err
	}
	return s.store.Responders(ctx)
}

// Certificate returns a certificate of any account, whose it is, and its DER. It reports
// NotFound.
func (s *Staff) Certificate(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (*telamon.Certificate, telamon.Account, []byte, error) {
	if err := authz.Check(actor, authz.CertificateRead, ""); err != nil {
		return nil, telamon.Account{}, nil, err
	}
	cert, owner, err := s.store.CertificateOf(ctx, serial)
	if err != nil {
		return nil, telamon.Account{}, nil, err
	}
	account, err := s.store.Account(ctx, owner)
	if err != nil {
		return nil, account, nil, err
	}
	blob, err := s.store.CertificateBlob(ctx, cert)
	return cert, account, blob.DER, err
}
