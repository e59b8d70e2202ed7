// Package backup makes backups of an installation while its server runs, and puts
// them back: the database, the keystore's encrypted files and a manifest, in one
// archive. It holds no key-encryption key, so that nobody can sign with a backup
// alone; it does not make backups of PostgreSQL, which has tools of its own, but of
// what must go beside them.
//
// A database that was put back may be older than what was published of it. The
// package finds that out from exported checkpoints and published CRLs, says what is
// lost, brings revocations back, and opens an epoch in the audit log.
//
// It trusts the key-encryption key and the system's clock. An archive is believed
// once its manifest's MAC is verified under the keystore that is in it, and a
// checkpoint or CRL by its signature.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// Config says where an installation is.
type Config struct {
	Database string // as [store.Config] has it
	KeysDir  string
	KEK      keystore.KEK
	InSigner bool   // CA keys are in a signer's keystore, which is backed up by itself
	AuditLog string // the name of the audit log in its checkpoints
	Clock    telamon.Clock
	Log      *slog.Logger
	Version  string // of the program
}

// sqlitePath returns the path of a SQLite database, and false for another one.
func (c *Config) sqlitePath() (string, bool) { return strings.CutPrefix(c.Database, "sqlite:") }

func (c *Config) keystore() keystore.Config { return keystore.Config{Dir: c.KeysDir, KEK: c.KEK} }

// openReadOnly opens a database without changing it.
func (c *Config) openReadOnly(ctx context.Context, url string) (*store.DB, error) {
	return store.Open(ctx, store.Config{URL: url, Clock: c.Clock, Log: c.Log, ReadOnly: true})
}

// A Made is a backup that was made.
type Made struct {
	Path     string
	Size     int64 // octets
	Manifest *Manifest
	Warnings []string
}

// Create makes a backup of the installation in a new file, which may run meanwhile.
// What was acknowledged before it began is in it. When it returns nil, the file is
// durable; otherwise there is none. It needs room for a copy of a SQLite database
// beside the file.
//
// With PostgreSQL the archive holds the keystore and the manifest alone.
func Create(ctx context.Context, cfg Config, path string) (*Made, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("make backup: %s exists", path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".telamon-backup-")
	if err != nil {
		return nil, fmt.Errorf("make backup: %w", err)
	}
	defer os.RemoveAll(dir)
	made, err := create(ctx, &cfg, dir)
	if err != nil {
		return nil, fmt.Errorf("make backup: %w", err)
	}
	if err := os.Link(made.Path, path); err != nil { // unlike a rename, it replaces nothing
		return nil, fmt.Errorf("make backup: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make backup: %w", err)
	}
	made.Path = path
	return made, nil
}

// create makes the backup as a file of dir.
//
// The database is copied before the keystore: a key is made before the database names
// it, so that the backup lacks none, and journals hold what the ledger has and more.
func create(ctx context.Context, cfg *Config, dir string) (*Made, error) {
	m := &Manifest{Format: formatVersion, At: cfg.Clock.Now().UTC().Truncate(time.Millisecond), Version: cfg.Version, Engine: "postgres"}
	made := &Made{Path: filepath.Join(dir, "archive"), Manifest: m}
	database, url := filepath.Join(dir, databaseName), cfg.Database
	if _, ok := cfg.sqlitePath(); ok {
		if err := copyDatabase(ctx, cfg, database); err != nil {
			return nil, err
		}
		m.Engine, url = "sqlite", "sqlite:"+database
	}
	if err := readState(ctx, cfg, url, m); err != nil {
		return nil, err
	}
	keys, err := keystore.Inspect(cfg.keystore())
	if err != nil {
		return nil, err
	}
	m.Installation = keys.InstallationID()
	for _, k := range keys.Keys {
		if k.Err != nil {
			made.Warnings = append(made.Warnings, fmt.Sprintf("key %s cannot be read, and is in the backup as it is: %v", k.Name, k.Err))
		}
	}
	for _, name := range keys.Strange {
		made.Warnings = append(made.Warnings, fmt.Sprintf("%s is no file of the keystore, and not in the backup", filepath.Join(cfg.KeysDir, name)))
	}
	members, err := keyMembers(keys)
	if err != nil {
		return nil, err
	}
	if m.Engine == "sqlite" {
		info, err := os.Stat(database)
		if err != nil {
			return nil, err
		}
		members = append(members, member{File: File{Name: databaseName, Size: info.Size()}, path: database})
	}
	for i := range members {
		if err := members[i].sum(); err != nil {
			return nil, err
		}
		m.Files = append(m.Files, members[i].File)
	}
	made.Size, err = writeArchive(made.Path, keys, m, members)
	return made, err
}

func copyDatabase(ctx context.Context, cfg *Config, path string) error {
	db, err := cfg.openReadOnly(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.CopyTo(ctx, path)
}

// readState reads what the manifest says of a database.
func readState(ctx context.Context, cfg *Config, url string, m *Manifest) error {
	db, err := cfg.openReadOnly(ctx, url)
	if err != nil {
		return err
	}
	defer db.Close()
	if m.Schema, err = db.SchemaVersion(ctx); err != nil {
		return err
	}
	head, err := db.AuditHead(ctx)
	if err != nil {
		return err
	}
	m.Log = LogState{Size: head.Tree.Size, Root: base64Of(head.Tree.Root[:]), Checkpoint: head.Checkpoint}
	missing, _, err := db.Migrations(ctx)
	if err != nil || len(missing) > 0 {
		return err // a database of an earlier release may not keep CRLs yet
	}
	m.CRLs, err = db.CRLNumbers(ctx)
	return err
}

// keyMembers returns the keystore's files, the one that authenticates the others
// first. Encrypted files are small and may be replaced at any time; journals only
// grow, so that as much as there is now is taken later too.
func keyMembers(keys *keystore.Inspection) ([]member, error) {
	var members []member
	for _, name := range keys.Files {
		m := member{File: File{Name: keysPrefix + name}, path: filepath.Join(keys.Dir, name)}
		info, err := os.Stat(m.path)
		if err != nil {
			return nil, err
		}
		m.Size = info.Size()
		if strings.HasSuffix(name, keystore.SealedSuffix) {
			if m.content, err = os.ReadFile(m.path); err != nil {
				return nil, err
			}
			if m.Size = int64(len(m.content)); !keystore.IsSealed(m.content) {
				return nil, fmt.Errorf("%s is not encrypted: it goes into no backup", m.path)
			}
		}
		if name == keystore.MasterFile {
			members = append([]member{m}, members...)
			continue
		}
		members = append(members, m)
	}
	return members, nil
}

// writeArchive writes the archive durably and returns its size.
func writeArchive(path string, keys *keystore.Inspection, m *Manifest, members []member) (int64, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if err := write(file, keys, m, members); err != nil {
		return 0, err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	return size, errors.Join(err, file.Sync())
}
