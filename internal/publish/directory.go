package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/telamon-ca/telamon/internal/store"
)

// A Directory is a Target on a file system.
type Directory struct{ root string }

// NewDirectory returns the target of a directory that exists. Directories below it are
// made.
func NewDirectory(root string) *Directory { return &Directory{root} }

// Name implements Target.
func (d *Directory) Name() string { return d.root }

// Shared implements Target: each process may have a directory of its own.
func (d *Directory) Shared() bool { return false }

// Put implements Target. The file is written beside its place, synced, and moved there:
// a reader and a power failure see the old CRL or the new one.
func (d *Directory) Put(_ context.Context, path string, _ *store.CRL, write func(io.Writer) error) error {
	place := filepath.Join(d.root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(place), ".telamon-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), place)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", place, err), os.Remove(file.Name()))
	}
	dir, err := os.Open(filepath.Dir(place))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
