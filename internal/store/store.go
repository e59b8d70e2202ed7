// Package store is the only speaker of SQL. It keeps the platform's state in
// SQLite or PostgreSQL behind one set of typed queries, and knows nothing of
// HTTP, policies or keys.
//
// Every method that changes state does so in one transaction together with its
// audit event; when it returns nil, both are durable. Writes of the issuance
// path are grouped: see [DB.Commit].
//
// Whoever can change the database can forge the ledger, grant quota and link
// client certificates to credentials, but cannot sign certificates, make API
// secrets that verify, or alter the audit log without "telamon audit verify"
// finding it.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the SQLite driver

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// transactionLimit is the longest that a transaction may last. The change feed
// relies on it: what was written at t is visible by t + transactionLimit.
const transactionLimit = 5 * time.Second

// minSQLite is the first version without the WAL-reset bug (sqlite.org/wal.html).
const minSQLite = 3_051_003

// Config says which database to open and with what.
type Config struct {
	// URL is "sqlite:PATH" or a PostgreSQL connection string.
	URL   string
	Clock telamon.Clock
	Log   *slog.Logger
	// Create allows a SQLite file that does not exist to be made. Without it a
	// missing database is an error, so that none is made by a mistyped path.
	Create bool
	// ReadOnly opens the database for tools that change nothing: the schema stays as
	// it is, be it older or newer than this release's, and every write fails.
	ReadOnly bool
	// AdministratorLimit is how many administrators a service provider's account may have,
	// those who are invited included; 0 is DefaultAdministratorLimit. Who is one already stays.
	AdministratorLimit int
}

// DefaultAdministratorLimit is how many administrators a service provider's account may
// have if the configuration does not say otherwise (requirement 11).
const DefaultAdministratorLimit = 3

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine      engine
	write       *sql.DB
	read        *sql.DB
	writer      *writer       // SQLite's one writing connection; nil on PostgreSQL
	checkpoints *checkpointer // of SQLite's WAL; nil on PostgreSQL
	reader      queries.DBTX  // read, in the PostgreSQL dialect
	clock       telamon.Clock
	log         *slog.Logger
	holder      string // names this process in leases
	committer   *committer
	unknown     *unknowns

	administrators int64 // at most, in a service provider's account

	onRevoked atomic.Pointer[func(telamon.Serial)]
	health    health
	faults    faults

	searchBudget int64 // see maxSearched
}

// faults are put in the way by tests of this package; nil functions do nothing.
type faults struct {
	begin  func() error
	commit func(*sql.Tx) error
	// between the two passes of a checkpoint
	checkpoint func()
}

// engine is one of the two databases.
type engine uint8

const (
	engineSQLite engine = iota
	enginePostgres
)

func (e engine) String() string {
	if e == enginePostgres {
		return "postgres"
	}
	return "sqlite"
}

// Open opens the database and, unless it is for reading alone, brings its schema up
// to date. The caller closes it.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	db := &DB{
		clock: cfg.Clock, log: cfg.Log, holder: string(telamon.NewID[holderKind]()), unknown: newUnknowns(), searchBudget: maxSearched,
		administrators: int64(cmp.Or(cfg.AdministratorLimit, DefaultAdministratorLimit)),
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if path, ok := strings.CutPrefix(cfg.URL, "sqlite:"); ok {
		db.engine = engineSQLite
		db.write, db.read, err = openSQLite(ctx, path, cfg)
	} else {
		db.engine = enginePostgres
		db.write, db.read, err = openPostgres(ctx, cfg.URL, cfg.ReadOnly)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if db.engine == enginePostgres {
		if err := db.warnOfNoSync(ctx); err != nil {
			db.closePools()
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	if !cfg.ReadOnly {
		if err := db.migrate(ctx); err != nil {
			db.closePools()
			return nil, fmt.Errorf("migrate database: %w", err)
		}
	}
	db.reader = &rereader{db.read}
	if db.engine == engineSQLite {
		db.writer, db.reader = newWriter(db.write), newLite(db.read)
		db.checkpoints = newCheckpointer(db)
	}
	db.committer = newCommitter(db)
	return db, nil
}

// holderKind prefixes the name under which a process holds leases.
type holderKind = telamon.ProcessKind

// Close waits for the commits in flight and closes the database. Closing it again
// does nothing.
func (db *DB) Close() error {
	db.committer.stop()
	if db.writer != nil {
		db.checkpoints.stop()
		db.writer.close()
	}
	return db.closePools()
}

func (db *DB) closePools() error {
	return errors.Join(db.write.Close(), db.read.Close())
}

// Engine returns "sqlite" or "postgres".
func (db *DB) Engine() string { return db.engine.String() }

// fileURI returns the path as a URI, which escapes it (sqlite.org/uri.html, Section 3.2).
func fileURI(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// openSQLite opens the one writing connection and the pool of reading ones.
func openSQLite(ctx context.Context, path string, cfg Config) (write, read *sql.DB, err error) {
	mode := "rw&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	switch {
	case cfg.ReadOnly:
		mode = "ro"
	case cfg.Create:
		mode = "rwc&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	dsn := fileURI(path) + "?_pragma=busy_timeout(5000)&mode=" + mode +
		"&_pragma=foreign_keys(1)&_pragma=cache_size(-16384)&_pragma=temp_store(MEMORY)"
	if write, err = sql.Open("sqlite", dsn+"&_txlock=immediate&_pragma=wal_autocheckpoint("+strconv.Itoa(autoCheckpoint)+")"); err != nil {
		return nil, nil, err
	}
	write.SetMaxOpenConns(1)
	var version string
	if err := write.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		write.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if n, err := versionNumber(version); err != nil || n < minSQLite {
		write.Close()
		return nil, nil, fmt.Errorf("SQLite %s is too old: need 3.51.3 or later", version)
	}
	if read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		write.Close()
		return nil, nil, err
	}
	read.SetMaxOpenConns(2 * runtime.NumCPU())
	read.SetMaxIdleConns(2 * runtime.NumCPU())
	return write, read, nil
}

// versionNumber turns "3.53.4" into 3053004.
func versionNumber(version string) (int, error) {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return 0, fmt.Errorf("read version %q: %w", version, err)
	}
	return major*1_000_000 + minor*1_000 + patch, nil
}

// Connections to PostgreSQL, per process. Writers have their own, so that no
// number of readers keeps them waiting.
const (
	postgresWriters = 6
	postgresReaders = 10
)

// openPostgres opens a pool for writing and one for reading.
func openPostgres(ctx context.Context, url string, readOnly bool) (write, read *sql.DB, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	// A process that stops in the middle of a transaction must not keep its locks,
	// nor commit later than the change feed looks back.
	const idle = "idle_in_transaction_session_timeout"
	if config.RuntimeParams[idle] == "" {
		config.RuntimeParams[idle] = strconv.FormatInt(transactionLimit.Milliseconds(), 10)
	}
	if err := pinDurability(config.RuntimeParams); err != nil {
		return nil, nil, err
	}
	var options []stdlib.OptionOpenDB
	if readOnly {
		// When it is connected: target_session_attrs=read-write takes a session that is
		// read-only from the start for a standby.
		options = append(options, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET default_transaction_read_only = on")
			return err
		}))
	}
	config.OnNotice = noteWarning
	open := func(connections int) *sql.DB {
		pool := stdlib.OpenDB(*config, options...)
		pool.SetMaxOpenConns(connections)
		pool.SetMaxIdleConns(connections)
		pool.SetConnMaxLifetime(time.Hour)
		return pool
	}
	write, read = open(postgresWriters), open(postgresReaders)
	if err := write.PingContext(ctx); err != nil {
		return nil, nil, errors.Join(err, write.Close(), read.Close())
	}
	return write, read, nil
}

// pinDurability makes COMMIT wait for the disk whatever the server, the database or
// the role has as its default: what is acknowledged is durable. A connection string
// may ask for more, and is refused if it asks for less.
func pinDurability(params map[string]string) error {
	const name = "synchronous_commit"
	value := "on"
	for key, given := range params {
		switch {
		case strings.EqualFold(key, name):
			value = strings.ToLower(given)
			delete(params, key)
		case key == "options" && strings.Contains(strings.ToLower(given), name):
			return fmt.Errorf("%s is set in the connection's options: give it as a parameter of its own", name)
		}
	}
	switch value {
	case "on", "remote_write", "remote_apply":
		params[name] = value
		return nil
	}
	return fmt.Errorf("%s=%s would lose what was acknowledged: leave it out, or give on, remote_write or remote_apply", name, value)
}

// warnOfNoSync logs that the server does not sync its disk: that may be a test, and
// otherwise loses data when the machine crashes.
func (db *DB) warnOfNoSync(ctx context.Context) error {
	var fsync string
	if err := db.read.QueryRowContext(ctx, "SHOW fsync").Scan(&fsync); err != nil {
		return fmt.Errorf("read fsync: %w", err)
	}
	if fsync == "off" {
		db.log.WarnContext(ctx, "the PostgreSQL server runs with fsync=off: a crash of its machine loses or destroys data")
	}
	return nil
}

// txn is one transaction: its queries, its connection for statements that sqlc
// cannot write, and the one time that all of it happens at.
type txn struct {
	*queries.Queries
	conn     queries.DBTX
	tx       *sql.Tx
	postgres *sql.Conn // the connection of tx; nil on SQLite
	now      time.Time
	objects  []string // what it audited, by action and object
	rows     int      // that insert wrote

	administrators int64 // at most, in a service provider's account
}

// millis is the transaction's time as the store keeps it.
func (t *txn) millis() int64 { return t.now.UnixMilli() }

// update runs fn in one transaction of at most transactionLimit and commits it.
// It runs fn again if the database asks for it; fn must not keep anything from a
// run that failed. What it returns is the outcome: see [DB.commit].
//
// It reports Unavailable at once while the outcomes of too many transactions are unknown.
func (db *DB) update(ctx context.Context, fn func(*txn) error) error {
	if err := db.unknown.open(); err != nil {
		return db.noteOutcome(ctx, err)
	}
	return db.updateNow(ctx, fn)
}

// updateNow is update for what settles outcomes.
func (db *DB) updateNow(ctx context.Context, fn func(*txn) error) error {
	err := db.again(ctx, func() error { return db.updateOnce(ctx, fn) })
	return db.noteOutcome(ctx, err)
}

func (db *DB) updateOnce(ctx context.Context, fn func(*txn) error) error {
	limited, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	t, end, err := db.begin(limited)
	if err != nil {
		return err
	}
	defer end()
	if err := fn(t); err != nil {
		return err
	}
	if len(t.objects) == 0 { // nobody is told what became of it
		if err := db.commitTx(t); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	}
	return db.commit(limited, t, end, func() []string { return t.objects })
}

// again runs fn, which runs a transaction, until the database does not ask for it
// to be run again.
func (db *DB) again(ctx context.Context, fn func() error) error {
	const attempts = 2 + postgresWriters // each may meet a connection that was lost
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil || attempt == attempts || ctx.Err() != nil || !retryable(err) {
			return err
		}
	}
}

// view runs fn in one read-only transaction: all that it reads is of one instant.
func (db *DB) view(ctx context.Context, fn func(*queries.Queries) error) error {
	tx, err := db.beginRead(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if db.engine == enginePostgres {
		return fn(queries.New(tx))
	}
	conn := newLite(tx)
	defer conn.close()
	return fn(queries.New(conn))
}

// queries returns the queries over the read pool, outside any transaction.
func (db *DB) queries() *queries.Queries { return queries.New(db.reader) }
