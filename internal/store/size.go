package store

import (
	"context"
	"fmt"
	"os"
	"time"
)

// A TableSize is what a table takes.
type TableSize struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`  // on PostgreSQL as of the last ANALYZE
	Bytes int64  `json:"bytes"` // with its large values
	Index int64  `json:"index_bytes"`
}

// A Size is what a database takes.
type Size struct {
	Engine string      `json:"engine"`
	Schema int64       `json:"schema"`
	Bytes  int64       `json:"bytes"`
	Free   int64       `json:"free_bytes"`          // of pages that new rows will use; SQLite
	WAL    int64       `json:"wal_bytes,omitempty"` // SQLite
	Tables []TableSize `json:"tables"`              // the largest first; partitions are one table
	Oldest time.Time   `json:"oldest_certificate,omitzero"`
}

// Size measures the database. On SQLite that reads all of it, so it is for tools and not
// for requests; on PostgreSQL it reads statistics.
func (db *DB) Size(ctx context.Context) (*Size, error) {
	size := &Size{Engine: db.Engine()}
	var err error
	if size.Schema, err = db.SchemaVersion(ctx); err != nil {
		return nil, err
	}
	if size.Oldest, _, err = db.OldestCertificate(ctx); err != nil {
		return nil, err
	}
	if db.engine == enginePostgres {
		err = db.postgresSize(ctx, size)
	} else {
		err = db.sqliteSize(ctx, size)
	}
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("measure the database: %w", err))
	}
	return size, nil
}

func (db *DB) postgresSize(ctx context.Context, size *Size) error {
	if err := db.read.QueryRowContext(ctx, "SELECT pg_database_size(current_database())").Scan(&size.Bytes); err != nil {
		return err
	}
	// A partition counts to its table.
	const query = `SELECT coalesce(parent.relname, c.relname) AS name, CAST(sum(greatest(c.reltuples, 0)) AS BIGINT),
       CAST(sum(pg_table_size(c.oid)) AS BIGINT), CAST(sum(pg_indexes_size(c.oid)) AS BIGINT)
  FROM pg_class AS c
  LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
  LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
 WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
 GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC, 1`
	return db.tableSizes(ctx, size, query)
}

func (db *DB) sqliteSize(ctx context.Context, size *Size) error {
	var page, pages, free int64
	for query, to := range map[string]*int64{"PRAGMA page_size": &page, "PRAGMA page_count": &pages, "PRAGMA freelist_count": &free} {
		if err := db.read.QueryRowContext(ctx, query).Scan(to); err != nil {
			return err
		}
	}
	size.Bytes, size.Free = page*pages, page*free
	var path string
	if err := db.read.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path); err != nil {
		return err
	}
	if info, err := os.Stat(path + "-wal"); err == nil {
		size.WAL = info.Size()
	}
	// The pages of a table without rowids are an index that has the table's name, or
	// one that SQLite names.
	const query = `SELECT m.tbl_name, 0,
       CAST(coalesce(sum(CASE WHEN m.name = m.tbl_name THEN s.bytes END), 0) AS BIGINT),
       CAST(coalesce(sum(CASE WHEN m.name <> m.tbl_name THEN s.bytes END), 0) AS BIGINT)
  FROM sqlite_master AS m JOIN (SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name) AS s ON s.name = m.name
 WHERE m.tbl_name NOT LIKE 'sqlite%' GROUP BY 1 ORDER BY sum(s.bytes) DESC, 1`
	if err := db.tableSizes(ctx, size, query); err != nil {
		return err
	}
	for i := range size.Tables {
		t := &size.Tables[i]
		// The names are those of our migrations.
		if err := db.read.QueryRowContext(ctx, `SELECT count(*) FROM "`+t.Name+`"`).Scan(&t.Rows); err != nil {
			return err
		}
	}
	return nil
}

// tableSizes reads the tables that a query gives.
func (db *DB) tableSizes(ctx context.Context, size *Size, query string) error {
	rows, err := db.read.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t TableSize
		if err := rows.Scan(&t.Name, &t.Rows, &t.Bytes, &t.Index); err != nil {
			return err
		}
		size.Tables = append(size.Tables, t)
	}
	return rows.Err()
}
