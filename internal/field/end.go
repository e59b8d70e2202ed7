package field

import (
	"regexp"
	"time"
)

// DayEnd is from the beginning of a day to its last second: a date without a time means
// the end of that day in UTC (digicert-one.md, Section 2.3).
const DayEnd = 24*time.Hour - time.Second

// endShape is the form of RFC 3339 that is read. The standard library's reader alone lets
// more pass: hours of one digit, a comma before fractions and an offset of 24 hours.
var endShape = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,32})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// EndRule is what ParseEnd reads (digicert-one.md, Sections 2.3 and 6.4).
const EndRule = "must be in the format YYYY-MM-DDTHH:MM:SSZ or YYYY-MM-DD"

// ParseEnd reads the last second of something: YYYY-MM-DDTHH:MM:SSZ, the same with
// another offset or with fractions of a second, which are dropped, or YYYY-MM-DD alone
// (digicert-one.md, Section 6.4). It returns false for anything else, and for the zero time, which would be
// taken for no end.
func ParseEnd(text string) (time.Time, bool) {
	if day, err := time.Parse(time.DateOnly, text); err == nil && day.Year() > 0 {
		return day.Add(DayEnd), true
	}
	if !endShape.MatchString(text) {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	at = at.UTC().Truncate(time.Second)
	return at, err == nil && at.Year() > 0 && at.Year() <= 9999 && !at.IsZero()
}
