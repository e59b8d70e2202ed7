package digicertone

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
)

func TestServicePeriod(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	account := telamon.Account{CreatedAt: day("2026-11-22T23:59:59Z")}
	if got, want := servicePeriodOf(&account), (servicePeriod{"2026-11-22", "9999-12-31"}); got != want {
		t.Errorf("without bounds: %v, want %v", got, want)
	}
	account.StartsAt, account.EndsAt = day("2026-12-01T00:00:00+09:00"), day("2027-11-30T23:59:59Z")
	if got, want := servicePeriodOf(&account), (servicePeriod{"2026-11-30", "2027-11-30"}); got != want {
		t.Errorf("with bounds: %v, want %v", got, want)
	}
}

func TestFriendlyIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"Acme K.K.": "acme-k-k", "playground": "playground", " a -- b ": "a-b", "Ökologie 2": "ökologie-2", "!": "",
	} {
		if got := friendlyIdentifier(name); got != want {
			t.Errorf("the identifier of %q is %q, want %q", name, got, want)
		}
	}
}

// TestRoleIDs holds that each role is found by its ID, and by no other's.
func TestRoleIDs(t *testing.T) {
	seen := map[[16]byte]bool{}
	for _, r := range authz.Roles() {
		id := roleID(r.Code)
		if found, ok := roleOfID(id); !ok || found.Code != r.Code || seen[id] {
			t.Errorf("the ID of %s is that of %s", r.Code, found.Code)
		}
		seen[id] = true
	}
	if r, ok := roleOfID([16]byte{}); ok {
		t.Errorf("no ID is that of %s", r.Code)
	}
	// Clients may keep it.
	if got := formatUUID(roleID("AM_ACCOUNT_ADMIN")); got != "3cc04ac7-9b33-5ecd-b6aa-becb0951e4a3" {
		t.Errorf("the ID of AM_ACCOUNT_ADMIN is now %s", got)
	}
}
