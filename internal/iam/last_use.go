package iam

import (
	"context"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
)

// maxLastUses is how many uses of certificates wait to be written at a time. What is used
// beyond that is noted by a later use.
const maxLastUses = 100_000

// lastUses holds when users' certificates were used last, as far as it is not written yet.
// The zero value is empty. It is safe for concurrent use.
type lastUses struct {
	mu      sync.Mutex
	waiting map[telamon.ClientCertID]time.Time // guarded by mu
}

// add remembers a use.
func (u *lastUses) add(id telamon.ClientCertID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, there := u.waiting[id]
	if !there && len(u.waiting) >= maxLastUses || before.After(at) {
		return
	}
	if u.waiting == nil {
		u.waiting = map[telamon.ClientCertID]time.Time{}
	}
	u.waiting[id] = at
}

// take returns the uses that wait, and forgets them.
func (u *lastUses) take() map[telamon.ClientCertID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.waiting
	u.waiting = nil
	return all
}

// WriteLastUses writes when certificates of users were used last. It is called every
// minute and at the end of the process, so that a certificate that is used all the time
// costs a write a minute. What it could not write it keeps for the next time.
func (s *IAM) WriteLastUses(ctx context.Context) error {
	uses := s.lastUses.take()
	if len(uses) == 0 {
		return nil
	}
	err := s.store.NoteClientCertUses(ctx, uses)
	if err != nil {
		for id, at := range uses {
			s.lastUses.add(id, at)
		}
	}
	return err
}

// UserCertUses returns when the client certificates of [IAM.AccountUserCerts] were used
// last, as of about a minute ago; one that is not there was never used. It reports what
// that does.
func (s *IAM) UserCertUses(ctx context.Context, actor telamon.Actor, account telamon.AccountID) (map[telamon.ClientCertID]time.Time, error) {
	certs, err := s.AccountUserCerts(ctx, actor, account)
	if err != nil {
		return nil, err
	}
	noted, err := s.store.UserCertUses(ctx, account)
	if err != nil {
		return nil, err
	}
	uses := make(map[telamon.ClientCertID]time.Time, len(noted))
	for _, cert := range certs { // the actor's own alone, to who may not see others
		if at, ok := noted[cert.ID]; ok {
			uses[cert.ID] = at
		}
	}
	return uses, nil
}
