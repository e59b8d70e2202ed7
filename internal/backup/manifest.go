package backup

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// formatVersion is that of the archives that this release writes and reads.
const formatVersion = 1

// macLabel and macVersion derive the key of the manifest's MAC from the keystore.
const (
	macLabel   = "backup"
	macVersion = 1
)

// A Manifest says what a backup holds. It is authenticated under a key that only the
// installation's own keystore gives.
type Manifest struct {
	Format       int               `json:"format"`
	Installation string            `json:"installation"`
	At           time.Time         `json:"at"`      // nothing that was acknowledged before is missing
	Version      string            `json:"version"` // of the program
	Engine       string            `json:"engine"`  // with sqlite the database is one of the files
	Schema       int64             `json:"schema"`  // the database's version
	Log          LogState          `json:"audit_log"`
	CRLs         []store.CRLNumber `json:"crls"`
	Files        []File            `json:"files"` // in the order of the archive
}

// LogState is how far the audit log went.
type LogState struct {
	Size       int64  `json:"size"`
	Root       string `json:"root"`       // base64
	Checkpoint string `json:"checkpoint"` // the signed note; empty for an empty log
}

// A File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// The names of an archive's members. Those of the keystore have keysPrefix.
const (
	manifestName = "manifest.json"
	macName      = "manifest.mac"
	databaseName = "database.db"
	keysPrefix   = "keys/"
)

// What callers tell apart.
var (
	// ErrDamaged says that an archive is not what was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrForeign says that a backup, or a database, belongs to another installation, or
	// that the key-encryption key is not the one that it was made under.
	ErrForeign = errors.New("it belongs to another installation, or the key-encryption key is not the one that it was made under")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// maxManifest bounds what is read before anything is authenticated.
const maxManifest = 16 << 20

// encode returns the manifest's bytes, which the MAC is over.
func (m *Manifest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	if len(text) > maxManifest {
		return nil, fmt.Errorf("encode the manifest: %d bytes are too many", len(text))
	}
	return append(text, '\n'), nil
}

// macOf returns the text of the MAC of a manifest.
func macOf(keys *keystore.Inspection, manifest []byte) []byte {
	return []byte(hex.EncodeToString(keys.MAC(macLabel, macVersion, manifest)) + "\n")
}

// checkMAC reports ErrDamaged unless mac is that of the manifest.
func checkMAC(keys *keystore.Inspection, manifest, mac []byte) error {
	if !hmac.Equal(macOf(keys, manifest), mac) {
		return damaged("its manifest is not what this installation wrote")
	}
	return nil
}

// parseManifest reads a manifest whose MAC may not have been checked yet, and holds it
// to what this release writes.
func parseManifest(text []byte) (*Manifest, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var m Manifest
	if err := decoder.Decode(&m); err != nil {
		return nil, damaged("its manifest cannot be read")
	}
	if m.Format != formatVersion {
		return nil, fmt.Errorf("the backup has format %d, and this release reads %d", m.Format, formatVersion)
	}
	if len(m.Files) == 0 || m.Files[0].Name != keysPrefix+keystore.MasterFile {
		return nil, damaged("its manifest does not begin with the keystore's secret")
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if err := f.check(); err != nil {
			return nil, err
		}
		if seen[f.Name] {
			return nil, damaged("%s is in it twice", f.Name)
		}
		seen[f.Name] = true
	}
	if seen[databaseName] != (m.Engine == "sqlite") {
		return nil, damaged("its manifest does not fit the engine %q", m.Engine)
	}
	return &m, nil
}

func (f *File) check() error {
	if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Size < 0 {
		return damaged("its manifest says nothing of %q", f.Name)
	}
	if f.Name == databaseName {
		return nil
	}
	name, ok := strings.CutPrefix(f.Name, keysPrefix)
	if !ok || keystore.CheckFileName(name) != nil {
		return damaged("%q has no place in a backup", f.Name)
	}
	return nil
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
