package store

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"testing/fstest" // MapFS: a file system in memory

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	onlySQLite   = regexp.MustCompile(`(?s)/\*sqlite (.*?) sqlite\*/`)
	onlyPostgres = regexp.MustCompile(`(?s)/\*postgres (.*?) postgres\*/`)
)

// migrationsFor returns the migrations with the parts that belong to one engine
// alone uncommented for it.
func migrationsFor(e engine) (fs.FS, error) {
	mine := onlySQLite
	if e == enginePostgres {
		mine = onlyPostgres
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	out := fstest.MapFS{}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out[name[len("migrations/"):]] = &fstest.MapFile{Data: mine.ReplaceAll(text, []byte("$1"))}
	}
	return out, nil
}

// migrate brings the schema up to date. Replicas that start at once wait for the
// one that holds the lock, which is a row and not an advisory lock.
func (db *DB) migrate(ctx context.Context) error {
	files, err := migrationsFor(db.engine)
	if err != nil {
		return err
	}
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if db.engine == enginePostgres {
		locker, err := lock.NewPostgresTableLocker()
		if err != nil {
			return err
		}
		dialect, options = goose.DialectPostgres, append(options, goose.WithLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, db.write, files, options...)
	if err != nil {
		return err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return err
	}
	for _, r := range results {
		db.log.InfoContext(ctx, "migrated", "version", r.Source.Version, "duration", r.Duration)
	}
	return nil
}

// SchemaID names the schema that this release migrates an empty database to: the
// first 16 hex digits of a hash over its migrations.
func SchemaID() string {
	hash := sha256.New()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			panic(err) // the file is embedded
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// Migrations returns the numbers of this release's migrations that the database has
// not got, and the greatest one that it has and this release does not know, 0 if
// there is none: then a newer release has migrated it.
func (db *DB) Migrations(ctx context.Context) (missing []int64, newer int64, err error) {
	rows, err := db.read.QueryContext(ctx, "SELECT version_id FROM goose_db_version")
	if err != nil {
		return nil, 0, fmt.Errorf("read migrations: %w", err)
	}
	defer rows.Close()
	applied := map[int64]bool{}
	for rows.Next() {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return nil, 0, fmt.Errorf("read migrations: %w", err)
		}
		applied[version] = true
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read migrations: %w", err)
	}
	own := ownMigrations()
	for _, version := range own {
		if !applied[version] {
			missing = append(missing, version)
		}
	}
	for version := range applied {
		if version > own[len(own)-1] {
			newer = max(newer, version)
		}
	}
	return missing, newer, nil
}

// ownMigrations returns the numbers of this release's migrations in order.
func ownMigrations() (versions []int64) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			panic(err) // the file is embedded
		}
		versions = append(versions, version)
	}
	return versions
}

// SchemaVersion returns the number of the newest migration that was applied.
func (db *DB) SchemaVersion(ctx context.Context) (int64, error) {
	var version int64
	err := db.read.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version, nil
}
