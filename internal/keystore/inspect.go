package keystore

import (
	"bufio"
	"crypto"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An Inspection is what the files of a keystore say. Nothing in it signs.
type Inspection struct {
	Dir  string
	Keys []InspectedKey // by name
	// Files are the names of the keystore's own files in the directory: sealed ones and
	// journals, all that a backup needs.
	Files []string
	// Strange are other files in it, which are not the keystore's.
	Strange []string

	secrets *Keystore
}

// An InspectedKey is a CA key as its file and its journal say.
type InspectedKey struct {
	Name    string
	Public  crypto.PublicKey
	Purpose Purpose
	Last    time.Time // of the last whole record of the journal, zero if there is none
	Torn    int64     // octets at the journal's end that are no whole record
	Err     error     // why the key or its journal cannot be read
	// Reference is what a device knows the key by, "" for one of no device.
	Reference string

	signer crypto.Signer
	end    int64 // of the journal's last whole record
}

// Inspect reads the keystore's files and changes none of them, so that a tool may do
// it beside a server. A key that cannot be read is reported in its place. It reports
// an error if there is no keystore or the key-encryption key is not the one.
func Inspect(cfg Config) (*Inspection, error) {
	ks := newKeystore(cfg)
	var err error
	if ks.master, err = ks.unseal(masterEntry); err != nil {
		return nil, fmt.Errorf("read keystore %s: %w", cfg.Dir, err)
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("read keystore: %w", err)
	}
	in := &Inspection{Dir: cfg.Dir, secrets: ks}
	for _, e := range entries {
		name, sealed := strings.CutSuffix(e.Name(), fileSuffix)
		if journal := strings.HasSuffix(e.Name(), journalSuffix); !e.Type().IsRegular() || !sealed && !journal {
			in.Strange = append(in.Strange, e.Name())
			continue
		}
		in.Files = append(in.Files, e.Name())
		if sealed && !strings.HasPrefix(name, "_") {
			in.Keys = append(in.Keys, ks.inspect(name))
		}
	}
	return in, nil
}

func (ks *Keystore) inspect(name string) InspectedKey {
	plain, err := ks.unseal(name)
	if err != nil {
		return InspectedKey{Name: name, Err: err}
	}
	k, err := parseKey(name, plain, ks.device)
	if err != nil {
		return InspectedKey{Name: name, Err: err}
	}
	key := describe(k)
	file, err := os.Open(ks.journalPath(name))
	if isMissing(err) {
		return key // it was made and has signed nothing
	}
	if err != nil {
		key.Err = err
		return key
	}
	defer file.Close()
	j := &journal{file: file}
	end, size, err := j.whole()
	key.Last, key.Torn, key.Err, key.end = j.last.At, size-end, err, end
	return key
}

// Key returns the named key, and false if there is none.
func (in *Inspection) Key(name string) (InspectedKey, bool) {
	i := slices.IndexFunc(in.Keys, func(k InspectedKey) bool { return k.Name == name })
	if i < 0 {
		return InspectedKey{}, false
	}
	return in.Keys[i], true
}

// CheckKey is [Keystore.CheckKey].
func (in *Inspection) CheckKey(name string) error {
	k, ok := in.Key(name)
	switch {
	case !ok:
		return fmt.Errorf("key %q: %w", name, ErrNoKey)
	case k.Err != nil:
		return k.Err
	}
	return checkKey(name, k.signer)
}

// MAC is [Keystore.MAC].
func (in *Inspection) MAC(label string, version int, data []byte) []byte {
	return in.secrets.MAC(label, version, data)
}

// ReadJournal calls yield with the whole records of a key's journal, oldest first,
// as far as it went when it was inspected. It reports the first error of yield, and
// one for a damaged record.
func (in *Inspection) ReadJournal(name string, yield func(Record) error) error {
	k, _ := in.Key(name)
	if k.end == 0 {
		return k.Err
	}
	file, err := os.Open(in.secrets.journalPath(name))
	if err != nil {
		return fmt.Errorf("read journal of %s: %w", name, err)
	}
	defer file.Close()
	content, b := bufio.NewReader(io.LimitReader(file, k.end)), make([]byte, RecordSize)
	for {
		if _, err := io.ReadFull(content, b); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read journal of %s: %w", name, err)
		}
		r, err := ParseRecord(b)
		if err == nil {
			err = yield(r)
		}
		if err != nil {
			return fmt.Errorf("read journal of %s: %w", name, err)
		}
	}
}

// IsSealed reports whether content is a file of a keystore: what it holds is encrypted.
func IsSealed(content []byte) bool { return strings.HasPrefix(string(content), fileMagic) }

// SealedSuffix ends the names of encrypted files.
const SealedSuffix = fileSuffix

// InstallationID names the installation whose keystore this is: every copy of the
// keystore has the same and no other one has. It tells nothing of the secrets.
func (in *Inspection) InstallationID() string {
	return fmt.Sprintf("ins_%x", in.MAC("installation", 1, nil)[:16])
}

// VerifierKey returns the key by which the checkpoints of the audit log of this name
// are verified.
func (in *Inspection) VerifierKey(name string) (string, error) {
	_, key, err := in.secrets.CheckpointSigner(name)
	return key, err
}

// MasterFile is the name of the file without which no other one of a keystore can be
// used: the first that a backup is verified by.
const MasterFile = masterEntry + fileSuffix

// CheckFileName reports whether a keystore may hold a file of this name.
func CheckFileName(name string) error {
	base, sealed := strings.CutSuffix(name, fileSuffix)
	if !sealed {
		var ok bool
		if base, ok = strings.CutSuffix(name, journalSuffix); !ok {
			return fmt.Errorf("%q is no file of a keystore", name)
		}
	}
	if filepath.Base(name) != name || !validName(strings.TrimPrefix(base, "_")) {
		return fmt.Errorf("%q is no file of a keystore", name)
	}
	return nil
}
