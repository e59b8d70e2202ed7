package keystore

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// A Device has the private halves of CA keys in its custody, as an HSM or a KMS
// does, and never gives one out. It is safe for concurrent use.
//
// The keystore keeps, sealed, which key of the device is which, and its public
// half: a device that answers with another key is not believed.
type Device interface {
	// Generate makes a key and returns its public half and the reference by which
	// Open finds it, for as long as the key lives. The name tells people which one
	// it is.
	Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, string, error)
	// Open returns the key. The device may ask for its session, or lose it: a
	// signature that fails is no reason to think that the next one will. It reports
	// ErrNoKey if the device answers and has no such key.
	Open(reference string) (crypto.Signer, error)
	// Destroy destroys the key for good. It does nothing if there is none.
	Destroy(reference string) error
}

// generate makes a key where new keys are made.
func (ks *Keystore) generate(name string, keyType tbs.KeyType) (crypto.Signer, error) {
	if ks.device == nil {
		return keyType.Generate(rand.Reader)
	}
	public, reference, err := ks.device.Generate(name, keyType)
	if err != nil {
		return nil, err
	}
	return &deviceKey{device: ks.device, reference: reference, public: public}, nil
}

// deviceKey is a key whose private half a device has. It is opened when it is first
// needed, so that one key that is lost keeps no other from signing.
type deviceKey struct {
	device    Device
	reference string
	public    crypto.PublicKey

	mu     sync.Mutex
	opened crypto.Signer // nil if it is not open; guarded by mu
}

// Public returns the public half that the key's file has.
func (k *deviceKey) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer. After a failure the key is opened anew.
func (k *deviceKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signer, err := k.open()
	if err != nil {
		return nil, err
	}
	signature, err := signer.Sign(random, digest, opts)
	if err != nil {
		k.forget()
		return nil, fmt.Errorf("the device did not sign: %w", err)
	}
	return signature, nil
}

func (k *deviceKey) open() (crypto.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.opened != nil {
		return k.opened, nil
	}
	signer, err := k.device.Open(k.reference)
	if err != nil {
		return nil, fmt.Errorf("open the key on its device: %w", err)
	}
	if !sameKey(signer.Public(), k.public) {
		return nil, errors.New("the device has another key under the reference")
	}
	k.opened = signer
	return signer, nil
}

func (k *deviceKey) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened = nil
}

func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// CheckKey reports why a key could not sign now, as far as that can be told without
// a signature: a device is asked for the key anew.
func (ks *Keystore) CheckKey(name string) error {
	ks.mu.RLock()
	k, err := ks.key(name)
	ks.mu.RUnlock()
	if err != nil {
		return err
	}
	return checkKey(name, k.signer)
}

func checkKey(name string, signer crypto.Signer) error {
	onDevice, ok := signer.(*deviceKey)
	if !ok {
		return nil
	}
	if onDevice.device == nil {
		return fmt.Errorf("check key %s: it is on a device, and none is configured", name)
	}
	onDevice.forget()
	if _, err := onDevice.open(); err != nil {
		return fmt.Errorf("check key %s: %w", name, err)
	}
	return nil
}

// Describe returns what is known of a key. Its journal is told by its last record.
func (ks *Keystore) Describe(name string) (InspectedKey, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return InspectedKey{}, err
	}
	described := describe(k)
	if last := k.journal.lastTime(); last > 0 {
		described.Last = time.UnixMilli(last).UTC()
	}
	return described, nil
}

// describe returns what a key's file says.
func describe(k *key) InspectedKey {
	described := InspectedKey{Name: k.name, Public: k.signer.Public(), Purpose: k.purpose, signer: k.signer}
	if onDevice, ok := k.signer.(*deviceKey); ok {
		described.Reference = onDevice.reference
	}
	return described
}

// privateHalf puts a key, or where it is, into its file.
func (f *keyFile) privateHalf(signer crypto.Signer) (err error) {
	if k, ok := signer.(*deviceKey); ok {
		f.Reference = k.reference
		f.Public, err = x509.MarshalPKIXPublicKey(k.public)
		return err
	}
	f.PKCS8, err = x509.MarshalPKCS8PrivateKey(signer)
	return err
}

var errKeyFile = errors.New("the key cannot be read")

// signer returns the key of a file. Without the device that has it, it signs nothing.
func (f *keyFile) signer(device Device) (crypto.Signer, error) {
	if f.Reference != "" {
		public, err := x509.ParsePKIXPublicKey(f.Public)
		if err != nil {
			return nil, errKeyFile
		}
		return &deviceKey{device: device, reference: f.Reference, public: public}, nil
	}
	private, err := x509.ParsePKCS8PrivateKey(f.PKCS8)
	if err != nil {
		return nil, errKeyFile
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return signer, nil
}

// destroyOnDevice destroys what a device has of a key. Other keys are their files.
func destroyOnDevice(signer crypto.Signer) error {
	k, ok := signer.(*deviceKey)
	if !ok {
		return nil
	}
	k.forget()
	if err := k.device.Destroy(k.reference); err != nil {
		return fmt.Errorf("destroy the key on its device: %w", err)
	}
	return nil
}
