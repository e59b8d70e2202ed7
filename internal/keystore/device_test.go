package keystore_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// device has keys in memory, and fails when it is told to.
type device struct {
	mu     sync.Mutex
	keys   map[string]crypto.Signer // by reference
	made   int
	opened int
	fail   error // of every signature
	// destroying is called before a key is destroyed, unless it is nil.
	destroying func() error
}

func newDevice() *device { return &device{keys: map[string]crypto.Signer{}} }

func (d *device) Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	signer, err := keyType.Generate(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	d.made++
	reference := fmt.Sprintf("memory:%s-%d", name, d.made)
	d.keys[reference] = signer
	return signer.Public(), reference, nil
}

func (d *device) Open(reference string) (crypto.Signer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
	signer, ok := d.keys[reference]
	if !ok {
		return nil, keystore.ErrNoKey
	}
	return &session{signer, d}, nil
}

func (d *device) Destroy(reference string) error {
	if d.destroying != nil {
		if err := d.destroying(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, reference)
	return nil
}

// session is a key that was opened.
type session struct {
	crypto.Signer
	device *device
}

func (s *session) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.device.mu.Lock()
	err := s.device.fail
	s.device.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.Signer.Sign(random, digest, opts)
}

// reopen closes the keystore and opens it on a device.
func (s *store) reopen(t *testing.T, device keystore.Device) error {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ks, err := keystore.Open(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock, Device: device})
	if err == nil {
		s.Keystore = ks
	}
	return err
}

func TestDeviceSigns(t *testing.T) {
	d := newDevice()
	s := newStoreOn(t, d)
	der := build(t, s.leaf(t))
	sig, err := s.SignCertificate("ca", der)
	if err != nil {
		t.Fatal(err)
	}
	if err := signature(t, s.ca.PublicKey).Verify(s.ca.PublicKey, der, sig); err != nil {
		t.Errorf("the device's signature: %v", err)
	}
	l := s.list(t)
	if _, err := s.SignCRL("ca", bytes.NewReader(l.marshal(t))); err != nil {
		t.Errorf("a CRL: %v", err)
	}
	if err := s.reopen(t, nil); err == nil {
		t.Error("a keystore opens without the device that has its keys")
	}
	in, err := keystore.Inspect(keystore.Config{Dir: s.dir, KEK: s.kek, Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := in.Key("ca"); !ok || k.Err != nil || !s.ca.PublicKey.(*ecdsa.PublicKey).Equal(k.Public) {
		t.Errorf("without the device the key is inspected as %+v", k)
	} else if k.Reference != "memory:ca-2" || in.CheckKey("ca") == nil {
		t.Errorf("without the device the key with the reference %q is there", k.Reference)
	}
	if err := s.reopen(t, d); err != nil {
		t.Fatal(err)
	}
	opened := d.opened
	for range 3 {
		if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
			t.Fatal(err)
		}
	}
	if d.opened != opened+1 {
		t.Errorf("the key was opened %d times for three signatures, want once", d.opened-opened)
	}
	software := newStore(t)
	if err := software.reopen(t, d); err != nil {
		t.Fatal(err)
	}
	if _, err := software.SignCertificate("ca", build(t, software.leaf(t))); err != nil {
		t.Errorf("a key of a file beside a device: %v", err)
	}
	if k, err := software.Describe("ca"); k.Reference != "" || err != nil {
		t.Errorf("a key of a file has the reference %q, %v", k.Reference, err)
	}
}

func TestDeviceFails(t *testing.T) {
	d := newDevice()
	s := newStoreOn(t, d)
	d.fail = errors.New("the session is closed")
	if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); !errors.Is(err, d.fail) {
		t.Errorf("a device that fails: %v", err)
	}
	d.fail = nil
	opened := d.opened
	if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil || d.opened != opened+1 {
		t.Errorf("after the failure the key was opened %d times, want once: %v", d.opened-opened, err)
	}
}

func TestDeviceHasAnotherKey(t *testing.T) {
	d := newDevice()
	s := newStoreOn(t, d)
	described, err := s.Describe("ca")
	if err != nil {
		t.Fatal(err)
	}
	reference := described.Reference
	own := d.keys[reference]
	if d.keys[reference], err = tbs.ECP256.Generate(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckKey("ca"); err == nil || errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("CheckKey of another key: %v", err)
	}
	if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err == nil {
		t.Error("another key signs")
	}
	delete(d.keys, reference)
	if err := s.CheckKey("ca"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("CheckKey of a lost key: %v", err)
	}
	if err := s.CheckKey("root"); err != nil {
		t.Errorf("one lost key keeps another from signing: %v", err)
	}
	d.keys[reference] = own
	if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
		t.Errorf("when the key is back: %v", err)
	}
}

func TestDeviceDestroys(t *testing.T) {
	d := newDevice()
	s := newStoreOn(t, d)
	if err := s.Destroy("ca"); !errors.Is(err, keystore.ErrPurpose) || len(d.keys) != 2 {
		t.Errorf("destroying an active key: %v, and the device has %d keys", err, len(d.keys))
	}
	if err := s.Retire("ca"); err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy("ca"); err != nil || len(d.keys) != 1 {
		t.Errorf("destroying a retired key: %v, and the device has %d keys, want one", err, len(d.keys))
	}
	if err := s.reopen(t, d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Public("ca"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("the destroyed key: %v", err)
	}
}

// TestDestroyHoldsNothingUp holds that other keys sign and change while a device takes
// its time to destroy one, and that two calls for one key do not meet.
func TestDestroyHoldsNothingUp(t *testing.T) {
	d := newDevice()
	s := newStoreOn(t, d)
	if err := s.Retire("ca"); err != nil {
		t.Fatal(err)
	}
	root, err := s.Certificate("root")
	if err != nil {
		t.Fatal(err)
	}
	d.destroying = func() error {
		d.destroying = nil
		if _, err := s.SignCertificate("root", s.template(t, "next", root, &tbs.CAConstraints{MaxPathLen: 0})); err != nil {
			t.Errorf("sign with another key: %v", err)
		}
		return s.Destroy("ca")
	}
	if err := s.Destroy("ca"); err != nil || len(d.keys) != 2 {
		t.Errorf("Destroy: %v, and the device has %d keys, want root and next", err, len(d.keys))
	}
	if _, err := s.Public("ca"); !errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("the destroyed key: %v", err)
	}
}

// TestDeviceKeepsNoOrphan holds that no key is left on the device that no file
// refers to, and none is made for a name that is taken.
func TestDeviceKeepsNoOrphan(t *testing.T) {
	d := newDevice()
	s := newStoreOn(t, d)
	if _, err := s.Generate("ca", tbs.ECP256); !errors.Is(err, keystore.ErrExists) || d.made != 2 {
		t.Errorf("a taken name: %v, and the device made %d keys", err, d.made)
	}
	// The file cannot be written where there is a directory.
	if err := os.Mkdir(filepath.Join(s.dir, "next.key.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate("next", tbs.ECP256); err == nil || len(d.keys) != 2 {
		t.Errorf("a file that cannot be written: %v, and the device has %d keys, want two", err, len(d.keys))
	}
}

// TestSignCRLHoldsNothingUp holds that a CRL which comes slowly keeps neither
// changes of keys nor other signatures waiting.
func TestSignCRLHoldsNothingUp(t *testing.T) {
	s := newStore(t)
	l := s.list(t)
	l.entries = 1000
	whole := l.marshal(t)
	half := len(whole) / 2
	read := func(p []byte) (int, error) {
		if _, err := s.Generate("next", tbs.ECP256); err != nil {
			return 0, err
		}
		if _, err := s.SignCertificate("ca", build(t, s.leaf(t))); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	list := io.MultiReader(bytes.NewReader(whole[:half]), readerFunc(read), bytes.NewReader(whole[half:]))
	if _, err := s.SignCRL("ca", list); err != nil {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
