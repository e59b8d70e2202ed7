package telamon_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

// TestRevocationDate dates revocations back to the compromise, and never before there
// were certificates.
func TestRevocationDate(t *testing.T) {
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	earlier := at.Add(-time.Hour)
	for _, tt := range []struct {
		name        string
		reason      telamon.RevocationReason
		compromised time.Time
		want        time.Time
	}{
		{"not told", telamon.ReasonKeyCompromise, time.Time{}, at},
		{"earlier", telamon.ReasonKeyCompromise, earlier, earlier},
		{"later", telamon.ReasonKeyCompromise, at.Add(time.Second), at},
		{"another reason", telamon.ReasonSuperseded, earlier, at},
		{"of 1906", telamon.ReasonKeyCompromise, time.Date(1906, 4, 18, 0, 0, 0, 0, time.UTC), telamon.FirstCompromise},
		{"of the year 1", telamon.ReasonKeyCompromise, time.Time{}.Add(time.Second), telamon.FirstCompromise},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := telamon.Revocation{At: at, Reason: tt.reason, CompromisedAt: tt.compromised}
			if got := r.Date(); !got.Equal(tt.want) {
				t.Errorf("the date is %s, want %s", got, tt.want)
			}
		})
	}
}
