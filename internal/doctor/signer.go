package doctor

import (
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/keystore"
)

// signer asks the process that has the CA keys, if the configuration names one, for
// each of them.
func (e *examination) signer() {
	const do = "start telamon-signer, or look at its log"
	client, err := app.OpenSigner(e.cfg)
	if err != nil {
		e.fail("signer", "mend the configuration: docs/CONFIGURATION.md", "%v", err)
		e.signerAway = true
		return
	}
	if client == nil {
		return
	}
	e.client = client
	names, err := client.Names()
	if err != nil {
		e.fail("signer", do, "%v", err)
		e.signerAway = true
		return
	}
	since := e.count()
	if err := client.Health(); err != nil {
		e.fail("signer", do, "%v", err)
	}
	for _, name := range names {
		k, err := client.Describe(name)
		if err != nil {
			e.fail("signer", do, "key %s: %v", name, err)
			continue
		}
		e.behindSigner = append(e.behindSigner, k)
		if err := client.CheckKey(name); err != nil {
			e.fail("signer", "if the device has lost it: docs/HSM.md, \"A lost key\"", "key %s: %v", name, err)
		}
	}
	e.sound(since, "signer", "it has %d keys, and its device has each of them", len(names))
}

// key returns what is known of a key, in the signer or in the keystore.
func (e *examination) key(name string) (keystore.InspectedKey, bool) {
	for _, k := range e.behindSigner {
		if k.Name == name {
			return k, true
		}
	}
	if e.keys == nil {
		return keystore.InspectedKey{}, false
	}
	return e.keys.Key(name)
}

// allKeys returns the keys of the signer and of the keystore.
func (e *examination) allKeys() []keystore.InspectedKey {
	keys := e.behindSigner[:len(e.behindSigner):len(e.behindSigner)]
	if e.keys != nil {
		keys = append(keys, e.keys.Keys...)
	}
	return keys
}

// readJournal calls yield with the records of a key's journal, where that is.
func (e *examination) readJournal(name string, yield func(keystore.Record) error) error {
	for _, k := range e.behindSigner {
		if k.Name != name {
			continue
		}
		for record, err := range e.client.ReadJournal(name) {
			if err == nil {
				err = yield(record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return e.keys.ReadJournal(name, yield)
}
