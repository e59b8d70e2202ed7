package digicertone

import "time"

// Times of the wire are UTC in whole seconds, days are those of UTC (digicert-one.md,
// Section 2.3).
const (
	timeLayout = "2006-01-02T15:04:05Z"
	dayLayout  = time.DateOnly
)

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// formatEnd returns a time as a member that is null for the zero time.
func formatEnd(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := formatTime(t)
	return &text
}

// parseTime reads a time of a request: RFC 3339, whose fractions of a second are dropped,
// or a day, which means its last second (digicert-one.md, Sections 2.3 and 6.4). It
// reports Malformed, naming path.
func parseTime(path, text string) (time.Time, error) {
	if day, err := time.Parse(dayLayout, text); err == nil {
		return day.Add(24*time.Hour - time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badRequest(path, "has to be a time such as 2026-12-31T23:59:59Z")
	}
	return t.UTC().Truncate(time.Second), nil
}
