// Package app turns a configuration into a running server: it opens the keystore
// and the database, wires engines, use cases and faces, runs the listeners and the
// background work, and stops them in order. It holds no rule of the business.
//
// It is the only package but cmd and playground that reads files, environment and
// signals.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/keycheck"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/password"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/retention"
	"github.com/telamon-ca/telamon/internal/signer"
	"github.com/telamon-ca/telamon/internal/signin"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/vetting"
	"github.com/telamon-ca/telamon/internal/witness"
)

// System is the actor of what the platform does by itself.
var System = telamon.Actor{Kind: telamon.ActorSystem}

// App is a wired program. Its fields are safe for concurrent use.
type App struct {
	Config    Config
	Clock     telamon.Clock
	Log       *slog.Logger
	Level     *slog.LevelVar // of Log
	Registry  *prometheus.Registry
	Keys      *keystore.Keystore // the platform's secrets, and CA keys that are in no signer
	CAKeys    CAKeys
	Store     *store.DB
	Issuance  *issuance.Engine
	Directory *directory.Directory
	IAM       *iam.IAM
	SignIn    *signin.Service // nil if there is no portal
	Signing   *signing.Signing
	RA        *ra.RA
	OCSP      *responder.Responder // nil if it is off
	Life      *lifecycle.Life
	KeyCheck  *keycheck.Checker
	Staff     *staff.Staff
	Vetting   *vetting.Vetting
	Commerce  *commerce.Service
	Publisher *publish.Publisher
	operators *staff.Operators

	passwords    *password.Hasher
	signer       *signer.Client // nil if there is none
	resolver     *resolving
	jobs         *jobs.Runner
	jobsTick     chan time.Time
	jobsDue      *prometheus.GaugeVec // by kind
	sequencer    *store.Sequencer     // used by one goroutine at a time
	verifier     note.Verifier        // of the audit log's checkpoints
	verifierKey  string
	exporter     *witness.Exporter
	keeper       *retention.Keeper
	unwritable   atomic.Pointer[error] // why the last look found that the database cannot write; nil before the first
	auditPending atomic.Int64          // events
	auditLag     atomic.Int64          // nanoseconds
}

// auditLog names the audit log in its checkpoints.
const auditLog = "telamon-audit"

// Open opens what the configuration names. The keystore and the database must
// exist; see Init. The caller closes the App.
func Open(ctx context.Context, cfg Config, clock telamon.Clock, log *slog.Logger, level *slog.LevelVar) (*App, error) {
	kek, err := cfg.Keys.kek()
	if err != nil {
		return nil, err
	}
	keys, err := keystore.Open(keystore.Config{Dir: cfg.Keys.Dir, KEK: kek, Clock: clock, Log: log})
	if err != nil {
		return nil, err
	}
	client, err := cfg.Keys.Signer.client()
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	db, err := store.Open(ctx, store.Config{URL: cfg.Database, Clock: clock, Log: log, AdministratorLimit: cfg.Portal.AdministratorLimit})
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	a := &App{
		Config: cfg, Clock: clock, Log: log, Level: level, Keys: keys, CAKeys: caKeys(keys, client), Store: db,
		Registry: prometheus.NewRegistry(), signer: client, passwords: password.NewHasher(),
	}
	if err := a.wire(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// wire makes everything above the store and the keystore.
func (a *App) wire(ctx context.Context) error {
	a.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	linter, err := a.Config.Lint.linter(ctx, a.Log)
	if err != nil {
		return err
	}
	a.Issuance = issuance.New(issuance.Config{
		Keys: a.CAKeys, Clock: a.Clock, Log: a.Log, StatusBaseURL: a.Config.StatusBaseURL, Lint: linter.Check,
		OCSPSeries: a.Config.OCSP.InCertificates,
	})
	signer, key, err := a.Keys.CheckpointSigner(auditLog)
	if err != nil {
		return err
	}
	if a.verifier, err = note.NewVerifier(key); err != nil {
		return fmt.Errorf("read the checkpoint key: %w", err)
	}
	a.sequencer, a.verifierKey = a.Store.NewSequencer(signer), key
	if a.exporter, err = a.newExporter(); err != nil {
		return err
	}
	if err := a.checkKept(ctx); err != nil {
		return err
	}
	if a.keeper, err = a.newKeeper(); err != nil {
		return err
	}
	a.Directory, err = directory.New(ctx, directory.Config{
		Store: a.Store, Clock: a.Clock, Log: a.Log, OnIssuers: a.Issuance.Load,
	})
	if err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	a.wireOCSP(ctx)
	a.KeyCheck = new(keycheck.Checker)
	if err := a.loadBlockedKeys(); err != nil {
		return err
	}
	a.IAM = iam.New(iam.Config{
		Store: a.Store, Directory: a.Directory, Issuance: a.Issuance, Keys: a.Keys, Clock: a.Clock, Log: a.Log,
		ClientKeyTypes: a.Config.MTLSKeyTypes, ClientSeriesRSA: SeriesClientRSA, ClientSeriesEC: SeriesClientEC,
		KeyCheck: a.KeyCheck, Passwords: a.passwords, NoCertSelfIssue: !a.Config.DigiCertONE.AllowCertSelfIssue,
		Platform: a.Config.Mail.Platform, PortalURL: a.Config.portalURL(),
	})
	a.Signing = signing.New(signing.Config{
		Store: a.Store, Issuance: a.Issuance, Keys: a.CAKeys, ReadKeys: a.Keys.Refresh, Clock: a.Clock, Log: a.Log, Series: SeriesSigning,
	})
	if err := a.wireVetting(); err != nil {
		return err
	}
	if err := a.wireStaff(); err != nil {
		return err
	}
	if err := a.wireCommerce(); err != nil {
		return err
	}
	if err := a.wireCRLs(); err != nil {
		return err
	}
	if err := a.wireValidation(); err != nil {
		return err
	}
	return a.wireSignIn()
}

// newKeeper returns what lets go of records.
func (a *App) newKeeper() (*retention.Keeper, error) {
	table, err := a.Config.Validation.rules()
	if err != nil {
		return nil, err
	}
	cfg := retention.Config{
		Store: a.Store, Rules: table, Clock: a.Clock, Log: a.Log,
		Certificates: a.Config.Retention.Certificates, Audit: a.Config.Retention.Audit,
	}
	if dir := a.Config.Retention.ArchiveDir; dir != "" {
		cfg.Archive = &retention.Archive{Dir: dir}
	}
	return retention.New(cfg), nil
}

// newExporter returns what exports the audit log's checkpoints.
func (a *App) newExporter() (*witness.Exporter, error) {
	cfg := witness.Config{Log: a.Store, Verifier: a.verifier, Clock: a.Clock, File: a.Config.Audit.CheckpointFile}
	if a.Config.Audit.WebhookURL != "" {
		cfg.Webhook = &witness.Webhook{URL: a.Config.Audit.WebhookURL, Secret: string(a.Config.Audit.WebhookSecret)}
	}
	if a.Config.Audit.WitnessURL != "" {
		verifier, err := witness.NewCosigner(a.Config.Audit.WitnessKey)
		if err != nil {
			return nil, fmt.Errorf("audit.witness_key: %w", err)
		}
		cfg.Witness = &witness.Remote{URL: a.Config.Audit.WitnessURL, Verifier: verifier}
	}
	return witness.New(cfg), nil
}

// checkKept refuses a database that is older than a checkpoint that was kept: serial
// numbers, revocations and numbers of CRLs that it has given out would be unknown.
func (a *App) checkKept(ctx context.Context) error {
	path := a.Config.Audit.CheckpointFile
	if path == "" {
		return nil
	}
	err := witness.CheckFile(ctx, a.Store, a.verifier, path)
	if errors.Is(err, witness.ErrRolledBack) {
		return fmt.Errorf("audit.checkpoint_file: %s: %w\nhint: this database was put back; see docs/RECOVERY.md (telamon restore)", path, err)
	}
	if err != nil {
		return fmt.Errorf("audit.checkpoint_file: %w", err)
	}
	return nil
}

// Close closes the database and the keystore. Nothing may be running any more.
func (a *App) Close() error {
	var signer error
	if a.signer != nil {
		signer = a.signer.Close()
	}
	return errors.Join(a.resolver.close(), a.Store.Close(), signer, a.Keys.Close())
}

// kek returns the key-encryption key that the configuration names.
func (c KeysConfig) kek() (keystore.KEK, error) {
	if c.KEK != "" {
		return keystore.ParseKEK(string(c.KEK))
	}
	return keystore.ReadKEK(c.KEKFile)
}

// ReadDatabase opens the database that the configuration names for tools that only look:
// it may be a copy that is evidence, or one that a server of another release uses. It
// reports an error if migrations are missing. The caller closes it.
func ReadDatabase(ctx context.Context, cfg Config) (*store.DB, error) {
	db, err := store.Open(ctx, store.Config{URL: cfg.Database, Clock: telamon.SystemClock{}, Log: slog.New(slog.DiscardHandler), ReadOnly: true})
	if err != nil {
		return nil, err
	}
	missing, _, err := db.Migrations(ctx)
	if err != nil {
		err = fmt.Errorf("it is no database of an installation: %w", err)
	} else if len(missing) > 0 {
		err = fmt.Errorf("the database is of an earlier release: the migrations %v are pending\nhint: use the telamon of that release, or have the server of this one migrate the database", missing)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// OpenDatabase opens the database that the configuration names, and migrates it. The
// caller closes it.
func OpenDatabase(ctx context.Context, cfg Config) (*store.DB, error) {
	return store.Open(ctx, store.Config{URL: cfg.Database, Clock: telamon.SystemClock{}, Log: slog.New(slog.DiscardHandler)})
}

// AuditVerifierKey returns the key by which the audit log's checkpoints are
// verified, from the keystore that the configuration names. A server may be using
// that keystore.
func AuditVerifierKey(cfg Config) (string, error) {
	kek, err := cfg.Keys.kek()
	if err != nil {
		return "", err
	}
	return keystore.CheckpointVerifier(keystore.Config{Dir: cfg.Keys.Dir, KEK: kek}, auditLog)
}
