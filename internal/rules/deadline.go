package rules

import (
	"cmp"
	"regexp"
	"slices"
	"time"
)

// A Deadline says by when certificates must be revoked that meet a circumstance, and for
// which reason (BR 4.9.1).
type Deadline struct {
	Category string
	Within   time.Duration // from the report or the finding
	Reason   string        // of RFC 5280, Section 5.3.1, by its name there
}

type deadlineRow struct {
	From     string `yaml:"from"`
	Category string `yaml:"category"`
	Hours    int    `yaml:"hours"`
	Reason   string `yaml:"reason"`
}

type datedDeadline struct {
	from time.Time
	Deadline
}

var categoryForm = regexp.MustCompile(`^[a-z][a-z_]{1,39}$`)

// maxDeadlineHours bounds a deadline: a longer one is a mistake.
const maxDeadlineHours = 24 * 31

// deadlines reads the rows, of which those of a category follow one another in the order
// of their days.
func (r *reader) deadlines(key string, rows []deadlineRow) []datedDeadline {
	if len(rows) == 0 {
		r.problem(key, "has no rows")
	}
	last := map[string]time.Time{}
	out := make([]datedDeadline, len(rows))
	for i, row := range rows {
		from := r.date(key, row.From)
		if !categoryForm.MatchString(row.Category) {
			r.problem(key, "row %d: %q is no category of lower-case letters", i+1, row.Category)
		}
		if row.Hours < 1 || row.Hours > maxDeadlineHours {
			r.problem(key, "row %d: hours must be from 1 to %d", i+1, maxDeadlineHours)
		}
		if row.Reason == "" {
			r.problem(key, "row %d: has no reason", i+1)
		}
		if before, ok := last[row.Category]; ok && !from.After(before) {
			r.problem(key, "row %d does not start after the one before it of %s", i+1, row.Category)
		}
		last[row.Category] = from
		out[i] = datedDeadline{from, Deadline{row.Category, time.Duration(row.Hours) * time.Hour, row.Reason}}
	}
	return out
}

// Deadline returns the deadline of a category for what was reported at the instant; ok is
// false if there is no such category.
func (t *Table) Deadline(category string, reported time.Time) (d Deadline, ok bool) {
	for _, row := range t.deadlines {
		if row.Category == category && (!ok || !row.from.After(reported)) {
			d, ok = row.Deadline, true
		}
	}
	return d, ok
}

// Deadlines returns those of every category, for what is reported at the instant, the
// shortest first.
func (t *Table) Deadlines(reported time.Time) []Deadline {
	var out []Deadline
	for _, row := range t.deadlines {
		if slices.ContainsFunc(out, func(d Deadline) bool { return d.Category == row.Category }) {
			continue
		}
		d, _ := t.Deadline(row.Category, reported)
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b Deadline) int { return cmp.Compare(a.Within, b.Within) })
	return out
}
