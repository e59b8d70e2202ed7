package ui

import (
	"context"
	"strconv"
	"time"
)

// UTC writes a time as people read it.
func UTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Date writes the day of a time, in UTC.
func Date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Clock writes the time of a day, in UTC.
func Clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) }

// RFC3339 writes a time as programs read it, "" for none.
func RFC3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// relative says how far t is from the view's now.
func relative(ctx context.Context, t time.Time) string {
	v := ViewOf(ctx)
	return v.Language.Relative(t, v.Now)
}

// ordinal writes the number of the line with index i.
func ordinal(i int) string { return strconv.Itoa(i + 1) }
