package store

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// errWarned is an answer to COMMIT that came with a warning. PostgreSQL gives it when
// the wait for a synchronous standby was cancelled, by a statement_timeout or an
// administrator: the transaction is on the disk of that server, and may be nowhere else.
var errWarned = errors.New("the server has committed with a warning: the standby may not have it")

// warned is where a connection keeps whether its server has warned.
const warned = "telamon warned"

// noteWarning is called for each notice of a connection.
func noteWarning(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.SeverityUnlocalized == "WARNING" {
		conn.CustomData()[warned] = true
	}
}

// takeWarning reports whether the server has warned on the connection since the last
// call.
func takeWarning(conn *sql.Conn) (given bool, err error) {
	err = conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("%T is no connection to PostgreSQL", driverConn)
		}
		data := c.Conn().PgConn().CustomData()
		given = data[warned] != nil
		delete(data, warned)
		return nil
	})
	return given, err
}

// commitTx commits t, unless a test of this package put a fault in its way. When it
// returns nil, t is wherever the database's configuration wants it to be.
func (db *DB) commitTx(t *txn) error {
	if t.postgres == nil {
		return db.plainCommit(t.tx)
	}
	if _, err := takeWarning(t.postgres); err != nil { // of a statement before
		return err
	}
	if err := db.plainCommit(t.tx); err != nil {
		return err
	}
	given, err := takeWarning(t.postgres)
	if err == nil && given {
		err = errWarned
	}
	return err
}

func (db *DB) plainCommit(tx *sql.Tx) error {
	if db.faults.commit != nil {
		return db.faults.commit(tx)
	}
	return tx.Commit()
}
