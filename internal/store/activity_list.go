package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// Bounds of the cost of Activities.
const (
	// MaxActivities is where Activities stops counting, and the last place in a list that
	// a page may reach.
	MaxActivities = 10_000
	// maxActivityScan is how many rows it looks through for those that a filter for which
	// there is no index asks for.
	maxActivityScan = 100_000
)

// An ActivityFilter says which activities of an account to list: those for which all of
// it holds. Empty members are not asked for. Names are compared without regard to case.
type ActivityFilter struct {
	Account       telamon.AccountID
	UserName      string // a part of it
	Action        string
	ResourceTypes []string // any of them
	Resource      string   // an ID, prefixed or as a UUID, or what was shown in its place
	Status        ActivityStatus
	From          time.Time // inclusive
	To            time.Time // exclusive
	OldestFirst   bool
	Offset, Limit int64
}

// An ActivityStatus is how what an activity tells of ended.
type ActivityStatus string

// The statuses (digicert-one.md, Section 6.6).
const (
	ActivitySuccess ActivityStatus = "success"
	ActivityFailure ActivityStatus = "failure"
)

// Activities returns a page of an account's activities, the newest first if the filter
// does not say otherwise, and how many there are in all, up to MaxActivities.
//
// The cost is bounded whatever the account has. Time, resource, action and failures are
// found by indexes; for the other filters at most maxActivityScan rows are looked at. It
// reports Invalid with activity_page for a page that ends beyond MaxActivities, and with
// activity_span if the page was not filled by the rows that it may look at.
func (db *DB) Activities(ctx context.Context, f ActivityFilter) ([]telamon.Activity, int64, error) {
	switch {
	case f.Account == "":
		return nil, 0, errors.New("list activities: of no account")
	case f.Offset < 0 || f.Limit < 1 || f.Offset > MaxActivities-f.Limit:
		return nil, 0, fault.New(fault.Invalid, "activity_page",
			fmt.Sprintf("A page ends within the first %d entries: narrow the list down by from and to.", MaxActivities))
	}
	list, total, err := db.activities(ctx, &f)
	if err != nil {
		return nil, 0, db.judge(ctx, fmt.Errorf("list activities of %s: %w", f.Account, err))
	}
	return list, total, nil
}

func (db *DB) activities(ctx context.Context, f *ActivityFilter) ([]telamon.Activity, int64, error) {
	where := f.where()
	cut, err := db.boundScan(ctx, f, where)
	if err != nil {
		return nil, 0, err
	}
	count, page := *where, *where
	var total int64
	text := "SELECT count(*) FROM (SELECT 1 FROM " + where.table(db.engine) + " WHERE " + count.text() + count.arg(" LIMIT $%d", MaxActivities) + ") AS counted"
	if err := db.reader.QueryRowContext(ctx, text, count.args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count: %w", err)
	}
	text = "SELECT " + activityColumns + " FROM " + where.table(db.engine) + " WHERE " + page.text() + " ORDER BY " + f.order() +
		page.arg(" LIMIT $%d", f.Limit) + page.arg(" OFFSET $%d", f.Offset)
	list, err := db.readActivities(ctx, text, page.args)
	if err == nil && cut && int64(len(list)) < f.Limit {
		err = fault.New(fault.Invalid, "activity_span", fmt.Sprintf("There are more than %d entries to look through: "+
			"give a time by from and to, a resource_id, an action or the status failure.", maxActivityScan))
	}
	return list, total, err
}

// boundScan bounds a list that no index finds to the first maxActivityScan rows of those
// that may be in it, and reports whether there are more.
func (db *DB) boundScan(ctx context.Context, f *ActivityFilter, where *activityWhere) (cut bool, err error) {
	if where.isIndexed() {
		return false, nil
	}
	c := where.indexed()
	text := "SELECT at FROM " + where.table(db.engine) + " WHERE " + c.text() + " ORDER BY " + f.order() + c.arg(" LIMIT 1 OFFSET $%d", maxActivityScan)
	var at int64
	switch err = db.reader.QueryRowContext(ctx, text, c.args...).Scan(&at); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("bound: %w", err)
	case f.OldestFirst:
		where.args[argTo] = at
	default:
		where.args[argFrom] = at + 1
	}
	return true, nil
}

func (f *ActivityFilter) order() string {
	if f.OldestFirst {
		return "at, id"
	}
	return "at DESC, id DESC"
}

// where returns the conditions of the filter: first those that one index finds, in the
// order of the list.
func (f *ActivityFilter) where() *activityWhere {
	w := &activityWhere{}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.From.IsZero() {
		from = f.From.UnixMilli()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMilli()
	}
	w.add("account_id = $%d", f.Account.String())
	w.add("at >= $%d", from)
	w.add("at < $%d", to)
	resource := func() { w.add("resource_id = $%d", activityResource(f.Resource)) }
	failed := func() { w.texts = append(w.texts, "failed") }
	action := func() { w.add("action = $%d", strings.ToLower(f.Action)) }
	var left []func()
	for _, c := range []struct {
		asked bool
		add   func()
		index string
	}{
		{f.Resource != "", resource, "activity_by_resource"},
		{f.Status == ActivityFailure, failed, "activity_failures"},
		{f.Action != "", action, "activity_by_action"},
	} {
		switch {
		case !c.asked:
		case w.index == "":
			c.add()
			w.index = c.index
		default:
			left = append(left, c.add)
		}
	}
	w.found, w.foundArgs = len(w.texts), len(w.args)
	for _, add := range left {
		add()
	}
	f.whereUnindexed(w)
	return w
}

// whereUnindexed adds the conditions for which there is no index.
func (f *ActivityFilter) whereUnindexed(w *activityWhere) {
	if f.Status == ActivitySuccess {
		w.texts = append(w.texts, "NOT failed")
	}
	if len(f.ResourceTypes) > 0 {
		var list []string // of one length, so that statements are few
		for _, kind := range resourceTypes {
			if !slices.ContainsFunc(f.ResourceTypes, func(asked string) bool { return strings.EqualFold(asked, kind) }) {
				kind = ""
			}
			list = append(list, w.arg("$%d", kind))
		}
		w.texts = append(w.texts, "resource_type IN ("+strings.Join(list, ", ")+")")
	}
	if f.UserName != "" {
		w.add(`name_key LIKE $%d ESCAPE '\'`, "%"+likeEscaper.Replace(nameKey(f.UserName))+"%")
	}
}

// likeEscaper makes a text one that LIKE takes for itself.
var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Where a clause has the bounds of time in its arguments.
const argFrom, argTo = 1, 2

// activityWhere is a WHERE clause: its conditions, of which an index finds the first ones,
// and their arguments in order. Each process makes some dozens of different ones.
type activityWhere struct {
	texts            []string
	args             []any
	found, foundArgs int    // how many of the texts and args are those of the index
	index            string // "": the primary key
}

// table returns the table of a query. SQLite is told the index: it would rather take the
// primary key, which has all columns, and look through the rows of the account.
func (w *activityWhere) table(e engine) string {
	if w.index == "" || e != engineSQLite {
		return "activity"
	}
	return "activity INDEXED BY " + w.index
}

// isIndexed reports whether an index finds all that is asked for and nothing else.
func (w *activityWhere) isIndexed() bool { return w.found == len(w.texts) }

// indexed returns the clause without what no index finds.
func (w *activityWhere) indexed() activityWhere {
	return activityWhere{texts: w.texts[:w.found:w.found], args: w.args[:w.foundArgs:w.foundArgs]}
}

// add adds a condition on a value, for whose number the format has a place.
func (w *activityWhere) add(format string, value any) {
	w.texts = append(w.texts, w.arg(format, value))
}

// arg adds an argument and returns the format with its number.
func (w *activityWhere) arg(format string, value any) string {
	w.args = append(slices.Clip(w.args), value) // copies of the clause go on from here apart
	return fmt.Sprintf(format, len(w.args))
}

func (w *activityWhere) text() string { return strings.Join(w.texts, " AND ") }

// readActivities runs a query for the activityColumns.
func (db *DB) readActivities(ctx context.Context, text string, args []any) ([]telamon.Activity, error) {
	rows, err := db.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []telamon.Activity
	for rows.Next() {
		var a telamon.Activity
		var at int64
		var id []byte
		var key, address string
		err := rows.Scan(&a.Account, &at, &id, &a.User, &a.UserName, &key, &a.Action, &a.ResourceType, &a.Resource, &a.Failed,
			&a.Description, &address)
		if err != nil {
			return nil, err
		}
		event, err := eventID(id)
		if err != nil {
			return nil, err
		}
		a.ID, a.At = telamon.EventIDFromBytes(event), timeOf(at)
		if address != "" {
			if a.Address, err = netip.ParseAddr(address); err != nil {
				return nil, fmt.Errorf("address of %s: %w", a.ID, err)
			}
		}
		list = append(list, a)
	}
	return list, rows.Err()
}
