package digicertone

import (
	"sync"
	"weak"

	"github.com/telamon-ca/telamon"
)

// meCache keeps the bodies of answers to GET /user/me, by which clients see whether what
// they show is good. A body is good for as long as the directory has the same user and the
// same account: it replaces both when they change. The caller's status is not kept apart,
// since who is let in is active. It keeps neither of them in memory: each is a part of all
// that the directory read at a time. It is safe for concurrent use.
type meCache struct {
	mu     sync.RWMutex
	bodies map[telamon.UserID]meBody // guarded by mu
}

type meBody struct {
	user    weak.Pointer[telamon.User]
	account weak.Pointer[telamon.Account]
	json    []byte
}

// maxMe is how many bodies are kept, a kilobyte or two each.
const maxMe = 10_000

// body returns the body for a user, made by encode if it is not there.
func (m *meCache) body(user *telamon.User, account *telamon.Account, encode func() ([]byte, error)) ([]byte, error) {
	m.mu.RLock()
	kept, ok := m.bodies[user.ID]
	m.mu.RUnlock()
	if ok && kept.user.Value() == user && kept.account.Value() == account {
		return kept.json, nil
	}
	json, err := encode()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bodies == nil || len(m.bodies) >= maxMe {
		m.bodies = map[telamon.UserID]meBody{}
	}
	m.bodies[user.ID] = meBody{weak.Make(user), weak.Make(account), json}
	return json, nil
}
