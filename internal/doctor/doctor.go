// Package doctor examines an installation, running or not: its configuration, files,
// keys, clock, database, audit log and what it publishes. It changes nothing, and says
// for each thing that is wrong what to do.
//
// It trusts the key-encryption key and what a running server answers on its admin
// socket; the database's content is verified against the keystore.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // somebody should look at it soon
	Fail Level = "fail" // something does not work, or is not what it was
)

// A Finding is what one check found.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"` // such as "keys"; stable
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"` // what to do about it
}

// A Report is what an examination found, in the order of the checks.
type Report struct {
	At       time.Time `json:"at"`
	Running  bool      `json:"running"` // a server answered
	Findings []Finding `json:"findings"`
}

// Worst returns the worst level of all findings.
func (r *Report) Worst() Level {
	worst := OK
	for _, f := range r.Findings {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

// Options say what is examined.
type Options struct {
	Clock telamon.Clock
	// Checkpoints are signed notes that were kept, which the audit log must hold.
	Checkpoints []string
	// PurgedBefore is the end of the time whose audit events may have been purged.
	PurgedBefore time.Time
	// Records is how many of the newest records of each key's journal are compared with
	// the ledger.
	Records int
}

// Examine examines the installation that the configuration names. What cannot be
// examined because something else is wrong is left out: that is a finding itself.
func Examine(ctx context.Context, cfg app.Config, o Options) *Report {
	e := &examination{cfg: cfg, options: o, now: o.Clock.Now()}
	e.report.At = e.now.UTC()
	e.configuration()
	e.server(ctx)
	e.files()
	e.disks()
	e.keystore()
	e.signer()
	if e.client != nil {
		defer e.client.Close()
	}
	if e.openDatabase(ctx) {
		defer e.db.Close()
		e.database(ctx)
	}
	return &e.report
}

// An examination is one call of Examine.
type examination struct {
	cfg     app.Config
	options Options
	now     time.Time
	report  Report

	keys    *keystore.Inspection // nil if it cannot be read
	client  *signer.Client       // nil if there is none
	db      *store.DB
	issuers []telamon.Issuer
	series  []telamon.Series

	behindSigner []keystore.InspectedKey
	signerAway   bool // one is configured, and could not be asked
}

func (e *examination) ok(check, format string, args ...any) {
	e.report.Findings = append(e.report.Findings, Finding{OK, check, fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(check, do, format string, args ...any) {
	e.report.Findings = append(e.report.Findings, Finding{Warn, check, fmt.Sprintf(format, args...), do})
}

func (e *examination) fail(check, do, format string, args ...any) {
	e.report.Findings = append(e.report.Findings, Finding{Fail, check, fmt.Sprintf(format, args...), do})
}

// count returns how many findings there are, for sound.
func (e *examination) count() int { return len(e.report.Findings) }

// sound adds that all is well if nothing was found since there were that many.
func (e *examination) sound(since int, check, format string, args ...any) {
	if e.count() == since {
		e.ok(check, format, args...)
	}
}

func (e *examination) configuration() {
	err := e.cfg.Check()
	if err == nil {
		e.ok("configuration", "it is good")
		return
	}
	problems := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		problems = joined.Unwrap()
	}
	for _, problem := range problems {
		e.fail("configuration", "mend the configuration: docs/CONFIGURATION.md", "%v", problem)
	}
}

// serverPatience is how long a running server may take to answer.
const serverPatience = 5 * time.Second

// server asks a running server how it does.
func (e *examination) server(ctx context.Context) {
	if e.cfg.AdminSocket == "" {
		e.ok("server", "the configuration turns the admin socket off: nobody was asked")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	var status admin.Status
	err := admin.NewClient(e.cfg.AdminSocket).Do(ctx, "GET", "/status", nil, &status)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.report.Running = true
		e.fail("server", "look at its log; restart it", "it does not answer on %s", e.cfg.AdminSocket)
	case err != nil:
		e.ok("server", "none runs: %v", err)
	case !status.Ready:
		e.report.Running = true
		e.fail("server", "look at its log: it is ready again by itself once the cause is gone", "it is not ready: %s", status.NotReady)
	default:
		e.report.Running = true
		e.ok("server", "%s runs and is ready", status.Version)
		if status.Version != app.Version() {
			e.warn("server", "restart the server if it is to be this release", "it is %s, and this program %s", status.Version, app.Version())
		}
	}
}

// openDatabase opens the database for reading and looks at its schema. It reports
// false if the rest cannot be examined.
func (e *examination) openDatabase(ctx context.Context) bool {
	db, err := store.Open(ctx, store.Config{URL: e.cfg.Database, Clock: e.options.Clock, Log: slog.New(slog.DiscardHandler), ReadOnly: true})
	if err != nil {
		e.fail("database", "make it reachable; if it is lost: docs/RECOVERY.md", "%v", err)
		return false
	}
	missing, newer, err := db.Migrations(ctx)
	switch {
	case err != nil:
		e.fail("database", "run telamon init, or restore a backup: docs/RECOVERY.md", "it is no database of an installation: %v", err)
	case newer > 0:
		e.warn("database", "run the newer release; this one serves it, if it is the one before", "a newer release has migrated it to schema %d", newer)
	case len(missing) > 0:
		e.warn("database", "start the server of this release, which migrates it, and examine it again", "the migrations %v are pending: nothing more was examined", missing)
	default:
		version, err := db.SchemaVersion(ctx)
		if err == nil {
			e.ok("database", "%s, schema %d, no migration is pending", db.Engine(), version)
		}
	}
	if err != nil || len(missing) > 0 {
		db.Close()
		return false
	}
	e.db = db
	return true
}

// database examines what is in the database.
func (e *examination) database(ctx context.Context) {
	var err error
	if e.issuers, e.series, err = e.db.Issuers(ctx); err != nil {
		e.fail("database", "look at the database's own log", "%v", err)
		return
	}
	e.clock(ctx)
	e.issuerKeys()
	e.keyPairs(ctx)
	e.validities()
	e.responders(ctx)
	e.crls(ctx)
	e.journals(ctx)
	e.auditLog(ctx)
	e.published(ctx)
}
