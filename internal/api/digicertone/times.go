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
