package store

import (
	"context"
	"database/sql"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/telamon-ca/telamon/internal/store/queries"
)

// lite speaks the PostgreSQL dialect over SQLite: $N becomes ?N, which means the
// same, and row locks go, since SQLite has one writer. Each statement is prepared
// once on conn, which is a connection or a pool, and kept until close.
type lite struct {
	conn queries.DBTX

	mu    sync.Mutex
	stmts map[string]*sql.Stmt // by PostgreSQL text
}

func newLite(conn queries.DBTX) *lite { return &lite{conn: conn, stmts: map[string]*sql.Stmt{}} }

var dollar = regexp.MustCompile(`\$(\d+)`)

// liteText translates a query. Parameters that are used once each and in their
// order lose their numbers: the driver looks numbered ones up by name.
func liteText(query string) string {
	inOrder := true
	for i, n := range dollar.FindAllStringSubmatch(query, -1) {
		inOrder = inOrder && n[1] == strconv.Itoa(i+1)
	}
	parameter := "?$1"
	if inOrder {
		parameter = "?"
	}
	text := dollar.ReplaceAllString(query, parameter)
	text = strings.ReplaceAll(text, "FOR UPDATE SKIP LOCKED", "")
	return strings.ReplaceAll(text, "FOR UPDATE", "")
}

func (l *lite) stmt(query string) (*sql.Stmt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stmt := l.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := l.conn.PrepareContext(context.Background(), liteText(query))
	if err != nil {
		return nil, err
	}
	l.stmts[query] = stmt
	return stmt, nil
}

func (l *lite) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, stmt := range l.stmts {
		stmt.Close()
	}
	l.stmts = map[string]*sql.Stmt{}
}

// ExecContext implements queries.DBTX.
func (l *lite) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := l.stmt(query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// PrepareContext implements queries.DBTX. The caller closes the statement.
func (l *lite) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return l.conn.PrepareContext(ctx, liteText(query))
}

// QueryContext implements queries.DBTX.
func (l *lite) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := l.stmt(query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// QueryRowContext implements queries.DBTX.
func (l *lite) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	stmt, err := l.stmt(query)
	if err != nil {
		// database/sql gives no other way to make a Row that holds an error.
		return l.conn.QueryRowContext(ctx, liteText(query), args...)
	}
	return stmt.QueryRowContext(ctx, args...)
}
