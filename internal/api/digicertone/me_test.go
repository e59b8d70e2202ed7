package digicertone

import (
	"runtime"
	"testing"
	"weak"

	"github.com/telamon-ca/telamon"
)

// TestMeCacheKeepsNoSnapshot holds that a body is encoded anew for another user or account, and that what
// the directory read at a time does not stay in memory for the users who called then.
func TestMeCacheKeepsNoSnapshot(t *testing.T) {
	var m meCache
	encoded := 0
	body := func(user *telamon.User, account *telamon.Account) {
		t.Helper()
		if _, err := m.body(user, account, func() ([]byte, error) { encoded++; return []byte("{}"), nil }); err != nil {
			t.Fatal(err)
		}
	}
	read := make([]telamon.User, 1000)
	read[0].ID, read[1].ID = telamon.NewUserID(), telamon.NewUserID()
	accounts := make([]telamon.Account, 2)
	for range 3 {
		body(&read[0], &accounts[0])
	}
	body(&read[1], &accounts[0])
	again := read[0]
	body(&again, &accounts[0])
	body(&again, &accounts[1])
	if encoded != 4 {
		t.Errorf("encoded %d times, want 4", encoded)
	}
	users, owner := weak.Make(&read[1]), weak.Make(&accounts[0])
	runtime.KeepAlive(read)
	for range 10 {
		if runtime.GC(); users.Value() == nil && owner.Value() == nil {
			break
		}
	}
	if users.Value() != nil || owner.Value() != nil {
		t.Error("what was read stays in memory")
	}
	if len(m.bodies) != 2 {
		t.Errorf("%d bodies are kept, want 2", len(m.bodies))
	}
}
