package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"modernc.org/sqlite"
)

// copyStep is how many pages of SQLite's file are copied before others get a turn:
// 1 MB.
const copyStep = 256

// CopyTo copies a SQLite database into a new file while others read and write it:
// the copy is what was committed when it began, and holds no WAL. It does not keep
// writers waiting; the WAL grows until the copy is made. When it returns nil, the
// copy is durable but for its directory entry; otherwise there may be a part of it.
//
// PostgreSQL has tools of its own for this, and is refused.
func (db *DB) CopyTo(ctx context.Context, path string) error {
	if db.engine != engineSQLite {
		return errors.New("copy database: PostgreSQL is copied by its own tools")
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // SQLite would let others read it
	if err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	defer file.Close()
	if err := db.copyPages(ctx, path); err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	return nil
}

// copyPages holds one read transaction for all steps, so that they see one instant
// and are not begun anew by the commits of others (sqlite.org/c3ref/backup_finish.html).
func (db *DB) copyPages(ctx context.Context, path string) error {
	conn, err := db.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var tables int64
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil { // the transaction begins
		return err
	}
	return conn.Raw(func(driver any) error {
		source, ok := driver.(interface {
			NewBackup(string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("the driver makes no copies")
		}
		backup, err := source.NewBackup(fileURI(path) + "?mode=rw")
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if more, err = backup.Step(copyStep); err == nil {
				err = ctx.Err()
			}
		}
		return errors.Join(err, backup.Finish())
	})
}
