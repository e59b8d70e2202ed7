package doctor

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/witness"
)

// auditLate is for how long an event may wait for its place in the log.
const auditLate = time.Minute

// maxProblems is how many problems of the audit log are told one by one.
const maxProblems = 10

// auditLog verifies the whole audit log, against what was kept of it too.
func (e *examination) auditLog(ctx context.Context) {
	const look = "find out who has changed the database: docs/OPERATIONS.md, \"Somebody may have changed the database\""
	key, err := app.AuditVerifierKey(e.cfg)
	if err != nil {
		return // which the keystore's check tells
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		e.fail("audit", look, "%v", err)
		return
	}
	since, told := e.count(), 0
	e.kept(ctx, verifier)
	opts := audit.Options{Verifier: verifier, PurgedBefore: e.options.PurgedBefore, Report: func(p audit.Problem) {
		if told++; told <= maxProblems {
			e.fail("audit", look, "%s", p)
		}
	}}
	if opts.PurgedBefore.IsZero() { // what retention took is known to the log
		horizon, err := e.db.AuditHorizon(ctx)
		if fault.Is(err, fault.NotReady) {
			e.warn("audit", "examine again in a few seconds", "events were purged a moment ago, and the log does not say so yet")
			return
		}
		if err != nil {
			e.fail("audit", look, "%v", err)
		}
		opts.PurgedBefore = horizon
	}
	for _, text := range e.options.Checkpoints {
		c, err := audit.OpenCheckpoint(text, verifier)
		if err != nil {
			e.fail("audit", "give a checkpoint of this installation", "%v", err)
			continue
		}
		opts.Trusted = append(opts.Trusted, c)
	}
	result, err := e.db.VerifyAudit(ctx, opts)
	if err != nil {
		e.fail("audit", look, "%v", err)
		return
	}
	if told > maxProblems {
		e.fail("audit", "telamon audit verify lists them all", "there are %d problems more", told-maxProblems)
	}
	if result.Lag.IsLate(e.now, auditLate) && e.report.Running {
		e.fail("audit", "look at the servers' logs: one of them should give events their places", "%d events have no place in the log, the oldest for %s",
			result.Lag.Pending, result.Lag.Age(e.now).Round(time.Second))
	}
	e.sound(since, "audit", "%d events, all of them unchanged and in their places", result.Events)
	epochs, err := e.db.Epochs(ctx)
	if err == nil && len(epochs) > 0 {
		last := epochs[len(epochs)-1]
		e.ok("epoch", "the database was restored %d times, last on %s with %d events", len(epochs), last.At.Format(time.RFC3339), last.Tree.Size)
	}
}

// kept looks at the checkpoint that the server exports to a file.
func (e *examination) kept(ctx context.Context, verifier note.Verifier) {
	path := e.cfg.Audit.CheckpointFile
	if path == "" {
		if e.cfg.Audit.WebhookURL == "" && e.cfg.Audit.WitnessURL == "" {
			e.warn("audit", "set audit.checkpoint_file to a place that the database's backups do not go to", "no checkpoint is exported: an old database that is put back is not noticed")
		}
		return
	}
	err := witness.CheckFile(ctx, e.db, verifier, path)
	switch {
	case errors.Is(err, witness.ErrRolledBack):
		e.fail("audit", "restore the newest backup, or admit this database: docs/RECOVERY.md", "%s: %v", path, err)
	case err != nil:
		e.fail("audit", "make audit.checkpoint_file readable, and look what it holds", "%v", err)
	case e.report.Running:
		e.exports(ctx, path)
	}
}

// exportLate is for how long a running server may not have exported a checkpoint.
const exportLate = 5 * time.Minute

// exports looks whether a running server exports checkpoints.
func (e *examination) exports(ctx context.Context, path string) {
	head, err := e.db.AuditHead(ctx)
	if err != nil || head.Checkpoint == "" || e.now.Sub(head.At) < exportLate {
		return
	}
	if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(head.Checkpoint, firstLines(string(text))) {
		e.warn("audit", "look at the server's log: it exports each minute", "%s does not hold the checkpoint of %s", path, head.At.Format(time.RFC3339))
	}
}

// firstLines returns the name, size and root of a checkpoint; witnesses may have signed
// it since.
func firstLines(checkpoint string) string {
	lines := strings.SplitAfterN(checkpoint, "\n", 4)
	return strings.Join(lines[:min(len(lines), 3)], "")
}
