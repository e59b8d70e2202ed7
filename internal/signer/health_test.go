package signer_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// device has keys in memory, until it is gone.
type device struct {
	mu   sync.Mutex
	keys map[string]crypto.Signer
	gone bool
}

func (d *device) Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key, err := keyType.Generate(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	d.keys[name] = key
	return key.Public(), name, nil
}

func (d *device) Open(reference string) (crypto.Signer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return nil, errors.New("the device does not answer")
	case d.keys[reference] == nil:
		return nil, keystore.ErrNoKey
	}
	return d.keys[reference], nil
}

func (d *device) Destroy(reference string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, reference)
	return nil
}

func (d *device) lose(names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		delete(d.keys, name)
	}
	d.gone = len(names) == 0
}

// TestHealth holds that a device that is gone is reported, and one key that is lost
// is not taken for that. Each signer looks for itself, and tells for a while what it
// found.
func TestHealth(t *testing.T) {
	d := &device{keys: map[string]crypto.Signer{}}
	w := newWorldOn(t, d)
	restart := func() {
		w.end()
		w.start()
	}
	if err := w.client.Health(); err != nil {
		t.Errorf("without keys: %v", err)
	}
	_, made := hierarchy(t, w.client, w.clock)
	root, ca := made.Issuers[0].KeyName, made.Issuers[1].KeyName
	d.lose(ca)
	restart()
	if err := w.client.Health(); err != nil {
		t.Errorf("with a lost key: %v", err)
	}
	if err := w.client.CheckKey(ca); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("CheckKey of the lost key: %v", err)
	}
	if err := w.client.CheckKey(root); err != nil {
		t.Errorf("CheckKey of another one: %v", err)
	}
	d.lose()
	restart()
	if err := w.client.Health(); err == nil {
		t.Error("a device that is gone is well")
	}
}
