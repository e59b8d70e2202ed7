package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// A table is the target of many rows in one statement, which is where most of
// the time of a commit would go otherwise.
type table struct {
	name    string
	columns []string
	texts   []string // the statement for 1, 2, 4, ... maxBatch rows
}

// newTable describes a table with its columns, separated by commas, and what
// follows VALUES.
func newTable(name, columns, clause string) *table {
	t := &table{name: name, columns: strings.Split(columns, ", ")}
	width := len(t.columns)
	for rows := 1; rows <= maxBatch; rows *= 2 {
		var b strings.Builder
		b.WriteString("INSERT INTO " + name + " (" + columns + ") VALUES (")
		for i := range rows * width {
			switch {
			case i == 0:
			case i%width == 0:
				b.WriteString("),(")
			default:
				b.WriteByte(',')
			}
			b.WriteString("$" + strconv.Itoa(i+1))
		}
		b.WriteString(")" + clause)
		t.texts = append(t.texts, b.String())
	}
	return t
}

// insert inserts rows, whose columns follow one another in args, by statements of
// 64, 32, 16, ... rows, so that few different statements are ever prepared.
func (t *txn) insert(ctx context.Context, into *table, args []any) error {
	t.rows += len(args) / len(into.columns)
	for len(args) > 0 {
		size := min(bits.Len(uint(len(args)/len(into.columns)))-1, len(into.texts)-1)
		n := len(into.columns) << size
		if _, err := t.conn.ExecContext(ctx, into.texts[size], args[:n]...); err != nil {
			return fmt.Errorf("insert into %s: %w", into.name, err)
		}
		args = args[n:]
	}
	return nil
}

// sortedKeys returns the map's keys in order, so that concurrent transactions
// lock rows in the same order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
