package doctor

import (
	"bytes"
	"context"
	"crypto/x509"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// keyPairs looks whether each key pair has its key, which signs for nobody else, and
// whether none is left of those that have ended.
func (e *examination) keyPairs(ctx context.Context) {
	pairs, err := e.db.KeyPairKeys(ctx)
	if err != nil {
		e.fail("keypairs", "look at the database's own log", "%v", err)
		return
	}
	if len(pairs) == 0 || e.keys == nil || e.signerAway { // which other checks tell
		return
	}
	since, present := e.count(), 0
	for _, p := range pairs {
		k, ok := e.key(p.Name)
		ended := p.State != telamon.Active && p.State != telamon.Disabled
		switch {
		case ended && ok:
			e.warn("keypairs", "start the server, which destroys it", "the key %s is there, and key pair %s is %s", p.Name, p.ID, p.State)
		case ended:
		case !ok:
			e.fail("keypairs", "restore the key from a backup, or revoke the key pair and make another",
				"the key %s of key pair %s is not here", p.Name, p.ID)
		case k.Err != nil: // told by the keystore's check
		case !isKeyOf(&k, &p):
			e.fail("keypairs", "database and keystore are of different installations or times: docs/RECOVERY.md",
				"key %s is not that of key pair %s", p.Name, p.ID)
		default:
			present++
		}
	}
	e.sound(since, "keypairs", "%d key pairs have their keys", present)
}

// isKeyOf reports whether a key is that of a key pair, and signs for it alone.
func isKeyOf(k *keystore.InspectedKey, p *store.KeyPairKey) bool {
	spki, err := x509.MarshalPKIXPublicKey(k.Public)
	return err == nil && bytes.Equal(spki, p.SPKI) && k.Purpose.Role == telamon.RoleKeyPair && !k.Purpose.Retired &&
		k.Purpose.Owner == (keystore.Owner{Account: p.Account, KeyPair: p.ID})
}
