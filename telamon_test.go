package telamon_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

func TestIDs(t *testing.T) {
	earlier, later := telamon.NewAccountID(), telamon.NewAccountID()
	if !strings.HasPrefix(string(earlier), "acc_") || len(earlier) != 30 {
		t.Errorf("NewAccountID() = %q, want acc_ and 26 characters", earlier)
	}
	if earlier == later || later < earlier {
		t.Errorf("IDs made one after the other are %q and %q, want them in order", earlier, later)
	}
	got, err := telamon.ParseAccountID(string(earlier))
	if err != nil || got != earlier {
		t.Errorf("ParseAccountID(%q) = %q, %v", earlier, got, err)
	}
	for _, bad := range []string{
		"", "acc_", string(telamon.NewUserID()), strings.ToUpper(string(earlier)), string(earlier) + "0",
		string(earlier[:29]), "acc_" + strings.Repeat("z", 26),
	} {
		if id, err := telamon.ParseAccountID(bad); err == nil {
			t.Errorf("ParseAccountID(%q) = %q, want an error", bad, id)
		}
	}
	b, ok := earlier.Bytes()
	if !ok {
		t.Fatalf("%q has no bytes", earlier)
	}
	if _, ok := telamon.AccountID("acc_x").Bytes(); ok {
		t.Error("an ID that was not parsed has bytes")
	}
	event := telamon.NewEventID()
	eb, _ := event.Bytes()
	if telamon.EventIDFromBytes(eb) != event || b == eb {
		t.Errorf("EventIDFromBytes does not give %q back", event)
	}
}

func TestNewSerial(t *testing.T) {
	now := time.Date(2026, 11, 22, 13, 59, 59, 0, time.UTC)
	s, same := telamon.NewSerial(now), telamon.NewSerial(now)
	hours := now.Unix() / 3600
	if s[0] != 0x01 || int64(s[1])<<16|int64(s[2])<<8|int64(s[3]) != hours {
		t.Errorf("serial %s does not begin with 01 and the hour %06X", s, hours)
	}
	if s == same {
		t.Errorf("two serials of one hour are both %s", s)
	}
	if later := telamon.NewSerial(now.Add(time.Second)); later.String() <= s.String() {
		t.Errorf("the serial of the next hour, %s, is not above %s", later, s)
	}
	if s.Int().Sign() != 1 || s.Int().BitLen() >= 159 {
		t.Errorf("serial %s is not positive and below 2^159", s)
	}
}

// TestRequirement78SerialsDoNotRepeat draws a million serial numbers of one hour.
func TestRequirement78SerialsDoNotRepeat(t *testing.T) {
	const draws = 1_000_000
	now := time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	seen := make(map[telamon.Serial]struct{}, draws)
	for range draws {
		seen[telamon.NewSerial(now)] = struct{}{}
	}
	if len(seen) != draws {
		t.Errorf("%d serials hold %d repeats", draws, draws-len(seen))
	}
}

func TestParseSerial(t *testing.T) {
	const own = "01078E3B00112233445566778899AABB"
	tests := []struct {
		name, text string
		ours, ok   bool
	}{
		{"as printed", own, true, true},
		{"lower case", strings.ToLower(own), true, true},
		{"without the leading zero", own[1:], true, true},
		{"with leading zeros", "00000000" + own, true, true},
		{"of another form", "02" + own[2:], false, true},
		{"short", "1", false, true},
		{"40 digits", strings.Repeat("A", 40), false, true},
		{"41 digits", strings.Repeat("A", 41), false, false},
		{"colons", "01:07:8E", false, false},
		{"empty", "", false, false},
		{"not hexadecimal", "0x01", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, ours, err := telamon.ParseSerial(tt.text)
			if (err == nil) != tt.ok || ours != tt.ours {
				t.Fatalf("ParseSerial(%q) = %s, %v, %v; want ours=%v", tt.text, s, ours, err, tt.ours)
			}
			if err != nil && !errors.Is(err, telamon.ErrSerialLength) {
				t.Errorf("ParseSerial(%q) reports %v", tt.text, err)
			}
			if ours && s.String() != own {
				t.Errorf("ParseSerial(%q) = %s, want %s", tt.text, s, own)
			}
		})
	}
}

func FuzzParseSerial(f *testing.F) {
	f.Add("01078E3B00112233445566778899AABB")
	f.Add("1")
	f.Fuzz(func(t *testing.T, text string) {
		s, ours, err := telamon.ParseSerial(text)
		if err != nil || !ours {
			return
		}
		want, ok := new(big.Int).SetString(text, 16)
		if !ok || want.Cmp(s.Int()) != 0 {
			t.Errorf("ParseSerial(%q) = %s", text, s)
		}
		if again, _ := telamon.SerialFromInt(want); again != s {
			t.Errorf("SerialFromInt(%s) = %s, want %s", want, again, s)
		}
	})
}
