package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// What callers tell apart.
var (
	// ErrExists says that something is where the backup would go.
	ErrExists = errors.New("nothing is restored over an installation that exists")
	// ErrLoss says that the backup lacks what was published, which nobody has accepted.
	ErrLoss = errors.New("the backup lacks what was published or signed since")
	// ErrRunning says that a server uses the installation.
	ErrRunning = errors.New("a server is running")
)

// Options say how an installation is restored.
type Options struct {
	// Archive is the backup's file. Without one the database and the keystore have been
	// put back by other means, and are admitted where they are.
	Archive string
	// KeepKeys leaves the keystore that is there in its place: it is newer than the
	// backup's. It must be of the same installation.
	KeepKeys bool
	// Evidence is compared with the database.
	Evidence Evidence
	// AcceptLoss restores although the backup lacks what was published.
	AcceptLoss bool
	// Act carries it out. Without it nothing is changed.
	Act bool
	// AdminSocket is where a running server would answer.
	AdminSocket string
	Actor       telamon.Actor
}

// Restored says what was, or would be, restored.
type Restored struct {
	Manifest *Manifest `json:"manifest,omitempty"`
	*Admission
	Done bool `json:"done"`
}

// Restore puts a backup back where the configuration says, or admits a database that
// others have put back, and opens an epoch in its audit log. Until the last moment
// everything is beside its place, so that a restore that is cut short leaves nothing
// that a server would start on. When it returns nil and Done, all of it is durable.
//
// It reports ErrDamaged, ErrForeign, ErrExists and ErrRunning for what it refuses, and
// ErrLoss, with what is lost in Restored, if that was not accepted.
func Restore(ctx context.Context, cfg Config, o Options) (*Restored, error) {
	if err := checkNotRunning(o.AdminSocket); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	r := &restoring{cfg: cfg, options: o}
	defer r.cleanUp()
	path, isSQLite := cfg.sqlitePath()
	var err error
	switch {
	case o.Archive == "":
		err = r.inPlace(ctx)
	case isSQLite:
		err = r.sqlite(ctx, path)
	default:
		err = r.postgres(ctx)
	}
	if err != nil {
		return &r.done, fmt.Errorf("restore: %w", err)
	}
	r.done.Done = o.Act
	return &r.done, nil
}

// checkNotRunning reports ErrRunning if a server answers on its admin socket.
func checkNotRunning(socket string) error {
	if socket == "" {
		return nil
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return nil // nobody answers
	}
	return errors.Join(ErrRunning, conn.Close())
}

// A restoring is one call of Restore.
type restoring struct {
	cfg     Config
	options Options
	done    Restored
	staging []string // directories that are removed in the end
}

func (r *restoring) cleanUp() {
	for _, dir := range r.staging {
		os.RemoveAll(dir) // what is left of it is in nobody's way
	}
}

// stage makes a directory beside path, on the same file system. If nothing is to be
// changed, it does not make the directories above.
func (r *restoring) stage(path string) (string, error) {
	parent := filepath.Dir(path)
	if r.options.Act {
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return "", err
		}
	}
	for {
		_, err := os.Stat(parent)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent) {
			return "", err
		}
		parent = filepath.Dir(parent)
	}
	dir, err := os.MkdirTemp(parent, ".telamon-restore-")
	if err == nil {
		r.staging = append(r.staging, dir)
	}
	return dir, err
}

// extract verifies the archive in a directory beside path.
func (r *restoring) extract(path string) (*extracted, error) {
	file, err := os.Open(r.options.Archive)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	dir, err := r.stage(path)
	if err != nil {
		return nil, err
	}
	e, err := extract(file, dir, r.cfg.KEK)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.options.Archive, err)
	}
	r.done.Manifest = e.manifest
	return e, nil
}

// sqlite restores an archive that holds the database.
func (r *restoring) sqlite(ctx context.Context, path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} { // SQLite would read those with the new database
		if _, err := os.Lstat(path + suffix); err == nil {
			return fmt.Errorf("%s%s is there: %w", path, suffix, ErrExists)
		}
	}
	if err := r.checkKeysPlace(); err != nil {
		return err
	}
	e, err := r.extract(path)
	if err != nil {
		return err
	}
	if e.manifest.Engine != "sqlite" {
		return fmt.Errorf("the backup is of a %s database, and the configuration names a SQLite file", e.manifest.Engine)
	}
	keys, err := r.keysFor(e)
	if err != nil {
		return err
	}
	if err := r.admitFile(ctx, e.database(), keys); err != nil || !r.options.Act {
		return err
	}
	if err := r.placeKeys(e); err != nil {
		return err
	}
	// The database comes last: without it nothing starts. A link replaces nothing.
	if err := os.Link(e.database(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// admitFile admits a database beside its place, and writes its WAL back.
func (r *restoring) admitFile(ctx context.Context, path string, keys *keystore.Inspection) error {
	db, err := store.Open(ctx, store.Config{URL: "sqlite:" + path, Clock: r.cfg.Clock, Log: r.cfg.Log})
	if err != nil {
		return err
	}
	if err := errors.Join(r.admit(ctx, db, keys), db.Close()); err != nil {
		return err
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("the WAL of %s was not written back", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// postgres restores the keystore beside a database that PostgreSQL's own tools have
// put back, and admits that.
func (r *restoring) postgres(ctx context.Context) error {
	if err := r.checkKeysPlace(); err != nil {
		return err
	}
	e, err := r.extract(r.cfg.KeysDir)
	if err != nil {
		return err
	}
	if e.manifest.Engine == "sqlite" {
		return errors.New("the backup is of a SQLite database, and the configuration names a PostgreSQL one")
	}
	keys, err := r.keysFor(e)
	if err != nil {
		return err
	}
	// The keys come last: without them nothing starts.
	if err := r.admitDatabase(ctx, keys); err != nil || !r.options.Act {
		return err
	}
	return r.placeKeys(e)
}

// inPlace admits a database and a keystore that are where they belong.
func (r *restoring) inPlace(ctx context.Context) error {
	keys, err := keystore.Inspect(r.cfg.keystore())
	if err != nil {
		return err
	}
	return r.admitDatabase(ctx, keys)
}

// admitDatabase admits the database that the configuration names.
func (r *restoring) admitDatabase(ctx context.Context, keys *keystore.Inspection) error {
	looked, err := r.cfg.openReadOnly(ctx, r.cfg.Database)
	if err != nil {
		return err
	}
	missing, _, err := looked.Migrations(ctx)
	if err := errors.Join(err, looked.Close()); err != nil {
		return fmt.Errorf("there is no database of an installation: %w", err)
	}
	if len(missing) > 0 && !r.options.Act {
		return errors.New("the database is of an earlier release, and is brought up to date first: nothing can be said of it without changing it")
	}
	db, err := store.Open(ctx, store.Config{URL: r.cfg.Database, Clock: r.cfg.Clock, Log: r.cfg.Log, ReadOnly: !r.options.Act})
	if err != nil {
		return err
	}
	return errors.Join(r.admit(ctx, db, keys), db.Close())
}

// admit compares, and opens the epoch if all is well or accepted.
func (r *restoring) admit(ctx context.Context, db *store.DB, keys *keystore.Inspection) error {
	a, err := admission(ctx, db, keys, &r.cfg, r.options.Evidence)
	if err != nil {
		return err
	}
	r.done.Admission = a
	if len(a.Losses) > 0 && !r.options.AcceptLoss {
		return fmt.Errorf("%w: %s", ErrLoss, strings.Join(a.Losses, "; "))
	}
	if !r.options.Act {
		return nil
	}
	details := map[string]any{}
	if m := r.done.Manifest; m != nil {
		details["backup"] = map[string]any{"at": m.At, "installation": m.Installation, "version": m.Version}
	}
	return a.admit(ctx, db, r.options.Actor, details)
}

// checkKeysPlace reports ErrExists if a keystore is there that is not to be kept.
func (r *restoring) checkKeysPlace() error {
	entries, err := os.ReadDir(r.cfg.KeysDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		if r.options.KeepKeys {
			return fmt.Errorf("there is no keystore in %s to be kept", r.cfg.KeysDir)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !r.options.KeepKeys {
		return fmt.Errorf("%s is not empty: %w", r.cfg.KeysDir, ErrExists)
	}
	return nil
}

// keysFor returns the keystore that the restored database is used with: the archive's,
// or the one that is kept, which must have all keys of the archive's.
func (r *restoring) keysFor(e *extracted) (*keystore.Inspection, error) {
	if !r.options.KeepKeys {
		return e.keys, nil
	}
	kept, err := keystore.Inspect(r.cfg.keystore())
	if err != nil {
		return nil, err
	}
	if kept.InstallationID() != e.manifest.Installation {
		return nil, fmt.Errorf("the backup is of %s, and the keystore of %s: %w", e.manifest.Installation, kept.InstallationID(), ErrForeign)
	}
	return kept, nil
}

// placeKeys moves the archive's keystore to its place, whole, unless one is kept. Into a
// directory that is there already, which may be a mount point, it is copied, the master
// key last: without that no keystore opens.
func (r *restoring) placeKeys(e *extracted) error {
	if r.options.KeepKeys {
		return nil
	}
	files := slices.Sorted(slices.Values(e.keys.Files))
	if info, err := os.Stat(r.cfg.KeysDir); err == nil {
		if info.Mode().Perm()&0o077 != 0 {
			if err := os.Chmod(r.cfg.KeysDir, 0o700); err != nil {
				return err
			}
		}
		return copyKeys(e.keysDir(), r.cfg.KeysDir, files)
	}
	staged, err := r.stage(r.cfg.KeysDir)
	if err != nil {
		return err
	}
	whole := filepath.Join(staged, "keys")
	if err := os.Mkdir(whole, 0o700); err != nil {
		return err
	}
	if err := copyKeys(e.keysDir(), whole, files); err != nil {
		return err
	}
	if err := os.Rename(whole, r.cfg.KeysDir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(r.cfg.KeysDir))
}

// copyKeys copies the files of a keystore durably.
func copyKeys(from, to string, files []string) error {
	master := func(name string) bool { return name == keystore.MasterFile }
	for _, name := range slices.DeleteFunc(slices.Clone(files), master) {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	if err := syncDir(to); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(from, keystore.MasterFile), filepath.Join(to, keystore.MasterFile)); err != nil {
		return err
	}
	return syncDir(to)
}

// copyFile copies a file durably. The two may be on different file systems.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Sync(), out.Close())
}
