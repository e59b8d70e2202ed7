package lifecycle

import (
	"time"

	"github.com/telamon-ca/telamon"
)

// switchHour is the hour in UTC of scheduled switches: a working hour from London to
// Tokyo, on a day on which nobody is away for the weekend.
const switchHour = 9

// SecondMonday returns the instant of scheduled switches in a month.
func SecondMonday(year int, month time.Month) time.Time {
	first := time.Date(year, month, 1, switchHour, 0, 0, 0, time.UTC)
	toMonday := (int(time.Monday) - int(first.Weekday()) + 7) % 7
	return first.AddDate(0, 0, toMonday+7)
}

// Next returns the first scheduled instant after t: the second Monday of a quarter, or of
// January. It is false for a series that is rotated by hand.
func Next(rotation telamon.Rotation, t time.Time) (time.Time, bool) {
	months := map[telamon.Rotation]int{telamon.RotateQuarterly: 3, telamon.RotateYearly: 12}[rotation]
	if months == 0 {
		return time.Time{}, false
	}
	t = t.UTC()
	month := int(t.Month()) - (int(t.Month())-1)%months // the first of the quarter or year
	for {
		if at := SecondMonday(t.Year(), time.Month(month)); at.After(t) {
			return at, true
		}
		month += months // time.Date carries it into the next year
	}
}

// minActive is how long an issuing CA is the active one at least, unless somebody ends
// it: one that an emergency has started is not exchanged a week later by the calendar,
// and a new installation makes no key in its first two weeks.
const minActive = 60 * 24 * time.Hour

// NextSwitch returns when an issuing CA that starts at an instant is to hand over by the
// schedule of its series. It is false for a series that is rotated by hand.
func NextSwitch(rotation telamon.Rotation, start time.Time) (time.Time, bool) {
	return Next(rotation, start.Add(minActive-time.Nanosecond))
}

// overdueNotice is how far ahead a switch is set whose instant by the schedule has
// passed, as after a long time in which the server did not run.
const overdueNotice = 7 * 24 * time.Hour

// notBeforeNow returns the instant of a switch, or for one that has passed another one:
// at the usual hour, some days ahead.
func notBeforeNow(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	later := now.UTC().Add(overdueNotice)
	return time.Date(later.Year(), later.Month(), later.Day(), switchHour, 0, 0, 0, time.UTC)
}
