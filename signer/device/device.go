// Package device makes keys in an HSM or a cloud KMS and signs with them, for a
// keystore. The private halves never leave it; where they are, and what they may
// sign, is sealed in the keystore's files.
package device

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.step.sm/crypto/kms/apiv1"
	_ "go.step.sm/crypto/kms/awskms" // the schemes of URIs
	_ "go.step.sm/crypto/kms/azurekms"
	_ "go.step.sm/crypto/kms/pkcs11"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// Config says which device it is.
type Config struct {
	// URI names the device: pkcs11:module-path=…;token=…, awskms:region=… or
	// azurekms:vault=…. It holds no PIN.
	URI string
	PIN string // "" for a device that asks for none
	Log *slog.Logger
}

// Device is a keystore.Device. It connects anew, once for each call, when the device
// has lost its sessions.
type Device struct {
	cfg  Config
	kind apiv1.Type

	mu      sync.Mutex
	manager apiv1.KeyManager // nil if it could not be connected; guarded by mu
	times   int              // that it was connected; guarded by mu
	missed  time.Time        // when it was connected anew for a key that was not found; guarded by mu
}

// Open connects to the device. It reports an error if it does not answer or refuses
// the PIN.
func Open(ctx context.Context, cfg Config) (*Device, error) {
	kind, err := apiv1.TypeOf(cfg.URI)
	if err != nil {
		return nil, errors.New("the device's URI cannot be read")
	}
	switch kind {
	case apiv1.PKCS11, apiv1.AmazonKMS, apiv1.AzureKMS:
	default:
		return nil, fmt.Errorf("%q is no kind of device: give a URI of scheme pkcs11, awskms or azurekms", string(kind))
	}
	for _, secret := range []string{"pin-value", "pin-source", "pin-prompt"} {
		if strings.Contains(cfg.URI, secret) {
			return nil, errors.New("the device's URI holds a PIN: give it by pin_file or TELAMON_SIGNER_PIN")
		}
	}
	d := &Device{cfg: cfg, kind: kind}
	_, _, err = d.connect(ctx, 0)
	return d, err
}

// Close disconnects.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.manager == nil {
		return nil
	}
	manager := d.manager
	d.manager = nil
	return manager.Close()
}

// connect returns the connection, and its number. It makes another one unless the
// device was connected more often than times: then somebody else has.
func (d *Device) connect(ctx context.Context, times int) (apiv1.KeyManager, int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.manager != nil && d.times > times {
		return d.manager, d.times, nil
	}
	if d.manager != nil {
		d.cfg.Log.Warn("the device lost its sessions: connecting again")
		// Before the next one is made, so that the module is initialised anew.
		if err := d.manager.Close(); err != nil {
			d.cfg.Log.Warn("the device did not close", "error", err)
		}
		d.manager = nil
	}
	connect, ok := apiv1.LoadKeyManagerNewFunc(d.kind)
	if !ok {
		return nil, d.times, fmt.Errorf("devices of kind %s are not compiled in", d.kind)
	}
	manager, err := connect(ctx, apiv1.Options{URI: d.cfg.URI, Type: d.kind, Pin: d.cfg.PIN})
	if err != nil {
		return nil, d.times, fmt.Errorf("connect to the device: %w", err)
	}
	d.manager = manager
	d.times++
	return manager, d.times, nil
}

// do calls f with the connection, and once more with the next one if the device had
// lost its sessions.
func (d *Device) do(f func(manager apiv1.KeyManager, times int) error) error {
	manager, times, err := d.current()
	if err == nil {
		err = f(manager, times)
	}
	if !isLost(err) && !(isMissing(err) && d.doubts()) {
		return err
	}
	manager, times, again := d.connect(context.Background(), times)
	if again != nil {
		return again // which says more, and nothing of a key
	}
	return f(manager, times)
}

// doubtEvery is how often a key that is not found is taken for a lost login: a token
// shows private keys only to who has logged in, and says no more than that.
const doubtEvery = time.Minute

// doubts reports whether a key that is not found is worth another connection.
func (d *Device) doubts() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.kind != apiv1.PKCS11 || !d.missed.IsZero() && now.Sub(d.missed) < doubtEvery {
		return false
	}
	d.missed = now
	return true
}

// current returns the connection, or errLost.
func (d *Device) current() (apiv1.KeyManager, int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.manager == nil {
		return nil, d.times, errLost
	}
	return d.manager, d.times, nil
}

// keyTypes are the key types as devices know them.
var keyTypes = map[tbs.KeyType]struct {
	algorithm apiv1.SignatureAlgorithm
	bits      int
}{
	tbs.RSA2048: {apiv1.SHA256WithRSA, 2048},
	tbs.RSA3072: {apiv1.SHA256WithRSA, 3072},
	tbs.RSA4096: {apiv1.SHA256WithRSA, 4096},
	tbs.ECP256:  {apiv1.ECDSAWithSHA256, 0},
	tbs.ECP384:  {apiv1.ECDSAWithSHA384, 0},
	tbs.ECP521:  {apiv1.ECDSAWithSHA512, 0},
}

// Generate makes a key that cannot be extracted.
func (d *Device) Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, string, error) {
	form, ok := keyTypes[keyType]
	if !ok {
		return nil, "", fmt.Errorf("the device makes no keys of type %q", string(keyType))
	}
	id := make([]byte, 8) // no two keys share it, whatever their names
	rand.Read(id)         // does not fail (crypto/rand)
	var public crypto.PublicKey
	var reference string
	err := d.do(func(manager apiv1.KeyManager, _ int) error {
		made, err := manager.CreateKey(&apiv1.CreateKeyRequest{
			Name: d.nameFor(name, hex.EncodeToString(id)), SignatureAlgorithm: form.algorithm, Bits: form.bits, ProtectionLevel: apiv1.HSM,
		})
		if err != nil {
			return err
		}
		public, reference = made.PublicKey, made.Name
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("make a key on the device: %w", err)
	}
	return public, reference, nil
}

// nameFor returns the URI under which a key is made.
func (d *Device) nameFor(name, id string) string {
	switch d.kind {
	case apiv1.PKCS11:
		return "pkcs11:id=" + id + ";object=" + name
	case apiv1.AmazonKMS:
		return "awskms:name=" + name + "-" + id
	}
	return "azurekms:name=" + name + "-" + id
}

// Open returns a key. It reports keystore.ErrNoKey if the device has none.
func (d *Device) Open(reference string) (crypto.Signer, error) {
	k := &key{device: d, reference: reference}
	err := d.do(func(manager apiv1.KeyManager, times int) error {
		_, err := k.open(manager, times)
		return err
	})
	if isMissing(err) {
		return nil, fmt.Errorf("%w on the device: %w", keystore.ErrNoKey, err)
	}
	if err != nil {
		return nil, err
	}
	k.public = k.signer.Public()
	return k, nil
}

// deleter is a device that deletes keys. Of those here PKCS #11 is one.
type deleter interface{ DeleteKey(uri string) error }

// Destroy destroys a key. A cloud's KMS does that after days, on the order of its own
// users: there Destroy reports an error until the key is gone.
func (d *Device) Destroy(reference string) error {
	d.mu.Lock()
	d.missed = time.Time{} // it must be sure
	d.mu.Unlock()
	_, err := d.Open(reference)
	if errors.Is(err, keystore.ErrNoKey) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.do(func(manager apiv1.KeyManager, _ int) error {
		m, ok := manager.(deleter)
		if !ok {
			return fmt.Errorf("this KMS deletes no keys on request: delete %s there, and then destroy it again", reference)
		}
		return m.DeleteKey(reference)
	})
}

// key is a key of the device.
type key struct {
	device    *Device
	reference string
	public    crypto.PublicKey

	mu     sync.Mutex
	signer crypto.Signer // guarded by mu
	times  int           // the connection that it belongs to; guarded by mu
}

// open returns the key as one of the connection.
func (k *key) open(manager apiv1.KeyManager, times int) (crypto.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.signer != nil && k.times == times {
		return k.signer, nil
	}
	signer, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: k.reference})
	if err != nil {
		return nil, err
	}
	k.signer, k.times = signer, times
	return signer, nil
}

// Public returns the public half as the device has it.
func (k *key) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer.
func (k *key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	err = k.device.do(func(manager apiv1.KeyManager, times int) error {
		signer, err := k.open(manager, times)
		if err != nil {
			return err
		}
		signature, err = signer.Sign(random, digest, opts)
		return err
	})
	return signature, err
}
