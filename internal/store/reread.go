package store

import (
	"context"
	"database/sql"
)

// rereader reads from a pool of connections to PostgreSQL. A reading that finds its
// connection lost is made again: after a failover each idle connection is, and a
// caller is not to be told of every one of them. Once rows come they are not read
// again.
type rereader struct{ *sql.DB }

const readAttempts = 2 + postgresReaders // each may meet a connection that was lost

// QueryContext implements queries.DBTX.
func (r *rereader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	for attempt := 1; ; attempt++ {
		rows, err := r.DB.QueryContext(ctx, query, args...)
		if err == nil || attempt == readAttempts || ctx.Err() != nil || !retryable(err) {
			return rows, err
		}
	}
}

// QueryRowContext implements queries.DBTX.
func (r *rereader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	for attempt := 1; ; attempt++ {
		row := r.DB.QueryRowContext(ctx, query, args...)
		if err := row.Err(); err == nil || attempt == readAttempts || ctx.Err() != nil || !retryable(err) {
			return row
		}
	}
}

// beginRead begins a read-only transaction, whose readings are all of one instant.
func (db *DB) beginRead(ctx context.Context) (*sql.Tx, error) {
	for attempt := 1; ; attempt++ {
		tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
		if err == nil || attempt == readAttempts || ctx.Err() != nil || !retryable(err) {
			return tx, err
		}
	}
}
