package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/telamon-ca/telamon/internal/store/queries"
)

// errClosed is the error of a transaction that would begin after Close.
var errClosed = errors.New("the store is closed")

// writer is SQLite's one writing connection, which transactions take in turn.
type writer struct {
	pool   *sql.DB
	turn   chan struct{} // holds a token while nobody writes
	closed chan struct{}
	conn   *sql.Conn // guarded by turn
	lite   *lite     // guarded by turn
}

func newWriter(pool *sql.DB) *writer {
	w := &writer{pool: pool, turn: make(chan struct{}, 1), closed: make(chan struct{})}
	w.turn <- struct{}{}
	return w
}

// take waits for the turn. Whoever has it calls end.
func (w *writer) take(ctx context.Context) error {
	select {
	case <-w.turn:
		return nil
	case <-w.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end gives the turn to the next transaction. The transaction must have ended.
func (w *writer) end() { w.turn <- struct{}{} }

// begin waits for its turn and begins a transaction that end must follow.
func (w *writer) begin(ctx context.Context) (*sql.Tx, error) {
	if err := w.take(ctx); err != nil {
		return nil, err
	}
	tx, err := w.beginTurn()
	if err != nil {
		w.drop()
		w.end()
	}
	return tx, err
}

// beginTurn does not pass a context on: a context that can end costs a goroutine
// for each statement, and the driver has a time limit of its own.
func (w *writer) beginTurn() (*sql.Tx, error) {
	if w.conn == nil {
		conn, err := w.pool.Conn(context.Background())
		if err != nil {
			return nil, err
		}
		w.conn, w.lite = conn, newLite(conn)
	}
	return w.conn.BeginTx(context.Background(), nil)
}

// drop closes the connection, so that the next transaction makes a new one.
func (w *writer) drop() {
	if w.conn != nil {
		w.lite.close()
		w.conn.Close()
		w.conn, w.lite = nil, nil
	}
}

// close waits for the transaction in flight and refuses later ones. Closing it
// again does nothing.
func (w *writer) close() {
	select {
	case <-w.turn:
		w.drop()
		close(w.closed)
	case <-w.closed:
	}
}

// begin starts a transaction. The caller calls end after its commit, or instead
// of it, at least once; ctx bounds the wait for the beginning.
func (db *DB) begin(ctx context.Context) (t *txn, end func(), err error) {
	if db.faults.begin != nil {
		if err := db.faults.begin(); err != nil {
			return nil, nil, fmt.Errorf("begin: %w", err)
		}
	}
	if db.writer != nil {
		tx, err := db.writer.begin(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("begin: %w", err)
		}
		t = db.newTxn(tx, db.writer.lite)
		return t, sync.OnceFunc(func() { tx.Rollback(); db.writer.end(); db.checkpoints.wrote(t.rows) }), nil
	}
	// A caller that goes away must not end the transaction in the middle of its
	// COMMIT: the time limit alone may.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionLimit)
	conn, err := db.write.Conn(ctx)
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("begin: %w", err)
	}
	tx, err := conn.BeginTx(limited, nil)
	if err != nil {
		conn.Close()
		cancel()
		return nil, nil, fmt.Errorf("begin: %w", err)
	}
	t = db.newTxn(tx, tx)
	t.postgres = conn
	return t, func() { tx.Rollback(); conn.Close(); cancel() }, nil
}

func (db *DB) newTxn(tx *sql.Tx, conn queries.DBTX) *txn {
	return &txn{Queries: queries.New(conn), conn: conn, tx: tx, now: db.clock.Now().UTC(), administrators: db.administrators}
}
