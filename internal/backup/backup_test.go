package backup_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/backup"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// TestRestore loses an installation and puts it back from its newest backup.
func TestRestore(t *testing.T) {
	w := newWorld(t)
	w.serve(w.record("first"))
	archive := w.backup("backup")
	before := contents(t, w.dir)
	if _, err := w.restore(backup.Options{Archive: archive, Act: true}); !errors.Is(err, backup.ErrExists) {
		t.Errorf("over an installation: %v, want ErrExists", err)
	}
	w.lose(true)
	empty := contents(t, w.dir)
	dry, err := w.restore(backup.Options{Archive: archive, Evidence: w.exported()})
	if err != nil || dry.Done || len(dry.Losses) > 0 || dry.Manifest == nil || dry.Events == 0 {
		t.Fatalf("a dry run: %+v, %v", dry, err)
	}
	if after := contents(t, w.dir); !slices.Equal(after, empty) {
		t.Errorf("a dry run has left %v", after)
	}
	done, err := w.restore(backup.Options{Archive: archive, Evidence: w.exported(), Act: true})
	if err != nil || !done.Done {
		t.Fatalf("restore: %+v, %v", done, err)
	}
	if after := contents(t, w.dir); !slices.Equal(after, before) {
		t.Errorf("there are %v, and there were %v", after, before)
	}
	w.serve(func(a *app.App) {
		epochs, err := a.Store.Epochs(t.Context())
		if err != nil || len(epochs) != 1 || epochs[0].Tree.Size != dry.Events || epochs[0].LostNote != "" {
			t.Errorf("the epochs are %+v, %v; want one over %d events", epochs, err, dry.Events)
		}
		page, err := a.Store.AuditEvents(t.Context(), store.AuditFilter{Action: "epoch.open"})
		if err != nil || len(page.Events) != 1 || page.Events[0].Object != epochs[0].ID.String() {
			t.Errorf("the audit log has %d epochs, %v", len(page.Events), err)
		}
	})
	w.mustHold()
}

// mustHold holds that the database is whole.
func (w *world) mustHold() {
	w.t.Helper()
	db, err := app.OpenDatabase(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	invariant.Check(w.t, db)
}

// contents returns the names of all files and directories below dir but backups.
func contents(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !strings.HasSuffix(path, "backup") && !strings.Contains(filepath.Base(path), ".db-") { // readers of SQLite leave empty ones
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRestoreOlder puts a backup back that is older than the exported checkpoint.
func TestRestoreOlder(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(map[bool]string{false: "all is lost", true: "the keystore is there"}[keep], func(t *testing.T) {
			w := newWorld(t)
			w.serve(w.record("first"))
			archive := w.backup("backup")
			w.clock.Advance(80 * 24 * time.Hour) // the server renews its certificate
			w.serve(w.record("second"))
			exported := w.exported()
			w.lose(!keep)
			var place os.FileInfo
			if !keep { // an empty directory stays: it may be where a file system is mounted
				err := os.Mkdir(w.cfg.Keys.Dir, 0o755)
				if err != nil {
					t.Fatal(err)
				}
				if place, err = os.Stat(w.cfg.Keys.Dir); err != nil {
					t.Fatal(err)
				}
			}

			o := backup.Options{Archive: archive, KeepKeys: keep, Evidence: exported, Act: true}
			refused, err := w.restore(o)
			if !errors.Is(err, backup.ErrLoss) || len(refused.Losses) == 0 || !strings.Contains(refused.Losses[0], "events are lost") {
				t.Fatalf("the loss was not refused: %+v, %v", refused, err)
			}
			if signed := len(refused.Unledgered); keep != (signed > 0) {
				t.Errorf("%d certificates are found in journals that are there: %v", signed, keep)
			}
			if _, err := os.Stat(strings.TrimPrefix(w.cfg.Database, "sqlite:")); err == nil {
				t.Error("a refused restore has left a database")
			}
			o.AcceptLoss = true
			if _, err := w.restore(o); err != nil {
				t.Fatal(err)
			}
			if now, err := os.Stat(w.cfg.Keys.Dir); err != nil || !keep && (now.Mode().Perm() != 0o700 || !os.SameFile(place, now)) {
				t.Errorf("the directory of the keys is another one, or open to others: %v, %v", now, err)
			}
			w.serve(func(a *app.App) { // it starts although the kept checkpoint is newer
				page, err := a.Store.AuditEvents(t.Context(), store.AuditFilter{Action: "epoch.open"})
				if err != nil || len(page.Events) != 1 || !strings.Contains(string(page.Events[0].After), "lost_audit_log") {
					t.Errorf("the audit log says of the epoch: %+v, %v", page.Events, err)
				}
			})
			if now := w.exported(); now.Checkpoints[0] == exported.Checkpoints[0] {
				t.Error("the new log's checkpoint was not exported")
			}
			w.serve(w.record("third"))
			w.mustHold()
		})
	}
}

// TestRequirement94BackupWithoutSecretCannotSign has a backup fall into the hands of
// somebody without the key-encryption key.
func TestRequirement94BackupWithoutSecretCannotSign(t *testing.T) {
	w := newWorld(t)
	w.serve(nil)
	secret, err := os.ReadFile(w.cfg.Keys.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	kek, _ := keystore.NewKEK()
	stolen := t.TempDir()
	for name, content := range unpack(t, w.backup("backup")) {
		if strings.Contains(string(content), strings.TrimSpace(string(secret))) {
			t.Errorf("%s holds the key-encryption key", name)
		}
		if strings.HasSuffix(name, ".key") && !keystore.IsSealed(content) {
			t.Errorf("%s is not encrypted", name)
		}
		if err := os.WriteFile(filepath.Join(stolen, filepath.Base(name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if ks, err := keystore.Open(keystore.Config{Dir: stolen, KEK: kek, Clock: w.clock}); !errors.Is(err, keystore.ErrUnseal) {
		t.Errorf("the keystore opens without the secret: %v, %v", ks, err)
	}
	cfg := w.config()
	cfg.KEK = kek
	w.lose(true)
	_, err = backup.Restore(t.Context(), cfg, backup.Options{Archive: filepath.Join(w.dir, "backup"), Act: true, Actor: operator})
	if !errors.Is(err, backup.ErrForeign) {
		t.Errorf("restored without the secret: %v, want ErrForeign", err)
	}
	if _, err := os.Stat(w.cfg.Keys.Dir); err == nil {
		t.Error("a keystore was restored without the secret")
	}
}

// unpack returns the files of an archive.
func unpack(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	compressed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	files, archive := map[string][]byte{}, tar.NewReader(compressed)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeign restores backups of one installation into another.
func TestForeign(t *testing.T) {
	w, other := newWorld(t), newOther(t)
	for _, one := range []*world{w, other} {
		one.serve(nil)
	}
	archive := w.backup("backup")
	other.lose(true)
	if _, err := other.restore(backup.Options{Archive: archive, Act: true}); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("under another key-encryption key: %v, want ErrForeign", err)
	}
	same := w.config() // with a keystore of its own, under the same key-encryption key
	same.Database, same.KeysDir = other.cfg.Database, filepath.Join(t.TempDir(), "keys")
	keys, err := keystore.Create(keystore.Config{Dir: same.KeysDir, KEK: same.KEK, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	_, err = backup.Restore(t.Context(), same, backup.Options{Archive: archive, KeepKeys: true, Act: true, Actor: operator})
	if !errors.Is(err, backup.ErrForeign) {
		t.Errorf("beside the keystore of another installation: %v, want ErrForeign", err)
	}
	w.lose(true)
	o := backup.Options{Archive: archive, Act: true, Evidence: other.exported()}
	if _, err := w.restore(o); err == nil {
		t.Error("a checkpoint of another installation was taken for evidence")
	}
}

// TestInPlace admits databases that others have put back, of each kind.
func TestInPlace(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		w := newWorld(t)
		w.serve(w.record("first"))
		path := strings.TrimPrefix(w.cfg.Database, "sqlite:")
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w.serve(w.record("second"))
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		w.admit()
	})
	t.Run("another branch of the log, which is longer", func(t *testing.T) {
		w := newWorld(t)
		w.serve(w.record("first"))
		path := strings.TrimPrefix(w.cfg.Database, "sqlite:")
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w.serve(w.record("second"))
		lost := w.exported().Checkpoints[0]
		for _, err := range []error{os.WriteFile(path, old, 0o600), os.Remove(w.cfg.Audit.CheckpointFile)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, object := range []string{"other", "another", "a third"} {
			w.serve(w.record(object))
		}
		if err := os.WriteFile(w.cfg.Audit.CheckpointFile, []byte(lost), 0o600); err != nil {
			t.Fatal(err)
		}
		w.admit()
	})
	t.Run("postgres", func(t *testing.T) {
		w := newWorld(t)
		w.lose(true)
		w.cfg.Database = dbtest.Postgres(t)
		if err := app.Init(t.Context(), w.cfg, app.InitOptions{}, w.clock, w.config().Log); err != nil {
			t.Fatal(err)
		}
		w.serve(w.record("first"))
		archive := w.backup("backup")
		if files := unpack(t, archive); files["database.db"] != nil || files["keys/_master.key"] == nil {
			t.Errorf("the backup holds %d files", len(files))
		}
		if err := os.Rename(w.cfg.Keys.Dir, w.cfg.Keys.Dir+".lost"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.restore(backup.Options{Archive: archive, Act: true, Evidence: w.exported()}); err != nil {
			t.Fatal(err)
		}
		w.serve(nil)
	})
	t.Run("a database of another installation", func(t *testing.T) {
		w, other := newWorld(t), newOther(t)
		w.cfg.Database = other.cfg.Database
		if _, err := w.restore(backup.Options{Act: true}); !errors.Is(err, backup.ErrForeign) {
			t.Errorf("it reports %v, want ErrForeign", err)
		}
	})
}

// admit admits an old database, which nothing starts on before.
func (w *world) admit() {
	w.t.Helper()
	if a, err := w.open(w.clock); err == nil {
		a.Close()
		w.t.Error("a server starts on a database that was put back")
	}
	if _, err := w.restore(backup.Options{Evidence: w.exported(), Act: true}); !errors.Is(err, backup.ErrLoss) {
		w.t.Errorf("the loss is not told: %v", err)
	}
	if _, err := w.restore(backup.Options{Evidence: w.exported(), Act: true, AcceptLoss: true}); err != nil {
		w.t.Fatal(err)
	}
	w.serve(nil)
}

func TestSeries(t *testing.T) {
	w := newWorld(t)
	s := &backup.Series{Dir: filepath.Join(w.dir, "series"), Keep: 2}
	if _, err := s.At(time.Time{}); err == nil {
		t.Error("a series without backups has one")
	}
	start := w.clock.Now()
	for range 3 {
		if _, err := s.Next(t.Context(), w.config()); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Minute)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "telamon-mine.tar.gz"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	points, err := s.Points()
	if err != nil || len(points) != 2 || !points[0].At.Equal(start.Add(time.Minute)) {
		t.Fatalf("the points are %v, %v; want those of the last two minutes", points, err)
	}
	for _, tt := range []struct {
		name string
		at   time.Time
		want int // of points; -1 is none
	}{
		{"the newest", time.Time{}, 1},
		{"between two", start.Add(90 * time.Second), 0},
		{"at one", start.Add(2 * time.Minute), 1},
		{"before all", start, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.At(tt.at)
			if tt.want < 0 {
				if err == nil {
					t.Errorf("At(%s) is %v", tt.at, got)
				}
				return
			}
			if err != nil || got != points[tt.want] {
				t.Errorf("At(%s) is %v, %v; want %v", tt.at, got, err, points[tt.want])
			}
		})
	}
}
