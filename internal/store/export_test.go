package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// Exec runs a statement of the PostgreSQL dialect in a transaction of its own.
func Exec(ctx context.Context, db *DB, query string, args ...any) error {
	return db.update(ctx, func(t *txn) error {
		_, err := t.conn.ExecContext(ctx, query, args...)
		return err
	})
}

// Number returns the one number that a query of the PostgreSQL dialect gives.
func Number(ctx context.Context, db *DB, query string, args ...any) (n int64, err error) {
	err = db.reader.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// Reader returns the pool that reads, to look at the database behind the store's
// back.
func Reader(db *DB) *sql.DB { return db.read }

// Writer returns the pool that writes.
func Writer(db *DB) *sql.DB { return db.write }

// FailCommit puts f in the place of COMMIT; nil takes it away again. It must not
// be called while anything is written.
func FailCommit(db *DB, f func(*sql.Tx) error) { db.faults.commit = f }

// FailBegin makes every transaction that would begin fail with f's error, unless
// it is nil.
func FailBegin(db *DB, f func() error) { db.faults.begin = f }

// Unlimit lets SQLite's file grow again after PRAGMA max_page_count.
func Unlimit(ctx context.Context, db *DB) error {
	if err := db.writer.take(ctx); err != nil {
		return err
	}
	defer db.writer.end()
	_, err := db.writer.conn.ExecContext(ctx, "PRAGMA max_page_count = 4294967294")
	return err
}

// UniqueColumns is the table by which SQLite's messages are read.
var UniqueColumns = uniqueColumns

// KeepWAL writes SQLite's WAL back, begins a new one, and from then on lets it
// grow, so that what is written can be measured by its size.
func KeepWAL(ctx context.Context, db *DB) error {
	db.checkpoints.stop()
	if err := db.writer.take(ctx); err != nil {
		return err
	}
	defer db.writer.end()
	for _, pragma := range []string{"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_autocheckpoint = 0"} {
		if _, err := db.writer.conn.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	return nil
}

// Checkpoint does what is done beside the commits from time to time.
func Checkpoint(ctx context.Context, db *DB) error { return db.checkpoints.checkpoint(ctx) }

// CheckpointBehindReader does the same while a reader that began before write
// keeps the first pass from finishing, and ends before the second.
func CheckpointBehindReader(ctx context.Context, db *DB, write func()) error {
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int64
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM certificate").Scan(&n); err != nil {
		return err
	}
	write()
	db.faults.checkpoint = func() { tx.Rollback() }
	defer func() { db.faults.checkpoint = nil }()
	return db.checkpoints.checkpoint(ctx)
}

// WALFrames returns how many frames SQLite's WAL has.
func WALFrames(ctx context.Context, db *DB) (int64, error) {
	frames, _, err := WALState(ctx, db)
	return frames, err
}

// WALState returns how many frames SQLite's WAL has, and how many are written back.
func WALState(ctx context.Context, db *DB) (frames, written int64, err error) {
	var busy int64
	err = db.read.QueryRowContext(ctx, "PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &frames, &written)
	return frames, written, err
}

// FillWAL writes to SQLite's WAL until it is due to be written back, unseen by the
// process's own count.
func FillWAL(ctx context.Context, db *DB) error {
	return db.update(ctx, func(t *txn) error {
		_, err := t.conn.ExecContext(ctx, "UPDATE hierarchy SET name = name")
		if err != nil {
			return err
		}
		_, err = t.conn.ExecContext(ctx, "CREATE TABLE filler AS SELECT zeroblob($1) AS octets", checkpointFrames*4096)
		return err
	})
}

// Waiting returns how many units wait for the next batch.
func Waiting(db *DB) int { return len(db.committer.in) }

// ClaimRows returns the row of a claim as a query for it reads it, and as one for a
// list of claims does.
func ClaimRows(ctx context.Context, db *DB, id telamon.ClaimID) (one, listed queries.Claim, err error) {
	if one, err = db.queries().ClaimByID(ctx, id.String()); err != nil {
		return one, listed, err
	}
	err = readListed(ctx, db, "SELECT "+claimColumns+" FROM claim WHERE id IN (", []telamon.ClaimID{id}, ")", func(scan func(...any) error) error {
		listed, err = scanClaim(scan)
		return err
	})
	return one, listed, err
}

// MigrateTo brings an empty database to a version of the schema that may be older
// than this release's.
func MigrateTo(ctx context.Context, url string, version int64) (err error) {
	engine, dialect := enginePostgres, goose.DialectPostgres
	var write, read *sql.DB
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		engine, dialect = engineSQLite, goose.DialectSQLite3
		write, read, err = openSQLite(ctx, path, Config{Create: true})
	} else {
		write, read, err = openPostgres(ctx, url, false)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, write.Close(), read.Close()) }()
	files, err := migrationsFor(engine)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, write, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, version)
	return err
}

// The bounds of unknown outcomes.
const (
	MaxUnknown  = maxUnknown
	SettleBatch = settleBatch
)

// Prepare prepares a statement of the PostgreSQL dialect, as the store does.
func Prepare(ctx context.Context, db *DB, query string) error {
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if db.engine == engineSQLite {
		query = liteText(query)
	}
	stmt, err := conn.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	return stmt.Close()
}

// HasSentence reports whether a reason for a refusal has a sentence of its own.
func HasSentence(reason string) bool { return reasonSentences[reason] != "" }

// FillActivity writes rows of activity without their events.
func FillActivity(ctx context.Context, db *DB, events []telamon.Event) error {
	var args []any
	for i := range events {
		args = appendActivity(args, &events[i])
	}
	return db.update(ctx, func(t *txn) error { return t.bulk(ctx, activityTable, args) })
}

// FillEvents writes audit events without what they are shown as.
func FillEvents(ctx context.Context, db *DB, events []telamon.Event) error {
	var args []any
	for i := range events {
		payload, err := audit.Encode(events[i])
		if err != nil {
			return err
		}
		if args, err = appendEvent(args, &events[i], payload); err != nil {
			return err
		}
	}
	return db.update(ctx, func(t *txn) error { return t.bulk(ctx, eventTable, args) })
}

// ActivityQuery returns the statement, in the database's dialect, that reads the page of a
// filter, and its arguments.
func ActivityQuery(db *DB, f ActivityFilter) (text string, args []any) {
	where := f.where()
	text = "SELECT " + activityColumns + " FROM " + where.table(db.engine) + " WHERE " + where.text() + " ORDER BY " + f.order() +
		where.arg(" LIMIT $%d", f.Limit) + where.arg(" OFFSET $%d", f.Offset)
	if db.engine == engineSQLite {
		text = liteText(text)
	}
	return text, where.args
}

// SetSearchBudget changes how many certificates one page of a search looks at.
func SetSearchBudget(db *DB, n int64) { db.searchBudget = n }

// SearchedName returns a name as it is found, and the domains that it is below.
func SearchedName(text string) (string, []string) {
	name := searchedName(text)
	return name, domainsAbove(name)
}
