package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
)

// sample is a small archive, with the key that opens it.
type sample struct {
	kek     keystore.KEK
	keys    *keystore.Inspection
	members []member
	archive []byte
}

const sampleDatabase = "what a database holds"

func newSample(t testing.TB) *sample {
	t.Helper()
	s, dir := &sample{}, filepath.Join(t.TempDir(), "keys")
	s.kek, _ = keystore.NewKEK()
	ks, err := keystore.Create(keystore.Config{Dir: dir, KEK: s.kek, Clock: telamon.SystemClock{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = keystore.Inspect(keystore.Config{Dir: dir, KEK: s.kek}); err != nil {
		t.Fatal(err)
	}
	if s.members, err = keyMembers(s.keys); err != nil {
		t.Fatal(err)
	}
	s.members = append(s.members, member{
		File: File{Name: databaseName, Size: int64(len(sampleDatabase))}, content: []byte(sampleDatabase),
	})
	s.archive = s.write(t, func(*Manifest) {})
	return s
}

// write returns the archive, whose manifest change may spoil before it is
// authenticated.
func (s *sample) write(t testing.TB, change func(*Manifest)) []byte {
	t.Helper()
	m := &Manifest{
		Format: formatVersion, Installation: s.keys.InstallationID(), Engine: "sqlite",
		At: time.Date(2031, 5, 31, 0, 0, 0, 0, time.UTC),
	}
	for i := range s.members {
		if err := s.members[i].sum(); err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, s.members[i].File)
	}
	change(m)
	var out bytes.Buffer
	if err := write(&out, s.keys, m, s.members); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// open extracts an archive.
func (s *sample) open(t testing.TB, archive []byte) error {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	e, err := extract(bytes.NewReader(archive), dir, s.kek)
	if err != nil {
		return err
	}
	// What is taken is what was written.
	if content, err := os.ReadFile(e.database()); err != nil || string(content) != sampleDatabase {
		return fmt.Errorf("the database was taken as %q, %w", content, err)
	}
	for _, name := range s.keys.Files {
		want, err := os.ReadFile(filepath.Join(s.keys.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(e.keysDir(), name)); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s was taken as %x, %w", name, got, err)
		}
	}
	if !slices.Equal(e.keys.Files, s.keys.Files) {
		return fmt.Errorf("the keystore was taken as %q", e.keys.Files)
	}
	return nil
}

// isRefusal reports whether an archive that was spoiled is refused as such.
func isRefusal(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) }

// TestDamaged flips a bit of every octet of an archive, and cuts it off at each. It is
// refused, or the change was in what says nothing, such as the time of the compression.
func TestDamaged(t *testing.T) {
	s := newSample(t)
	if err := s.open(t, s.archive); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range s.archive {
		spoiled := slices.Clone(s.archive)
		spoiled[i] ^= 1 << (i % 8)
		switch err := s.open(t, spoiled); {
		case err == nil:
			taken++
		case !isRefusal(err):
			t.Errorf("bit %d of octet %d: %v", i%8, i, err)
		}
	}
	if taken > 32 { // in the header of the compression, and between its blocks
		t.Errorf("%d changed archives were taken for good", taken)
	}
	for _, n := range []int{0, 1, 9, 10, 100, len(s.archive) / 2, len(s.archive) - 9, len(s.archive) - 1} {
		if err := s.open(t, s.archive[:n]); !isRefusal(err) {
			t.Errorf("cut off at %d of %d: %v", n, len(s.archive), err)
		}
	}
	if err := s.open(t, append(slices.Clone(s.archive), s.archive...)); !isRefusal(err) {
		t.Errorf("an archive with another one behind it: %v", err)
	}
}

// TestForged changes archives in ways that only somebody with the keystore's secret
// can authenticate, and in those that anybody can.
func TestForged(t *testing.T) {
	s := newSample(t)
	hash := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name   string
		change func(*Manifest)
	}{
		{"no files", func(m *Manifest) { m.Files = nil }},
		{"the secret is not the first", func(m *Manifest) { slices.Reverse(m.Files) }},
		{"a file twice", func(m *Manifest) { m.Files = append(m.Files, m.Files[1]) }},
		{"a file that is missing", func(m *Manifest) { m.Files = append(m.Files, File{"keys/ca.key", 3, hash}) }},
		{"a file that is not named", func(m *Manifest) { m.Files = m.Files[:len(m.Files)-1]; m.Engine = "postgres" }},
		{"a path out of the directory", func(m *Manifest) { m.Files[1].Name = "keys/../../x.key" }},
		{"a name of no keystore's", func(m *Manifest) { m.Files[1].Name = "keys/kek" }},
		{"another place", func(m *Manifest) { m.Files[1].Name = "etc/passwd" }},
		{"another hash", func(m *Manifest) { m.Files[1].SHA256 = hash }},
		{"no hash", func(m *Manifest) { m.Files[1].SHA256 = "" }},
		{"another size", func(m *Manifest) { m.Files[1].Size++ }},
		{"a negative size", func(m *Manifest) { m.Files[1].Size = -1 }},
		{"a secret that is too long", func(m *Manifest) { m.Files[0].Size = maxManifest + 1 }},
		{"an engine without its database", func(m *Manifest) { m.Engine = "postgres" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.open(t, s.write(t, tt.change)); !errors.Is(err, ErrDamaged) {
				t.Errorf("it reports %v, want ErrDamaged", err)
			}
		})
	}
	t.Run("a later format", func(t *testing.T) {
		if err := s.open(t, s.write(t, func(m *Manifest) { m.Format++ })); err == nil || isRefusal(err) {
			t.Errorf("it reports %v, want that this release cannot read it", err)
		}
	})
	t.Run("another installation's secret", func(t *testing.T) {
		if err := s.open(t, newSample(t).archive); !errors.Is(err, ErrForeign) {
			t.Errorf("it reports %v, want ErrForeign", err)
		}
	})
	t.Run("no archive of ours", func(t *testing.T) {
		var out bytes.Buffer
		compressed := gzip.NewWriter(&out)
		archive := tar.NewWriter(compressed)
		if err := errors.Join(archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: manifestName, Linkname: "/etc"}),
			archive.Close(), compressed.Close()); err != nil {
			t.Fatal(err)
		}
		for _, content := range [][]byte{out.Bytes(), []byte("hello"), nil} {
			if err := s.open(t, content); !errors.Is(err, ErrDamaged) {
				t.Errorf("%q reports %v, want ErrDamaged", content, err)
			}
		}
	})
}

// FuzzExtract holds that an archive is refused or is, to the octet, what was written.
// A piece of one is replaced.
func FuzzExtract(f *testing.F) {
	s := newSample(f)
	f.Add([]byte{}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, piece []byte, at uint16, cut byte) {
		spoiled := slices.Clone(s.archive)
		i := int(at) % len(spoiled)
		spoiled = slices.Concat(spoiled[:i], piece, spoiled[min(i+int(cut), len(spoiled)):])
		if err := s.open(t, spoiled); err != nil && !isRefusal(err) {
			t.Errorf("%d octets at %d instead of %d: %v", len(piece), i, cut, err)
		}
	})
}

// FuzzParseManifest holds that a manifest that is read names only files that a backup
// may hold, each once.
func FuzzParseManifest(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, file := range m.Files {
			if seen[file.Name] || strings.Contains(file.Name, "..") || filepath.IsAbs(file.Name) || file.Size < 0 {
				t.Errorf("the manifest names %+v", file)
			}
			seen[file.Name] = true
		}
	})
}
