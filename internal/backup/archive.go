package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/telamon-ca/telamon/internal/keystore"
)

// A member is a file of a backup and where its content is.
type member struct {
	File
	path    string
	content []byte // instead of the path, if it is not nil
}

// open returns the first Size octets of the member.
func (m *member) open() (io.ReadCloser, error) {
	if m.content != nil {
		return io.NopCloser(bytes.NewReader(m.content)), nil
	}
	file, err := os.Open(m.path)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, m.Size), file}, nil
}

// sum sets the member's hash.
func (m *member) sum() error {
	content, err := m.open()
	if err != nil {
		return err
	}
	defer content.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, content)
	if err == nil && n != m.Size {
		err = fmt.Errorf("%s became shorter while it was read", m.Name)
	}
	m.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return err
}

// write writes an archive: the manifest, its MAC, and the members in the manifest's
// order.
func write(w io.Writer, keys *keystore.Inspection, manifest *Manifest, members []member) error {
	text, err := manifest.encode()
	if err != nil {
		return err
	}
	compressed, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	head := []member{{File: File{Name: manifestName}, content: text}, {File: File{Name: macName}, content: macOf(keys, text)}}
	for _, m := range append(head, members...) {
		if m.content != nil {
			m.Size = int64(len(m.content))
		}
		if err := writeMember(archive, &m, manifest.At); err != nil {
			return fmt.Errorf("write %s: %w", m.Name, err)
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func writeMember(archive *tar.Writer, m *member, at time.Time) error {
	err := archive.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: m.Name, Size: m.Size, Mode: 0o600, ModTime: at.Truncate(time.Second),
	})
	if err != nil {
		return err
	}
	content, err := m.open()
	if err != nil {
		return err
	}
	defer content.Close()
	hash := sha256.New()
	if _, err := io.Copy(archive, io.TeeReader(content, hash)); err != nil {
		return err
	}
	if m.SHA256 != "" && m.SHA256 != hex.EncodeToString(hash.Sum(nil)) {
		return errors.New("it changed while it was copied")
	}
	return nil
}

// An extracted is a backup whose files are in a directory, all of them verified.
type extracted struct {
	dir      string
	manifest *Manifest
	keys     *keystore.Inspection
}

func (e *extracted) keysDir() string  { return filepath.Join(e.dir, "keys") }
func (e *extracted) database() string { return filepath.Join(e.dir, databaseName) }

// extract reads an archive into dir, which is empty, and verifies it. The manifest is
// believed as soon as the keystore's secret, the first file, has authenticated it:
// what is read before is bounded, and what comes after by the manifest's sizes.
//
// It reports ErrForeign if the key-encryption key does not open the secret, and
// ErrDamaged if the archive is not, to the octet, what the manifest says. What is in dir
// when it returns is not durable yet.
func extract(r io.Reader, dir string, kek keystore.KEK) (*extracted, error) {
	e := &extracted{dir: dir}
	if err := os.Mkdir(e.keysDir(), 0o700); err != nil {
		return nil, err
	}
	compressed, err := gzip.NewReader(r)
	if err != nil {
		return nil, damaged("it is no archive of telamon backup")
	}
	in := &reader{tar.NewReader(compressed)}
	text, err := in.small(manifestName, maxManifest)
	if err != nil {
		return nil, err
	}
	mac, err := in.small(macName, 2*sha256.Size+1)
	if err != nil {
		return nil, err
	}
	if e.manifest, err = parseManifest(text); err != nil {
		return nil, err
	}
	for i, f := range e.manifest.Files {
		if i == 0 && f.Size > maxManifest {
			return nil, damaged("%s is too long", f.Name)
		}
		if err := in.file(f, e.place(f.Name)); err != nil {
			return nil, err
		}
		if i > 0 {
			continue
		}
		if e.keys, err = keystore.Inspect(keystore.Config{Dir: e.keysDir(), KEK: kek}); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForeign, err)
		}
		if err := checkMAC(e.keys, text, mac); err != nil {
			return nil, err
		}
	}
	if err := in.end(compressed); err != nil {
		return nil, err
	}
	if e.keys, err = keystore.Inspect(keystore.Config{Dir: e.keysDir(), KEK: kek}); err != nil {
		return nil, err
	}
	return e, nil
}

// place returns where a file of the manifest goes.
func (e *extracted) place(name string) string {
	if key, ok := strings.CutPrefix(name, keysPrefix); ok {
		return filepath.Join(e.keysDir(), key)
	}
	return e.database()
}

// A reader reads the members of an archive in the order that it must have.
type reader struct{ *tar.Reader }

// next comes to the next member, which must be a file of this name and size, or of
// any size if that is negative.
func (r *reader) next(name string, size int64) (int64, error) {
	header, err := r.Next()
	switch {
	case err != nil:
		return 0, damaged("%s cannot be read: %v", name, err)
	case header.Typeflag != tar.TypeReg || header.Name != name:
		return 0, damaged("%s is missing", name)
	case size >= 0 && header.Size != size:
		return 0, damaged("%s has %d octets, and the manifest says %d", name, header.Size, size)
	}
	return header.Size, nil
}

// small returns a member of at most limit octets.
func (r *reader) small(name string, limit int64) ([]byte, error) {
	size, err := r.next(name, -1)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, damaged("%s is too long", name)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, damaged("%s cannot be read: %v", name, err)
	}
	return content, nil
}

// file writes a member to path and verifies it.
func (r *reader) file(f File, path string) error {
	if _, err := r.next(f.Name, f.Size); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	hash, failed := sha256.New(), &failing{w: out}
	if _, err := io.Copy(io.MultiWriter(failed, hash), r); err != nil {
		if failed.err != nil { // the disk is full: that says nothing of the backup
			return failed.err
		}
		return damaged("%s cannot be read: %v", f.Name, err)
	}
	if hex.EncodeToString(hash.Sum(nil)) != f.SHA256 {
		return damaged("%s is not what was backed up", f.Name)
	}
	return nil
}

// failing remembers an error of writing, which is not one of reading.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}

// end reports ErrDamaged unless nothing follows the last member. Reading to the end is
// what checks the sum of the compression.
func (r *reader) end(compressed io.Reader) error {
	if _, err := r.Next(); err != io.EOF {
		return damaged("something follows its last file")
	}
	rest, err := io.ReadAll(io.LimitReader(compressed, maxPadding+1))
	if err != nil {
		return damaged("its end cannot be read: %v", err)
	}
	if len(rest) > maxPadding || len(bytes.Trim(rest, "\x00")) > 0 {
		return damaged("something follows its end")
	}
	return nil
}

// maxPadding is more than what fills a tape's last record.
const maxPadding = 64 << 10

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
