package iam

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// firstUses holds the first uses of users' certificates that are not written yet. The
// zero value is empty. It is safe for concurrent use.
type firstUses struct {
	mu      sync.Mutex
	waiting map[telamon.ClientCertID]firstUse // guarded by mu
}

type firstUse struct {
	actor telamon.Actor
	at    time.Time
}

// add remembers a use, unless there was one before.
func (u *firstUses) add(actor telamon.Actor, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.waiting[actor.ClientCert]; there {
		return
	}
	if u.waiting == nil {
		u.waiting = map[telamon.ClientCertID]firstUse{}
	}
	u.waiting[actor.ClientCert] = firstUse{actor, at}
}

// all returns the uses that wait.
func (u *firstUses) all() []firstUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]firstUse, 0, len(u.waiting))
	for _, use := range u.waiting {
		list = append(list, use)
	}
	return list
}

func (u *firstUses) done(id telamon.ClientCertID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.waiting, id)
}

// WriteFirstUses writes which certificates of users were used for the first time, each
// with an audit event, once on all replicas. It is called every second and at the end of
// the process, so that no request waits for it. What it could not write it keeps for the
// next time.
func (s *IAM) WriteFirstUses(ctx context.Context) error {
	var failed []error
	for _, use := range s.uses.all() {
		err := s.store.NoteFirstUse(ctx, use.actor, use.at)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		s.changed(ctx, store.ChangeClientCert, use.actor.ClientCert.String()) // before it is forgotten here
		s.uses.done(use.actor.ClientCert)
	}
	return errors.Join(failed...)
}
