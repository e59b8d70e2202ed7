// Package keystore is the only holder of CA private keys and of the platform's
// symmetric secrets. It signs what fits a key's purpose and nothing else, and
// knows no accounts, policies or databases.
//
// Keys are files of a directory, each encrypted under a key-encryption key that
// is kept elsewhere. Whoever can change the files can destroy keys or bring old
// ones back, but can neither use nor exchange them without the key-encryption
// key, and cannot make a key sign outside its purpose, which is sealed with it.
package keystore

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// pepperVersion is the version of the pepper that new API secrets are hashed
// under. Older versions stay available, since they are derived.
const pepperVersion = 1

// The names of entries that are no CA keys. CA keys cannot have them.
const (
	masterEntry     = "_master"
	checkpointEntry = "_checkpoint"
)

// What callers tell apart.
var (
	ErrNoKey   = errors.New("no such key")
	ErrExists  = errors.New("a key of this name exists")
	ErrPurpose = errors.New("the key's purpose does not allow it")
)

// Config says where a keystore is.
type Config struct {
	Dir    string
	KEK    KEK
	Clock  telamon.Clock
	Log    *slog.Logger // nil discards
	Device Device       // makes new CA keys and has theirs; nil is the files themselves
}

// Keystore is an open keystore. It is safe for concurrent use. Decrypted keys
// stay in memory until Close.
type Keystore struct {
	dir    string
	kek    KEK
	clock  telamon.Clock
	log    *slog.Logger
	device Device
	master []byte
	health health

	mu   sync.RWMutex
	keys map[string]*key
}

// key is one CA key. Its fields but last are guarded by Keystore.mu.
type key struct {
	name    string
	signer  crypto.Signer
	purpose Purpose
	journal *journal

	clockMu sync.Mutex
	last    int64 // Unix milliseconds of the last signature, guarded by clockMu
}

func newKeystore(cfg Config) *Keystore {
	ks := &Keystore{dir: cfg.Dir, kek: cfg.KEK, clock: cfg.Clock, log: cfg.Log, device: cfg.Device, keys: map[string]*key{}}
	if ks.log == nil {
		ks.log = slog.New(slog.DiscardHandler)
	}
	return ks
}

// Create makes a new keystore. It reports an error if the directory exists and is
// not empty: a keystore is never overwritten.
func Create(cfg Config) (*Keystore, error) {
	if entries, err := os.ReadDir(cfg.Dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("create keystore: %s is not empty", cfg.Dir)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create keystore: %w", err)
	}
	ks := newKeystore(cfg)
	ks.master = make([]byte, 32)
	rand.Read(ks.master) // does not fail (crypto/rand)
	if err := ks.seal(masterEntry, ks.master); err != nil {
		return nil, err
	}
	_, checkpoint, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create keystore: %w", err)
	}
	return ks, ks.seal(checkpointEntry, checkpoint.Seed())
}

// Open opens a keystore that Create made. It reports an error if there is none, if
// the key-encryption key is not the one, or if any file was changed. What a power
// failure left at the end of a journal is cut off and logged, and what a kill left of
// a key that was being destroyed is removed.
func Open(cfg Config) (*Keystore, error) {
	ks := newKeystore(cfg)
	var err error
	if ks.master, err = ks.unseal(masterEntry); err != nil {
		return nil, fmt.Errorf("open keystore %s: %w", cfg.Dir, err)
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), goneSuffix) {
			if err := ks.shred(e.Name()); err != nil {
				ks.Close()
				return nil, fmt.Errorf("open keystore: remove a destroyed key: %w", err)
			}
		}
		name, ok := strings.CutSuffix(e.Name(), fileSuffix)
		if !ok || strings.HasPrefix(name, "_") {
			continue
		}
		if err := ks.load(name); err != nil {
			ks.Close()
			return nil, fmt.Errorf("open keystore: key %s: %w", name, err)
		}
	}
	return ks, nil
}

// OpenOffline opens the CA keys of a directory that lacks the platform's secrets, as one
// to which a root was taken. It makes no MACs and signs no checkpoints.
func OpenOffline(cfg Config) (*Keystore, error) {
	ks := newKeystore(cfg)
	if err := ks.Refresh(); err != nil {
		ks.Close()
		return nil, fmt.Errorf("open keys %s: %w", cfg.Dir, err)
	}
	if len(ks.keys) == 0 {
		return nil, fmt.Errorf("open keys %s: there are none", cfg.Dir)
	}
	return ks, nil
}

func (ks *Keystore) load(name string) error {
	plain, err := ks.unseal(name)
	if err != nil {
		return err
	}
	k, err := parseKey(name, plain, ks.device)
	if err != nil {
		return err
	}
	if _, ok := k.signer.(*deviceKey); ok && ks.device == nil {
		return errors.New("the key is on a device, and no device is configured")
	}
	if k.journal, err = openJournal(ks.journalPath(name), ks.log); err != nil {
		return err
	}
	k.last = k.journal.lastTime()
	ks.keys[name] = k
	return nil
}

// Close syncs the journals and forgets the keys.
func (ks *Keystore) Close() error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	var errs []error
	for _, k := range ks.keys {
		errs = append(errs, k.journal.close())
	}
	ks.keys, ks.master = map[string]*key{}, nil
	return errors.Join(errs...)
}

// Generate makes a CA key that signs nothing until it has a purpose. The name is
// 1 to 64 of a-z, 0-9 and "-".
func (ks *Keystore) Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%q is no name for a key", name)
	}
	if _, err := ks.Public(name); err == nil { // a device makes no key in vain
		return nil, fmt.Errorf("key %s: %w", name, ErrExists)
	}
	signer, err := ks.generate(name, keyType)
	if err != nil {
		return nil, fmt.Errorf("generate key %s: %w", name, err)
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.keys[name] != nil {
		return nil, errors.Join(fmt.Errorf("key %s: %w", name, ErrExists), destroyOnDevice(signer))
	}
	k := &key{name: name, signer: signer}
	if err := ks.saveKey(k); err != nil {
		return nil, errors.Join(err, destroyOnDevice(signer))
	}
	if k.journal, err = openJournal(ks.journalPath(name), ks.log); err != nil {
		return nil, err
	}
	ks.keys[name] = k
	return signer.Public(), nil
}

func validName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }) < 0
}

// saveKey writes the key's file anew. The caller holds ks.mu or owns k.
func (ks *Keystore) saveKey(k *key) error {
	plain, err := k.marshal()
	if err != nil {
		return fmt.Errorf("save key %s: %w", k.name, err)
	}
	return ks.seal(k.name, plain)
}

// key returns the named key. The caller holds ks.mu.
func (ks *Keystore) key(name string) (*key, error) {
	k := ks.keys[name]
	if k == nil {
		return nil, fmt.Errorf("key %q: %w", name, ErrNoKey)
	}
	return k, nil
}

// Refresh reads keys that have come into the directory since it was opened, as those
// that another process with the same directory has made, and the purpose of those that
// had none. It changes no file. A file that cannot be read is skipped and reported.
func (ks *Keystore) Refresh() error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	entries, err := os.ReadDir(ks.dir)
	if err != nil {
		return fmt.Errorf("read keystore: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), fileSuffix)
		if !ok || strings.HasPrefix(name, "_") {
			continue
		}
		if k := ks.keys[name]; k == nil {
			err = ks.load(name)
		} else if !k.purpose.isSet() {
			err = ks.reload(k)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("key %s: %w", name, err))
		}
		err = nil
	}
	return errors.Join(errs...)
}

// reload reads what purpose another process has given a key. The caller holds ks.mu.
func (ks *Keystore) reload(k *key) error {
	plain, err := ks.unseal(k.name)
	if err != nil {
		return err
	}
	read, err := parseKey(k.name, plain, ks.device)
	if err != nil {
		return err
	}
	k.purpose = read.purpose
	return nil
}

// Names returns the names of the CA keys in order.
func (ks *Keystore) Names() []string {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	var names []string
	for name := range ks.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Public returns the public half of a CA key.
func (ks *Keystore) Public(name string) (crypto.PublicKey, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	return k.signer.Public(), nil
}

// Destroy destroys a retired key: on its device, and its file, which is overwritten
// and removed. Its journal stays. Of a key that another process with the same directory
// has destroyed, it forgets what is in memory. Other keys sign meanwhile, however long
// the device takes.
func (ks *Keystore) Destroy(name string) error {
	k, err := ks.destroyable(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(ks.path(name)); !isMissing(err) {
		if err := errors.Join(err, destroyOnDevice(k.signer)); err != nil {
			return fmt.Errorf("destroy key %s: %w", name, err)
		}
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.keys[name] != k {
		return nil // another call has destroyed it meanwhile
	}
	if err := ks.wipe(name); err != nil {
		return fmt.Errorf("destroy key %s: %w", name, err)
	}
	delete(ks.keys, name)
	if err := k.journal.close(); err != nil {
		return fmt.Errorf("destroy key %s: %w", name, err)
	}
	return nil
}

// destroyable returns the named key, which must be retired, and then stays so.
func (ks *Keystore) destroyable(name string) (*key, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	if !k.purpose.Retired {
		return nil, fmt.Errorf("destroy key %s: it is not retired: %w", name, ErrPurpose)
	}
	return k, nil
}

// PepperVersion returns the version under which new API secrets are hashed.
func (ks *Keystore) PepperVersion() int { return pepperVersion }

// MAC returns the HMAC-SHA-256 of data under the secret of this label and version,
// which no other label or version shares and every replica derives alike.
func (ks *Keystore) MAC(label string, version int, data []byte) []byte {
	info := binary.BigEndian.AppendUint64([]byte("telamon mac "+label+"\x00"), uint64(version))
	ks.mu.RLock()
	secret, err := hkdf.Key(sha256.New, ks.master, nil, string(info), 32)
	ks.mu.RUnlock()
	if err != nil {
		panic(err) // 32 bytes are never too many (RFC 5869, Section 2.3)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(data)
	return mac.Sum(nil)
}

// CheckpointSigner returns the signer of audit checkpoints under this name, and
// the key by which others verify them.
func (ks *Keystore) CheckpointSigner(name string) (note.Signer, string, error) {
	seed, err := ks.unseal(checkpointEntry)
	if err != nil {
		return nil, "", fmt.Errorf("read checkpoint key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	verifier, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", fmt.Errorf("name checkpoint key: %w", err)
	}
	signer, err := noteSigner(name, verifier, seed)
	return signer, verifier, err
}

// CheckpointVerifier returns the second result of CheckpointSigner without opening
// the keystore. It changes no file, so that a tool may call it beside a server.
func CheckpointVerifier(cfg Config, name string) (string, error) {
	_, verifier, err := newKeystore(cfg).CheckpointSigner(name)
	return verifier, err
}

// noteSigner brings the seed into the text form that package note reads: the
// verifier's key hash, and 1 for Ed25519 before the seed.
func noteSigner(name, verifier string, seed []byte) (note.Signer, error) {
	parts := strings.SplitN(strings.TrimPrefix(verifier, name+"+"), "+", 2)
	return note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, parts[0], base64Std(append([]byte{1}, seed...))))
}

// Certificate returns the CA certificate that the key is bound to, nil if none.
func (ks *Keystore) Certificate(name string) (*x509.Certificate, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	return k.purpose.Certificate, nil
}

func (ks *Keystore) path(name string) string { return filepath.Join(ks.dir, name+fileSuffix) }

func (ks *Keystore) journalPath(name string) string { return filepath.Join(ks.dir, name+journalSuffix) }

// isMissing reports whether a file is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
