package telamon_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

// at returns an instant of the day of the tests.
func at(clock string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, "2027-04-12T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

func issuing(id string, status telamon.IssuerStatus, activate, retire, until string) *telamon.Issuer {
	i := &telamon.Issuer{
		ID: telamon.IssuerID(id), Series: "ser", Role: telamon.RoleIssuing, Status: status, ActivateAt: at(activate),
	}
	if retire != "" {
		i.RetireAt = at(retire)
	}
	if until != "" {
		i.SignUntil = at(until)
	}
	return i
}

// TestSuccession asks who gets new tokens and who may sign, around a switch at nine
// that nobody records, that is recorded, and that is an emergency.
func TestSuccession(t *testing.T) {
	const active, planned, retired = telamon.IssuerActive, telamon.IssuerPlanned, telamon.IssuerRetired
	waiting := []*telamon.Issuer{
		issuing("old", active, "01:00:00", "09:00:00", "09:11:00"), issuing("new", planned, "09:00:00", "", ""),
	}
	recorded := []*telamon.Issuer{
		issuing("old", retired, "01:00:00", "09:00:00", "09:11:00"), issuing("new", active, "09:00:00", "", ""),
	}
	ended := []*telamon.Issuer{issuing("old", retired, "01:00:00", "09:00:00", ""), issuing("new", active, "09:00:00", "", "")}
	alone := []*telamon.Issuer{issuing("old", active, "01:00:00", "", ""), issuing("next", planned, "12:00:00", "", "")}
	gone := []*telamon.Issuer{issuing("old", retired, "01:00:00", "", ""), issuing("dead", telamon.IssuerExpired, "00:30:00", "", "")}
	tests := []struct {
		name  string
		line  []*telamon.Issuer
		at    string
		first string // gets new tokens
		sign  string // may sign, in the order of the line
	}{
		{"before the switch", waiting, "08:59:54.999", "old", "old"},
		{"a replica that is ahead has switched", waiting, "08:59:55", "old", "old new"},
		{"the last instant", waiting, "08:59:59.999", "old", "old new"},
		{"the switch", waiting, "09:00:00", "new", "old new"},
		{"the last token", waiting, "09:10:59.999", "new", "old new"},
		{"its end", waiting, "09:11:00", "new", "new"},
		{"recorded by a replica that is ahead", recorded, "08:59:59", "new", "old new"},
		{"recorded", recorded, "09:05:00", "new", "old new"},
		{"recorded, its end", recorded, "09:11:00", "new", "new"},
		{"emergency", ended, "09:00:00", "new", "new"},
		{"emergency, by a clock that is behind", ended, "08:59:57", "new", "new"},
		{"nobody comes", alone, "11:00:00", "old", "old"},
		{"the next one comes", alone, "12:00:00", "next", "old next"},
		{"nobody is left", gone, "09:00:00", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, sign := "", ""
			if i := telamon.NewSuccession(tt.line).Active("ser", at(tt.at)); i != nil {
				first = i.ID.String()
			}
			for _, i := range tt.line {
				if i.MaySign(at(tt.at)) {
					if sign != "" {
						sign += " "
					}
					sign += i.ID.String()
				}
			}
			if first != tt.first || sign != tt.sign {
				t.Errorf("at %s new tokens get %q and %q may sign, want %q and %q", tt.at, first, sign, tt.first, tt.sign)
			}
		})
	}
	root := issuing("root", active, "01:00:00", "", "")
	root.Role = telamon.RoleRoot
	if root.MaySign(at("09:00:00")) || telamon.NewSuccession([]*telamon.Issuer{root}).Active("ser", at("09:00:00")) != nil {
		t.Error("a root signs for tokens")
	}
}
