package lifecycle_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/lifecycle"
)

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSecondMonday(t *testing.T) {
	for _, want := range []string{
		"2026-10-12", "2027-01-11", "2027-04-12", "2027-07-12", "2027-10-11", "2028-01-10", "2028-04-10", "2028-02-14",
		"2029-10-08", // the month begins with a Monday
		"2028-08-14", // the month begins with a Tuesday
	} {
		day := instant(t, want+"T09:00:00Z")
		if got := lifecycle.SecondMonday(day.Year(), day.Month()); !got.Equal(day) {
			t.Errorf("the second Monday of %s is %s, want %s", day.Format("2006-01"), got, day)
		}
	}
}

func TestNext(t *testing.T) {
	tests := []struct {
		name     string
		rotation telamon.Rotation
		after    string
		want     string // "" is never
	}{
		{"before the day", telamon.RotateQuarterly, "2027-01-01T00:00:00Z", "2027-01-11T09:00:00Z"},
		{"a second before", telamon.RotateQuarterly, "2027-01-11T08:59:59Z", "2027-01-11T09:00:00Z"},
		{"the instant itself", telamon.RotateQuarterly, "2027-01-11T09:00:00Z", "2027-04-12T09:00:00Z"},
		{"the end of a quarter", telamon.RotateQuarterly, "2027-03-31T23:59:59Z", "2027-04-12T09:00:00Z"},
		{"the end of a year", telamon.RotateQuarterly, "2027-11-30T00:00:00Z", "2028-01-10T09:00:00Z"},
		{"another zone", telamon.RotateQuarterly, "2027-04-12T10:30:00+02:00", "2027-04-12T09:00:00Z"},
		{"a year", telamon.RotateYearly, "2027-01-11T09:00:00Z", "2028-01-10T09:00:00Z"},
		{"within a year", telamon.RotateYearly, "2027-08-01T00:00:00Z", "2028-01-10T09:00:00Z"},
		{"by hand", telamon.RotateManually, "2027-08-01T00:00:00Z", ""},
		{"unknown", "weekly", "2027-08-01T00:00:00Z", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := lifecycle.Next(tt.rotation, instant(t, tt.after))
			if ok != (tt.want != "") || ok && !got.Equal(instant(t, tt.want)) {
				t.Errorf("after %s comes %s, %t, want %s", tt.after, got, ok, tt.want)
			}
		})
	}
}

func TestNextSwitch(t *testing.T) {
	tests := []struct{ name, start, want string }{
		{"from one to the next", "2027-01-11T09:00:00Z", "2027-04-12T09:00:00Z"},
		{"just long enough", "2027-02-11T09:00:00Z", "2027-04-12T09:00:00Z"},
		{"a second too short", "2027-02-11T09:00:01Z", "2027-07-12T09:00:00Z"},
		{"made on the day", "2026-11-30T12:00:00Z", "2027-04-12T09:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := lifecycle.NextSwitch(telamon.RotateQuarterly, instant(t, tt.start)); !ok || !got.Equal(instant(t, tt.want)) {
				t.Errorf("what starts at %s hands over at %s, %t, want %s", tt.start, got, ok, tt.want)
			}
		})
	}
	if _, ok := lifecycle.NextSwitch(telamon.RotateManually, instant(t, "2027-01-11T09:00:00Z")); ok {
		t.Error("a series that is rotated by hand has a schedule")
	}
}
