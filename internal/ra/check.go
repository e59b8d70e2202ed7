package ra

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// CheckDNS looks for the claim's token, or for a standing record, in the DNS at an
// authorization domain name, and reports whether the claim is verified now. A nil adn
// is the claimed domain. If the check is not over in a few seconds it goes on by
// itself; after one that found nothing, more follow for a while.
//
// What was not found is a line of the claim's log and no error. CheckDNS reports
// NotFound; Invalid with authorization_domain if control cannot be shown at adn;
// Conflict with claim_expired if the claim needs another token; and NotReady with
// check_running if an earlier check is still running.
func (ra *RA) CheckDNS(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, adn *string) (verified bool, err error) {
	return ra.checkDNS(ctx, actor, id, adn, ra.validation.Inline)
}

// StartDNS is CheckDNS for people, who see the check run: it waits for it just as long as
// a page may take.
func (ra *RA) StartDNS(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, adn *string) (verified bool, err error) {
	return ra.checkDNS(ctx, actor, id, adn, startWait)
}

// startWait is how long a page waits for the check that it starts: an answer that takes
// no longer needs no sign that something runs.
const startWait = 150 * time.Millisecond

func (ra *RA) checkDNS(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, adn *string, wait time.Duration) (bool, error) {
	return ra.check(ctx, actor, telamon.ClaimDomain, id, wait, func(scope *directory.Scope, claim *telamon.Claim) (dcv.Question, error) {
		q := dcv.Question{Method: telamon.MethodDNS, Kind: claim.Kind, Name: claim.Name, ADN: claim.Name}
		if adn != nil {
			var err error
			if q.ADN, q.Method, err = dcv.AuthorizationDomain(claim.Name, *adn, ra.validation.PrivateSuffixes); err != nil {
				return q, invalidADN("authorization_domain", err.Error())
			}
		}
		if q.Method == telamon.MethodPersist {
			q.Issuers, q.AccountURI = ra.validation.Issuers, ra.validation.accountURI(scope.Account.ID.String())
		} else {
			q.Values = ra.tokenValues(claim)
		}
		return q, nil
	})
}

// CheckHTTP is CheckDNS for a file on the claimed host or address, fetched by the
// scheme, http or https.
func (ra *RA) CheckHTTP(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID, scheme string, adn *string) (verified bool, err error) {
	return ra.checkHTTP(ctx, actor, kind, id, scheme, adn, ra.validation.Inline)
}

// StartHTTP is to CheckHTTP what StartDNS is to CheckDNS.
func (ra *RA) StartHTTP(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID, scheme string) (verified bool, err error) {
	return ra.checkHTTP(ctx, actor, kind, id, scheme, nil, startWait)
}

func (ra *RA) checkHTTP(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID, scheme string, adn *string,
	wait time.Duration) (bool, error) {
	return ra.check(ctx, actor, kind, id, wait, func(_ *directory.Scope, claim *telamon.Claim) (dcv.Question, error) {
		q := dcv.Question{
			Method: telamon.MethodHTTP, Kind: kind, Name: claim.Name, ADN: claim.Name, Scheme: scheme, Values: ra.tokenValues(claim),
		}
		if scheme != "http" && scheme != "https" {
			return q, invalid("scheme", "is invalid")
		}
		if adn == nil {
			return q, nil
		}
		if asked, err := ra.claimable(kind, *adn); err != nil || asked != claim.Name {
			field := "authorization_domain"
			if kind == telamon.ClaimIP {
				field = "authorization_ip_address"
			}
			return q, invalidADN(field, "must be what is claimed: a file shows control of its own host alone")
		}
		return q, nil
	})
}

func invalidADN(field, problem string) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "authorization_domain", Detail: field + ": " + problem,
		Fields: []fault.Field{{Path: field, Problem: problem}},
	}
}

func (ra *RA) tokenValues(c *telamon.Claim) []string {
	return dcv.TokenValues(ra.validation.TokenPrefix, c.Token)
}

// check runs a check of one of the identity's claims, whose question ask makes, and waits
// so long for its end.
func (ra *RA) check(ctx context.Context, actor telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID, wait time.Duration,
	ask func(*directory.Scope, *telamon.Claim) (dcv.Question, error)) (bool, error) {
	scope, claim, err := ra.claim(ctx, actor, authz.ClaimCheck, kind, id)
	if err != nil {
		return false, err
	}
	q, err := ask(scope, claim)
	if err != nil {
		return false, err
	}
	if verified, err := ra.assertable(claim, ra.clock.Now()); verified || err != nil {
		return verified, err
	}
	run := &checkRun{Question: q, Corroborate: scope.Service.StrictMPIC, Round: claim.Round}
	if err := ra.begin(ctx, claim, run); err != nil {
		return false, err
	}
	ended := make(chan outcome, 1)
	ra.checks.Go(func() {
		// The check outlives a client that goes away.
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkLasts)
		defer cancel()
		verified, err := ra.finishOrRecover(detached, actor, claim, run)
		ended <- outcome{verified, err}
	})
	waited := time.NewTimer(wait)
	defer waited.Stop()
	select {
	case o := <-ended:
		return o.verified, o.err
	case <-waited.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

type outcome struct {
	verified bool
	err      error
}

// assertable reports whether the claim is verified without an open token, so that
// there is nothing to check. It reports Conflict with claim_expired if the claim needs
// a new token first.
func (ra *RA) assertable(claim *telamon.Claim, now time.Time) (verified bool, err error) {
	if claim.Status == telamon.ClaimVerified && !claim.Open {
		return true, nil
	}
	if !claim.Open || !now.Before(claim.AssertBy) {
		return false, fault.New(fault.Conflict, fault.CodeClaimExpired, "Claim expired. Reassert first")
	}
	return false, nil
}

// A checkRun is one check of a claim, and the arguments of the job that does it again.
type checkRun struct {
	ID          string       `json:"-"`
	Question    dcv.Question `json:"question"`
	Corroborate bool         `json:"corroborate,omitempty"` // by remote perspectives
	Round       int64        `json:"round"`                 // of the claim's token
	Repeat      int          `json:"repeat,omitempty"`      // how many checks came before this one

	inBackground bool // nobody waits for it
}

// begin marks that the check runs, and leaves a job that does it if this process dies.
func (ra *RA) begin(ctx context.Context, claim *telamon.Claim, run *checkRun) error {
	// To be cut short counts as a repetition, so that a check that takes its process
	// down does not do so for ever.
	again := *run
	again.Repeat++
	job, err := again.job(claim.ID)
	if err != nil {
		return err
	}
	run.ID = telamon.NewJobID().String()
	return ra.write(ctx, run, func() error {
		return ra.store.BeginCheck(ctx, claim.ID, store.CheckStart{ID: run.ID, Round: run.Round, Lasts: checkLasts, Job: job})
	})
}

// writesAtOnce is how many repeated checks one process begins or ends at a time. A
// database writes one thing after the other: what requests write must not wait behind a
// thousand checks that were due at the same moment, nor they until they are given up.
const writesAtOnce = 8

// write changes the database for a check, which waits its turn if nobody waits for it.
func (ra *RA) write(ctx context.Context, run *checkRun, change func() error) error {
	if run.inBackground {
		select {
		case ra.repeating <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-ra.repeating }()
	}
	return change()
}

// job returns the job that does the check; its time is for the caller to set. The
// values that are looked for are left out: they are the claim's.
func (run *checkRun) job(id telamon.ClaimID) (store.Job, error) {
	kept := *run
	kept.Question.Values = nil
	args, err := json.Marshal(&kept)
	if err != nil {
		return store.Job{}, fmt.Errorf("encode the check of claim %s: %w", id, err)
	}
	return store.Job{Kind: store.JobClaimCheck, Key: id.String(), Args: args}, nil
}

// followUps are how long after a check that found nothing the next one is made, until
// the owner of the domain is told that all have failed.
var followUps = []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}

// maxCutShort is how many checks of a claim may be cut short before they are given up.
const maxCutShort = 4

// finishOrRecover is finish for a goroutine of a request: a panic is an error like any
// other.
func (ra *RA) finishOrRecover(ctx context.Context, actor telamon.Actor, claim *telamon.Claim, run *checkRun) (verified bool, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			verified, err = false, fmt.Errorf("check claim %s: panic: %v\n%s", claim.ID, cause, debug.Stack())
			ra.log.ErrorContext(ctx, "a check failed", "claim", claim.ID, "error", err)
		}
	}()
	return ra.finish(ctx, actor, claim, run)
}

// finish looks at the domain and writes what came of it. A check that ctx cuts short
// leaves nothing: its job does it again.
func (ra *RA) finish(ctx context.Context, actor telamon.Actor, claim *telamon.Claim, run *checkRun) (bool, error) {
	finding, err := ra.validation.Panel.Validate(ctx, run.Question, run.Corroborate)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	now := ra.clock.Now()
	if finding.Found && !now.Before(claim.AssertBy) { // while it was looked for
		finding.Found, finding.Problem = false, "The token has expired."
	}
	end := store.CheckEnd{CheckID: run.ID, Round: run.Round, Entry: ra.entry(run, finding, err)}
	if err == nil && finding.Found {
		if err := ra.concludeFound(ctx, claim, run, finding, &end, now); err != nil {
			return false, err
		}
	} else if err := ra.concludeMissing(ctx, claim, run, &end, now); err != nil {
		return false, err
	}
	err = ra.write(ctx, run, func() error {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalLimit)
		defer cancel()
		return ra.store.EndCheck(ended, actor, claim.ID, end)
	})
	if err != nil {
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) {
			return false, nil // deleted or reasserted while the check ran
		}
		ra.log.ErrorContext(ctx, "the outcome of a check was not written", "claim", claim.ID, "error", err)
		return false, err
	}
	ra.wake()
	return end.Verification != nil, nil
}

// entry is the line of the claim's log about a check.
func (ra *RA) entry(run *checkRun, finding dcv.Finding, err error) telamon.ClaimLogEntry {
	e := telamon.ClaimLogEntry{Status: telamon.LogError, Method: run.Question.Method, Evidence: finding.Evidence}
	switch {
	case err != nil:
		e.Description = "error verifying domain claim"
	case finding.Found:
		e.Status, e.Description = telamon.LogSuccess, "claim successfully verified"
	case run.Question.Method == telamon.MethodHTTP:
		e.Description = finding.Problem
	default:
		e.Description = "no valid DNS records returned: " + finding.Problem
	}
	return e
}

// concludeFound completes the end of a check that found what it looked for.
func (ra *RA) concludeFound(ctx context.Context, claim *telamon.Claim, run *checkRun, finding dcv.Finding, end *store.CheckEnd, now time.Time) error {
	v := &telamon.Verification{
		ID: telamon.NewVerificationID(), Claim: claim.ID, Account: claim.Account, Identity: claim.Identity, Kind: claim.Kind,
		Name: claim.Name, ADN: run.Question.ADN, Method: run.Question.Method, Coverage: finding.Coverage, At: now,
		TokenAt: claim.TokenAt, Evidence: finding.Evidence,
	}
	return ra.concludeVerified(ctx, claim, v, end)
}

// concludeVerified completes an end with a verification and what follows from it.
func (ra *RA) concludeVerified(ctx context.Context, claim *telamon.Claim, v *telamon.Verification, end *store.CheckEnd) error {
	end.Verification, end.ExpiresAt = v, ra.validation.end(v.Method, v.At)
	if v.Evidence.Until != nil {
		end.ExpiresAt = earliest(end.ExpiresAt, *v.Evidence.Until)
	}
	if end.ExpiresAt.Unix() == claim.ExpiresAt.Unix() {
		// A dated rule ends both at the same time, and clients wait for the end to change
		// to see that a reasserted claim is verified again.
		end.ExpiresAt = end.ExpiresAt.Add(-time.Second)
	}
	verified := *claim
	verified.Open, verified.Status, verified.Method, verified.VerifiedAt, verified.ExpiresAt =
		false, telamon.ClaimVerified, v.Method, v.At, end.ExpiresAt
	var err error
	end.Extra, err = ra.reminders(ctx, &verified, notify.TemplateClaimVerified, "")
	return err
}

// concludeMissing completes the end of a check that found nothing: another one
// follows, or the domain's people are told that all have failed.
func (ra *RA) concludeMissing(ctx context.Context, claim *telamon.Claim, run *checkRun, end *store.CheckEnd, now time.Time) error {
	if run.Repeat < len(followUps) && now.Add(followUps[run.Repeat]).Before(claim.AssertBy) {
		next := *run
		next.Repeat++
		job, err := next.job(claim.ID)
		job.RunAt = now.Add(followUps[run.Repeat])
		end.Next = &job
		return err
	}
	if run.Repeat == 0 {
		return nil
	}
	var err error
	end.Extra, err = ra.reminders(ctx, claim, notify.TemplateClaimFailing, end.Entry.Description)
	return err
}

// wake tells the runner of jobs that there may be some.
func (ra *RA) wake() {
	if ra.wakeJobs != nil {
		ra.wakeJobs()
	}
}

// checkAgain does a job that checks a claim again: one that was cut short, or one that
// follows a check that found nothing.
func (ra *RA) checkAgain(ctx context.Context, job store.Job) (time.Time, error) {
	run := checkRun{inBackground: true}
	if err := json.Unmarshal(job.Args, &run); err != nil {
		return time.Time{}, fmt.Errorf("read the arguments: %w", err)
	}
	claim, err := ra.store.AnyClaim(ctx, telamon.ClaimID(job.Key))
	if fault.Is(err, fault.NotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if claim.Round != run.Round || !claim.Open || !ra.clock.Now().Before(claim.AssertBy) {
		return time.Time{}, nil
	}
	if run.Repeat > len(followUps)+maxCutShort {
		ra.log.ErrorContext(ctx, "a check that is cut short each time is given up", "claim", claim.ID)
		return time.Time{}, nil
	}
	if run.Question.Method != telamon.MethodPersist {
		run.Question.Values = ra.tokenValues(claim)
	}
	actor := telamon.Actor{Kind: telamon.ActorSystem, Account: claim.Account}
	if err := authz.Check(actor, authz.ClaimCheck, claim.Account); err != nil {
		return time.Time{}, err
	}
	err = ra.begin(ctx, claim, &run) // puts a job in this one's place
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotReady) {
		return time.Time{}, nil // somebody else does it
	}
	if err != nil {
		return time.Time{}, err
	}
	_, err = ra.finish(ctx, actor, claim, &run)
	return time.Time{}, err
}

// checksAtOnce is how many repeated checks one process makes at a time. They wait for
// other people's servers, so there is room for many: dead servers must not keep a live
// one waiting.
const checksAtOnce = 2048

// Handlers returns what does the jobs about claims.
func (ra *RA) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{
		store.JobClaimCheck:  {Run: ra.checkAgain, AtOnce: checksAtOnce, Lease: 2 * checkLasts, Attempts: 5},
		store.JobClaimRemind: {Run: ra.remind, AtOnce: 4, Lease: time.Minute},

		store.JobCertificateRemind: {Run: ra.remindOfCertificates, AtOnce: 1, Lease: time.Minute},
	}
}
