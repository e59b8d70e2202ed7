// Package vetting holds the use cases of the CA's vetting agents: the queue of cases, what
// was checked and the evidence of it, and the decision, which takes two agents of whom
// neither belongs to the customer. It also lets vetted identities expire in time, and writes
// the mails that tell of them.
//
// It does not look anything up itself: it keeps what agents say they saw, and decides by
// that. Package iam has the customer's half. It knows no HTTP and no SQL, and trusts its
// caller for the actor.
package vetting

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

// Config names what the use cases are made of.
type Config struct {
	Store     *store.DB
	Directory *directory.Directory
	Clock     telamon.Clock
	Rules     *rules.Table // how long a vetting is good; nil: those that are built in
	Platform  string       // the name of the installation, for mails
	PortalURL string       // of the portal, without a final slash; "" if there is none
	ReplyTo   string       // the address that answers to mails about cases go to; "": none
	Wake      func()       // tells that there are jobs; nil: they are found in time
}

// Vetting serves the use cases. It is safe for concurrent use.
type Vetting struct {
	store     *store.DB
	directory *directory.Directory
	clock     telamon.Clock
	rules     *rules.Table
	platform  string
	portalURL string
	replyTo   string
	wake      func()
}

// New returns the use cases.
func New(cfg Config) *Vetting {
	v := &Vetting{
		store: cfg.Store, directory: cfg.Directory, clock: cfg.Clock, rules: cfg.Rules, platform: cfg.Platform,
		portalURL: cfg.PortalURL, replyTo: cfg.ReplyTo, wake: cfg.Wake,
	}
	if v.rules == nil {
		v.rules = rules.Default()
	}
	if v.wake == nil {
		v.wake = func() {}
	}
	return v
}

// maxQueue is how many cases are listed at a time.
const maxQueue = 100

// Queue lists cases in a state, the oldest first, at most 100: those after a number, and if
// mine is set those alone in which the actor has done something. It returns the number to go
// on from, 0 at the end.
func (v *Vetting) Queue(ctx context.Context, actor telamon.Actor, state telamon.VettingState, mine bool, after int64) ([]store.QueuedCase, int64, error) {
	if err := authz.Check(actor, authz.VettingRead, ""); err != nil {
		return nil, 0, err
	}
	f := store.VettingFilter{State: state, After: after, Limit: maxQueue + 1}
	if mine {
		f.Agent = actor.Subject()
	}
	list, err := v.store.VettingQueue(ctx, f)
	if err != nil || len(list) <= maxQueue {
		return list, 0, err
	}
	return list[:maxQueue], list[maxQueue-1].Number, nil
}

// Counts returns how many cases are in each state.
func (v *Vetting) Counts(ctx context.Context, actor telamon.Actor) (map[telamon.VettingState]int64, error) {
	if err := authz.Check(actor, authz.VettingRead, ""); err != nil {
		return nil, err
	}
	return v.store.CountVettingCases(ctx)
}

// A Case is all that there is to see of a case.
type Case struct {
	telamon.VettingCase
	AccountName string
	Identity    telamon.Identity
	Checks      []telamon.VettingCheck // struck ones too, in the order in which they were noted
	Evidence    []telamon.VettingEvidence
	Missing     []telamon.CheckKind // that nothing that counts was noted of
	Until       time.Time           // until when the vetting would be good if it were approved now
	// Barred says why the actor may not work on the case: one of the codes of Barred's
	// faults; "" if they may.
	Barred string
}

// Case returns a case. It reports NotFound.
func (v *Vetting) Case(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID) (*Case, error) {
	if err := authz.Check(actor, authz.VettingRead, ""); err != nil {
		return nil, err
	}
	found, err := v.store.VettingCase(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &Case{VettingCase: found, Until: v.until()}
	account, err := v.store.Account(ctx, found.Account)
	if err != nil {
		return nil, err
	}
	c.AccountName = account.Name
	if c.Identity, err = v.store.Identity(ctx, found.Account, found.Identity); err != nil {
		return nil, err
	}
	if c.Checks, err = v.store.VettingChecks(ctx, id); err != nil {
		return nil, err
	}
	if c.Evidence, err = v.store.VettingEvidence(ctx, id); err != nil {
		return nil, err
	}
	c.Missing = missing(c.Checks)
	if err := mayWork(actor, &found); err != nil {
		c.Barred = fault.From(err).Code
	}
	return c, nil
}

// missing returns the kinds of checks of which nothing that counts was noted.
func missing(checks []telamon.VettingCheck) []telamon.CheckKind {
	return slices.DeleteFunc(telamon.CheckKinds(), func(kind telamon.CheckKind) bool {
		return slices.ContainsFunc(checks, func(k telamon.VettingCheck) bool { return k.Kind == kind && k.Counts() })
	})
}

// mayWork reports Denied with own_account to agents of the account that is vetted
// (requirement 28).
func mayWork(actor telamon.Actor, c *telamon.VettingCase) error {
	if actor.Account == c.Account {
		return fault.New(fault.Denied, "own_account", "The case is of your own account: agents of another one vet it.")
	}
	return nil
}

// working returns a case that the actor may work on.
func (v *Vetting) working(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.VettingCaseID) (telamon.VettingCase, error) {
	if err := authz.Check(actor, authz.VettingRead, ""); err != nil {
		return telamon.VettingCase{}, err
	}
	c, err := v.store.VettingCase(ctx, id)
	if err != nil {
		return c, err
	}
	if err := authz.Check(actor, action, c.Account); err != nil {
		return c, err
	}
	return c, mayWork(actor, &c)
}

// A NewCheck is what an agent notes of a check.
type NewCheck struct {
	Kind        telamon.CheckKind
	Source      string
	Independent bool // see telamon.VettingCheck
	Method      telamon.ContactMethod
	Contact     string
	Evidence    telamon.EvidenceID
	Note        string
}

// Bounds of texts in characters.
const (
	maxSource = 200
	maxNote   = 2000
)

// check reports Invalid with invalid_check, with a field for each thing to mend.
func (n *NewCheck) check() error {
	var p field.Problems
	if !slices.Contains(telamon.CheckKinds(), n.Kind) {
		p.Add("kind", "is no kind of check")
	}
	p.Text("source", n.Source, maxSource)
	if n.Note != "" {
		p.Prose("note", n.Note, maxNote)
	}
	if n.Kind == telamon.CheckContact {
		if !slices.Contains(telamon.ContactMethods(), n.Method) {
			p.Add("method", "is none of the methods of contact")
		}
		p.Text("contact", n.Contact, maxSource)
		if n.Evidence == "" && n.Note == "" {
			p.Add("note", "is required where there is no evidence: who was spoken to, when, and what they said")
		}
	} else {
		if n.Method != "" || n.Contact != "" {
			p.Add("method", "is for a contact alone")
		}
		if n.Evidence == "" {
			p.Add("evidence", "is required: what the source showed")
		}
	}
	return p.Fault("invalid_check")
}

// Record notes a check of an open case. It reports Invalid, NotFound, Denied with
// own_account, and Conflict with case_decided.
func (v *Vetting) Record(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, n NewCheck) error {
	if _, err := v.working(ctx, actor, authz.VettingRecord, id); err != nil {
		return err
	}
	if err := n.check(); err != nil {
		return err
	}
	return v.store.AddVettingCheck(ctx, actor, &telamon.VettingCheck{
		ID: telamon.NewVettingCheckID(), Case: id, Kind: n.Kind, Source: n.Source, Independent: n.Independent, Method: n.Method,
		Contact: n.Contact, Evidence: n.Evidence, Note: n.Note,
	})
}

// Strike takes a check of an open case back; it stays to be seen. It reports NotFound,
// Denied with own_account, and Conflict with case_decided or check_struck.
func (v *Vetting) Strike(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, check telamon.VettingCheckID) error {
	if _, err := v.working(ctx, actor, authz.VettingRecord, id); err != nil {
		return err
	}
	return v.store.StrikeVettingCheck(ctx, actor, id, check)
}

// Process ends the first agent's work: all is checked, and another agent is to approve. It
// reports Invalid with checks_missing and a field for each kind of which nothing that counts
// was noted; NotFound; Denied with own_account; and Conflict if the case has moved on.
func (v *Vetting) Process(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, reason string) error {
	d := store.VettingDecision{From: telamon.VettingQueued, To: telamon.VettingProcessed, Move: store.IdentityMove{
		From: telamon.IdentityQueued, To: telamon.IdentityProcessed, Action: string(authz.IdentityProcess),
	}}
	return v.decide(ctx, actor, authz.IdentityProcess, id, d, reason, func(_ *telamon.VettingCase, checks []telamon.VettingCheck) error {
		return mustBeComplete(checks)
	})
}

func mustBeComplete(checks []telamon.VettingCheck) error {
	var p field.Problems
	for _, kind := range missing(checks) {
		p.Add(string(kind), "has no entry from an independent source: what the applicant supplied does not count")
	}
	return p.Fault("checks_missing")
}

// Approve ends a case: the identity is active until the vetting must be repeated. It
// reports what Process reports, and Denied with same_agent to the agent who processed the
// case.
func (v *Vetting) Approve(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, reason string) error {
	until := v.until()
	d := store.VettingDecision{From: telamon.VettingProcessed, To: telamon.VettingApproved, Move: store.IdentityMove{
		From: telamon.IdentityProcessed, To: telamon.IdentityActive, Action: string(authz.IdentityActivate), ExpiresAt: until,
		ToldDays: telamon.IdentityReminder(until, v.clock.Now()),
	}}
	return v.decide(ctx, actor, authz.IdentityActivate, id, d, reason, func(c *telamon.VettingCase, checks []telamon.VettingCheck) error {
		if c.ProcessedBy == actor.Subject() {
			return fault.New(fault.Denied, "same_agent", "You processed the case yourself: another agent approves it.")
		}
		return mustBeComplete(checks)
	})
}

// Reject ends a case: what was requested could not be verified. The customer reads the
// reason. One agent can do that at any time. It reports Invalid, NotFound, Denied with
// own_account, and Conflict with case_decided.
func (v *Vetting) Reject(ctx context.Context, actor telamon.Actor, id telamon.VettingCaseID, reason string) error {
	c, err := v.working(ctx, actor, authz.IdentityReject, id)
	if err != nil {
		return err
	}
	if !c.State.IsOpen() {
		return fault.New(fault.Conflict, "case_decided", "The case is decided.")
	}
	d := store.VettingDecision{From: c.State, To: telamon.VettingRejected, Move: store.IdentityMove{
		From: telamon.IdentityState(c.State), To: telamon.IdentityRejected, Action: string(authz.IdentityReject),
	}}
	return v.decide(ctx, actor, authz.IdentityReject, id, d, reason, func(*telamon.VettingCase, []telamon.VettingCheck) error { return nil })
}

// decide takes a step of a case.
func (v *Vetting) decide(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.VettingCaseID, d store.VettingDecision, reason string, may func(*telamon.VettingCase, []telamon.VettingCheck) error) error {
	c, err := v.working(ctx, actor, action, id)
	if err != nil {
		return err
	}
	var p field.Problems
	p.Prose("reason", reason, maxNote)
	if err := p.Fault("invalid_decision"); err != nil {
		return err
	}
	d.Case, d.Reason, d.Move.Reason = id, reason, reason
	if err := v.store.DecideVetting(ctx, actor, d, may); err != nil {
		return fmt.Errorf("%s case %s: %w", d.To, c.Reference(), err)
	}
	v.directory.Refresh(ctx, store.Change{Kind: store.ChangeIdentity, Object: c.Identity.String()})
	v.wake()
	return nil
}

// until returns when a vetting that is finished now must be repeated (BR 4.2.1).
func (v *Vetting) until() time.Time {
	now := v.clock.Now()
	return now.Add(v.rules.IdentityReuse(now))
}
