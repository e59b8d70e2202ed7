package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/keystore"
)

// files looks at who may read and write what.
func (e *examination) files() {
	since := e.count()
	e.private("keys.kek_file", e.cfg.Keys.KEKFile)
	e.private("keys.dir", e.cfg.Keys.Dir)
	if path, ok := strings.CutPrefix(e.cfg.Database, "sqlite:"); ok {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			e.private("database", path+suffix)
		}
	}
	socket := fs.FileMode(0o600)
	if e.cfg.AdminGroup != "" {
		socket = 0o660
	}
	e.atMost("admin_socket", e.cfg.AdminSocket, socket)
	entries, err := os.ReadDir(e.cfg.Keys.Dir)
	if err != nil {
		return // which the keystore's check tells
	}
	for _, entry := range entries {
		e.private("keys.dir", filepath.Join(e.cfg.Keys.Dir, entry.Name()))
	}
	if within(e.cfg.Keys.KEKFile, e.cfg.Keys.Dir) {
		e.fail("files", "move it to where backups do not go", "the key-encryption key is in the keystore's directory: copies of that are every CA key")
	}
	e.sound(since, "files", "the keystore, its key, the database and the admin socket are their owner's alone")
}

// private looks whether anybody but its owner may use a file or directory. One that is
// not there says nothing.
func (e *examination) private(what, path string) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		e.atMost(what, path, 0o700)
		return
	}
	e.atMost(what, path, 0o600)
}

// atMost looks whether a file or directory can be used by others than a mode lets.
func (e *examination) atMost(what, path string, mode fs.FileMode) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		e.fail("files", "make it readable for the user that runs the server, and run this as that user", "%s: %v", what, err)
	case info.Mode().Perm()&0o077&^mode != 0:
		e.fail("files", fmt.Sprintf("chmod %04o %s", mode, path), "%s: %s can be used by others (mode %04o)", what, path, info.Mode().Perm())
	}
}

// within reports whether path is a file below dir.
func within(path, dir string) bool {
	if path == "" || dir == "" {
		return false
	}
	path, err := filepath.EvalSymlinks(path)
	dir, dirErr := filepath.EvalSymlinks(dir)
	if err != nil || dirErr != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// How much room a disk must have.
const (
	roomFail = 100 << 20 // octets
	roomWarn = 1 << 30
)

// disks looks for room where the installation writes.
func (e *examination) disks() {
	places := map[string]string{"keys.dir": e.cfg.Keys.Dir}
	if path, ok := strings.CutPrefix(e.cfg.Database, "sqlite:"); ok {
		places["database"] = filepath.Dir(path)
	}
	if path := e.cfg.Audit.CheckpointFile; path != "" {
		places["audit.checkpoint_file"] = filepath.Dir(path)
	}
	since, room := e.count(), uint64(1<<63)
	for what, dir := range places {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			continue // what is not there is told by others
		}
		free := fs.Bavail * uint64(fs.Bsize)
		room = min(room, free)
		const do = "make room, or move it to a larger disk"
		switch {
		case free < roomFail || fs.Files > 0 && fs.Ffree < 16:
			e.fail("disk", do, "%s: %s has %d MB and %d files left", what, dir, free>>20, fs.Ffree)
		case free < roomWarn:
			e.warn("disk", do, "%s: %s has %d MB left", what, dir, free>>20)
		}
	}
	slices.SortFunc(e.report.Findings[since:], func(a, b Finding) int { return strings.Compare(a.Text, b.Text) })
	e.sound(since, "disk", "there are at least %d MB left where the installation writes", room>>20)
}

// keystore reads the keystore's files.
func (e *examination) keystore() {
	cfg, err := app.BackupConfig(e.cfg, e.options.Clock, nil)
	if err != nil {
		e.fail("keystore", "give the key-encryption key that the keystore was made under", "%v", err)
		return
	}
	keys, err := keystore.Inspect(keystore.Config{Dir: cfg.KeysDir, KEK: cfg.KEK})
	if err != nil {
		e.fail("keystore", "give the key-encryption key that the keystore was made under, or restore a backup: docs/RECOVERY.md", "%v", err)
		return
	}
	e.keys = keys
	since := e.count()
	for _, k := range keys.Keys {
		if k.Err != nil {
			e.fail("keystore", "restore the file from a backup: docs/RECOVERY.md, \"A lost key\"", "key %s: %v", k.Name, k.Err)
		}
		if k.Torn > 0 && !e.report.Running {
			e.warn("keystore", "nothing: the next start cuts it off", "the journal of %s ends in %d octets that are no record", k.Name, k.Torn)
		}
	}
	for _, name := range keys.Strange {
		e.warn("keystore", "move it elsewhere", "%s is no file of the keystore, and in no backup", filepath.Join(keys.Dir, name))
	}
	e.sound(since, "keystore", "%d keys, of installation %s", len(keys.Keys), keys.InstallationID())
}
