package keystore

import (
	"fmt"
	"os"
	"sync/atomic"
)

// health remembers why the last record of a signature could not be written, nil if it
// could: the disk of the journals is full, broken or read-only.
type health struct{ cause atomic.Pointer[error] }

func (h *health) note(err error) {
	switch {
	case err != nil:
		h.cause.Store(&err)
	case h.cause.Load() != nil:
		h.cause.Store(nil)
	}
}

// record writes a record to the key's journal, without which nothing is signed.
func (ks *Keystore) record(k *key, r Record) error {
	err := k.journal.append(r)
	ks.health.note(err)
	return err
}

// Failing reports why the last signature could not be journaled, and so was not made;
// nil if it was. It answers from memory.
func (ks *Keystore) Failing() error {
	if cause := ks.health.cause.Load(); cause != nil {
		return fmt.Errorf("the keystore cannot sign: %w", *cause)
	}
	return nil
}

// Ready is Failing, but after a failure each call tries whether the keystore's disk
// takes a file again: there may be no signature that would show it.
func (ks *Keystore) Ready() error {
	if ks.Failing() == nil {
		return nil
	}
	ks.health.note(ks.probe())
	return ks.Failing()
}

// probeBytes is what a few hundred signatures are journaled in.
const probeBytes = 16 << 10

// probe writes a file that has no name any more.
func (ks *Keystore) probe() error {
	file, err := os.CreateTemp(ks.dir, ".probe-")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	if _, err := file.Write(make([]byte, probeBytes)); err != nil {
		return err
	}
	return file.Sync()
}
