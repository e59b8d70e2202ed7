package device_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/signer/device"
	"github.com/telamon-ca/telamon/signer/internal/softhsm"
)

func open(t testing.TB, token softhsm.Token) *device.Device {
	t.Helper()
	d, err := device.Open(t.Context(), device.Config{URI: token.URI, PIN: token.PIN, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestKeys makes a key of each type, signs in each way, and destroys it.
func TestKeys(t *testing.T) {
	d := open(t, softhsm.New(t))
	for _, keyType := range tbs.KeyTypes() {
		public, reference, err := d.Generate("tls-ca", keyType) // all of one name
		if err != nil {
			t.Errorf("%s: %v", keyType, err)
			continue
		}
		if made, ok := tbs.KeyTypeOf(public); !ok || made != keyType {
			t.Errorf("%s: the key made is of type %q", keyType, made)
		}
		signer, err := d.Open(reference)
		if err != nil {
			t.Errorf("%s: %v", keyType, err)
			continue
		}
		signed := 0
		for _, name := range []string{"RSA", "RSA-PSS", "ECDSA"} {
			for _, hash := range []string{"SHA-256", "SHA-384", "SHA-512"} {
				algorithm, err := tbs.SignatureFor(public, name, hash)
				if err != nil {
					continue // of another kind of key
				}
				signature, err := algorithm.Sign(signer, []byte("tbs"))
				if err == nil {
					err = algorithm.Verify(public, []byte("tbs"), signature)
				}
				if err != nil {
					t.Errorf("%s signs by %s: %v", keyType, algorithm, err)
				}
				signed++
			}
		}
		if want := map[string]int{"RSA": 6, "ECDSA": 3}[keyType.Family()]; signed != want {
			t.Errorf("%s signs in %d ways, want %d", keyType, signed, want)
		}
		if err := d.Destroy(reference); err != nil {
			t.Errorf("%s: %v", keyType, err)
		}
		if _, err := d.Open(reference); !errors.Is(err, keystore.ErrNoKey) {
			t.Errorf("%s: the destroyed key: %v", keyType, err)
		}
		if err := d.Destroy(reference); err != nil {
			t.Errorf("%s: a key that is gone: %v", keyType, err)
		}
	}
	if _, _, err := d.Generate("x", "RSA-1024"); err == nil {
		t.Error("a key of a type that the platform has not is made")
	}
}

// module is SoftHSM as another program of this process sees it: sessions and logins
// belong to the process.
type module struct {
	*pkcs11.Ctx
	slot uint
}

func openModule(t *testing.T) module {
	t.Helper()
	m := module{Ctx: pkcs11.New(softhsm.Module(t))}
	if m.Ctx == nil {
		t.Fatal("the module does not load")
	}
	t.Cleanup(m.Destroy)
	if err := m.Initialize(); err != nil && err != pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		t.Fatal(err)
	}
	slots, err := m.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := m.GetTokenInfo(slot); err == nil && info.Label == softhsm.Label {
			m.slot = slot
			return m
		}
	}
	t.Fatalf("none of %d slots has the token", len(slots))
	return m
}

// TestRequirement94KeysDoNotLeaveTheToken holds that private halves are sensitive and
// not extractable, have always been, and that the token refuses to give them out.
func TestRequirement94KeysDoNotLeaveTheToken(t *testing.T) {
	d := open(t, softhsm.New(t))
	for _, keyType := range []tbs.KeyType{tbs.RSA2048, tbs.ECP256} {
		if _, _, err := d.Generate("ca", keyType); err != nil {
			t.Fatal(err)
		}
	}
	m := openModule(t)
	session, err := m.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}); err != nil {
		t.Fatal(err)
	}
	keys, _, err := m.FindObjects(session, 10)
	if err != nil || len(keys) != 2 {
		t.Fatalf("the token has %d private keys, want two: %v", len(keys), err)
	}
	for _, key := range keys {
		for name, want := range map[uint]byte{
			pkcs11.CKA_SENSITIVE: 1, pkcs11.CKA_EXTRACTABLE: 0, pkcs11.CKA_ALWAYS_SENSITIVE: 1, pkcs11.CKA_NEVER_EXTRACTABLE: 1, pkcs11.CKA_PRIVATE: 1,
		} {
			got, err := m.GetAttributeValue(session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(name, nil)})
			if err != nil || len(got) != 1 || len(got[0].Value) != 1 || got[0].Value[0] != want {
				t.Errorf("attribute %#x is %+v, %v, want %d", name, got, err, want)
			}
		}
		for _, secret := range []uint{pkcs11.CKA_VALUE, pkcs11.CKA_PRIVATE_EXPONENT} {
			if got, err := m.GetAttributeValue(session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(secret, nil)}); err == nil {
				t.Errorf("the token gives out attribute %#x: %+v", secret, got)
			}
		}
	}
}

// TestSessionLoss ends every session, and the login with them, under load. Each
// signature is made all the same. The sessions end between signatures: SoftHSM 2.6
// itself crashes when one ends under a signature.
func TestSessionLoss(t *testing.T) {
	d := open(t, softhsm.New(t))
	public, reference, err := d.Generate("ca", tbs.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := d.Open(reference)
	if err != nil {
		t.Fatal(err)
	}
	algorithm, err := tbs.SignatureFor(public, "", "")
	if err != nil {
		t.Fatal(err)
	}
	sign := func() error {
		signature, err := algorithm.Sign(signer, []byte("tbs"))
		if err != nil {
			return err
		}
		return algorithm.Verify(public, []byte("tbs"), signature)
	}
	m := openModule(t)
	lose := func() {
		if err := m.CloseAllSessions(m.slot); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	if err := sign(); err != nil {
		t.Fatalf("after the sessions were closed: %v", err)
	}
	lose()
	if _, err := d.Open(reference); err != nil {
		t.Errorf("a key is opened after the sessions were closed: %v", err)
	}
	lose()
	if _, _, err := d.Generate("next", tbs.ECP256); err != nil {
		t.Errorf("a key is made after the sessions were closed: %v", err)
	}
	var between sync.RWMutex
	const workers, each, losses = 4, 50, 3
	done := make(chan struct{}, workers*each)
	var failed atomic.Int64
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			for range each {
				between.RLock()
				err := sign()
				between.RUnlock()
				if err != nil && failed.Add(1) == 1 {
					t.Errorf("a signature under load: %v", err)
				}
				done <- struct{}{}
			}
		})
	}
	for range losses {
		for range workers * each / (losses + 1) {
			<-done
		}
		between.Lock()
		lose()
		between.Unlock()
	}
	work.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d signatures failed", n, workers*each)
	}
}

func TestOpenRefuses(t *testing.T) {
	token := softhsm.New(t)
	with := func(change func(*device.Config)) device.Config {
		cfg := device.Config{URI: token.URI, PIN: token.PIN, Log: slog.New(slog.DiscardHandler)}
		change(&cfg)
		return cfg
	}
	const pin = "98765432"
	for name, cfg := range map[string]device.Config{
		"a wrong PIN":          with(func(c *device.Config) { c.PIN = pin }),
		"a PIN in the URI":     with(func(c *device.Config) { c.URI += "?pin-value=" + pin }),
		"a PIN's file in it":   with(func(c *device.Config) { c.URI += "?pin-source=/" + pin }),
		"another token":        with(func(c *device.Config) { c.URI = strings.Replace(c.URI, softhsm.Label, "other", 1) }),
		"another module":       with(func(c *device.Config) { c.URI = "pkcs11:module-path=/none.so;token=" + softhsm.Label }),
		"no URI":               with(func(c *device.Config) { c.URI = "" }),
		"a URI of no device":   with(func(c *device.Config) { c.URI = "softkms:" }),
		"a URI that is none":   with(func(c *device.Config) { c.URI = "a b" }),
		"a device not in here": with(func(c *device.Config) { c.URI = "cloudkms:projects/p" }),
	} {
		d, err := device.Open(t.Context(), cfg)
		if err == nil {
			d.Close()
			t.Errorf("%s: the device opens", name)
		} else if strings.Contains(err.Error(), pin) {
			t.Errorf("%s: the error holds the PIN: %v", name, err)
		}
	}
	open(t, token) // a wrong PIN has locked nothing
}

// TestTokenIsLost takes the token away and gives it back.
func TestTokenIsLost(t *testing.T) {
	token := softhsm.New(t)
	d := open(t, token)
	public, reference, err := d.Generate("ca", tbs.ECP256)
	if err != nil {
		t.Fatal(err)
	}
	m := openModule(t)
	if err := os.Rename(token.Dir, token.Dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := m.CloseAllSessions(m.slot); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(reference); err == nil || errors.Is(err, keystore.ErrNoKey) {
		t.Errorf("without the token: %v", err)
	}
	if err := os.Rename(token.Dir+"-away", token.Dir); err != nil {
		t.Fatal(err)
	}
	signer, err := d.Open(reference)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	if _, err := signer.Sign(rand.Reader, digest, crypto.SHA256); err != nil || !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(signer.Public()) {
		t.Errorf("when the token is back: %v", err)
	}
}

// BenchmarkSign is the rate of signatures of four goroutines.
func BenchmarkSign(b *testing.B) {
	for _, keyType := range []tbs.KeyType{tbs.ECP256, tbs.ECP384, tbs.RSA2048, tbs.RSA3072} {
		b.Run(string(keyType), func(b *testing.B) {
			d := open(b, softhsm.New(b))
			public, reference, err := d.Generate("ca", keyType)
			if err != nil {
				b.Fatal(err)
			}
			signer, err := d.Open(reference)
			if err != nil {
				b.Fatal(err)
			}
			algorithm, err := tbs.SignatureFor(public, "", "")
			if err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(2)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := algorithm.Sign(signer, []byte("tbs")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
