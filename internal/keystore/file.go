package keystore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A KEK is the key that encrypts the keystore's files.
type KEK struct{ key []byte }

// kekLength is that of an AES-256 key.
const kekLength = 32

// NewKEK makes a key-encryption key and its text, 64 hexadecimal digits.
func NewKEK() (KEK, string) {
	b := make([]byte, kekLength)
	rand.Read(b) // does not fail (crypto/rand)
	return KEK{b}, hex.EncodeToString(b)
}

// ParseKEK reads the text of a key-encryption key. White space around it is ignored.
func ParseKEK(text string) (KEK, error) {
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != kekLength {
		return KEK{}, errors.New("a key-encryption key is 64 hexadecimal digits") // and never shown
	}
	return KEK{b}, nil
}

// ReadKEK reads a key-encryption key from a file that only its owner may read.
func ReadKEK(path string) (KEK, error) {
	info, err := os.Stat(path)
	if err != nil {
		return KEK{}, fmt.Errorf("read key-encryption key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return KEK{}, fmt.Errorf("read key-encryption key: %s can be read by others (mode %o): make it 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return KEK{}, fmt.Errorf("read key-encryption key: %w", err)
	}
	return ParseKEK(string(text))
}

// A sealed file is the magic, a nonce and the ciphertext. The magic and the name
// of the entry are authenticated, so that files can be neither exchanged nor
// renamed.
const (
	fileMagic     = "telamon key 1\n"
	fileSuffix    = ".key"
	journalSuffix = ".journal"
	goneSuffix    = ".gone" // of a key that is being destroyed
)

// ErrUnseal is returned for a file that does not open: the key-encryption key is
// another, or the file was changed, exchanged or renamed.
var ErrUnseal = errors.New("the file does not open: wrong key-encryption key, or the file was changed")

func (k KEK) aead() (cipher.AEAD, error) {
	if len(k.key) != kekLength {
		return nil, errors.New("no key-encryption key was given")
	}
	derived, err := hkdf.Key(sha256.New, k.key, nil, "telamon keystore file", kekLength)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealBytes encrypts an entry.
func sealBytes(kek KEK, name string, plain []byte) ([]byte, error) {
	aead, err := kek.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte(fileMagic), nil, plain, []byte(fileMagic+name)), nil
}

// openBytes decrypts an entry.
func openBytes(kek KEK, name string, sealed []byte) ([]byte, error) {
	body, ok := strings.CutPrefix(string(sealed), fileMagic)
	if !ok {
		return nil, errors.New("not a key file of this version")
	}
	aead, err := kek.aead()
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, []byte(body), []byte(fileMagic+name))
	if err != nil {
		return nil, ErrUnseal
	}
	return plain, nil
}

// seal writes an entry's file whole or not at all, and durably.
func (ks *Keystore) seal(name string, plain []byte) error {
	sealed, err := sealBytes(ks.kek, name, plain)
	if err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	temporary := ks.path(name) + ".new"
	if err := writeSync(temporary, sealed, os.O_WRONLY|os.O_CREATE|os.O_TRUNC); err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	if err := os.Rename(temporary, ks.path(name)); err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	return syncDir(ks.dir)
}

func (ks *Keystore) unseal(name string) ([]byte, error) {
	sealed, err := os.ReadFile(ks.path(name))
	if isMissing(err) {
		return nil, errors.New("there is no keystore: run telamon init")
	}
	if err != nil {
		return nil, err
	}
	return openBytes(ks.kek, name, sealed)
}

// wipe overwrites and removes an entry's file. It has another name by then: a kill
// leaves either the whole file or one that Open takes for none. It may be called again.
func (ks *Keystore) wipe(name string) error {
	if err := os.Rename(ks.path(name), filepath.Join(ks.dir, name+goneSuffix)); err != nil && !isMissing(err) {
		return err
	}
	if err := syncDir(ks.dir); err != nil {
		return err
	}
	return ks.shred(name + goneSuffix)
}

// shred overwrites and removes a file of the keystore. Another process may do the
// same, so that it may be gone at any time.
func (ks *Keystore) shred(file string) error {
	path := filepath.Join(ks.dir, file)
	info, err := os.Stat(path)
	if err == nil {
		err = writeSync(path, make([]byte, info.Size()), os.O_WRONLY)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !isMissing(err) {
		return err
	}
	return syncDir(ks.dir)
}

func writeSync(path string, content []byte, flags int) error {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func base64Std(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
