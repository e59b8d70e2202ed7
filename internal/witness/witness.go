// Package witness exports the signed checkpoints of the audit log to places that
// the platform's own operators do not rule: a file, a webhook, a witness that
// cosigns (c2sp.org/tlog-witness). It signs nothing and changes nothing of the log.
//
// It trusts the log's signature and nothing else: what it finds at a place is
// compared with the log, and a log that does not begin with it is an alarm.
package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
)

// Every is how often checkpoints are exported.
const Every = time.Minute

// Log is the audit log as the exporter reads it.
type Log interface {
	// AuditHead returns the tree and its signed checkpoint.
	AuditHead(ctx context.Context) (audit.Head, error)
	// AuditConsistency returns the head and the proof that it began with the first
	// old events.
	AuditConsistency(ctx context.Context, old int64) (audit.Head, tlog.TreeProof, error)
	// GaveUp reports whether what the checkpoint is of was given up when the database
	// was restored.
	GaveUp(ctx context.Context, c audit.Checkpoint) (bool, error)
}

// ErrRolledBack says that the log does not begin with a checkpoint that left the
// platform: the database is older than it was, or another one.
var ErrRolledBack = errors.New("the audit log does not hold what a kept checkpoint holds")

// Config says where checkpoints go. Places that are empty are not used.
type Config struct {
	Log      Log
	Verifier note.Verifier // of the log's checkpoints
	Clock    telamon.Clock

	File    string   // the newest checkpoint is kept in this file
	Webhook *Webhook // gets each checkpoint
	Witness *Remote  // cosigns each checkpoint
}

// Exporter exports checkpoints. It is safe for concurrent use.
type Exporter struct {
	cfg Config

	mu       sync.Mutex
	filed    audit.Tree // what the file has
	hooked   audit.Tree // what the webhook has taken
	cosigned audit.Tree // what the witness has cosigned
	at       time.Time  // when all places had all that there was
}

// client sends checkpoints. Redirects are not followed: the operator names the place.
var client = &http.Client{
	Timeout:       10 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// New returns an exporter that has exported nothing yet.
func New(cfg Config) *Exporter { return &Exporter{cfg: cfg} }

// Turn exports the newest checkpoint to each place that has not got it. A place
// that fails does not keep the others from getting it; it gets the newest one at a
// later turn.
//
// It reports ErrRolledBack if a place has a checkpoint that the log does not hold.
func (e *Exporter) Turn(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	head, err := e.cfg.Log.AuditHead(ctx)
	if err != nil {
		return fmt.Errorf("export the audit log's checkpoint: %w", err)
	}
	if head.Checkpoint == "" {
		return nil // there is nothing yet
	}
	var errs []error
	if e.cfg.Witness != nil && e.cosigned != head.Tree {
		cosigned, err := e.cfg.Witness.cosign(ctx, e.cfg.Log, e.cosigned.Size)
		if err != nil {
			errs = append(errs, fmt.Errorf("witness %s: %w", e.cfg.Witness.URL, err))
		} else {
			head, e.cosigned = cosigned, cosigned.Tree // the others get the cosignature too
		}
	}
	if e.cfg.File != "" && e.filed != head.Tree {
		if err := e.writeFile(ctx, head); err != nil {
			errs = append(errs, fmt.Errorf("file %s: %w", e.cfg.File, err))
		}
	}
	if e.cfg.Webhook != nil && e.hooked != head.Tree {
		if err := e.cfg.Webhook.send(ctx, head.Checkpoint, e.cfg.Clock.Now()); err != nil {
			errs = append(errs, fmt.Errorf("webhook: %w", err))
		} else {
			e.hooked = head.Tree
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("export the audit log's checkpoint: %w", errors.Join(errs...))
	}
	e.at = e.cfg.Clock.Now()
	return nil
}

// Exported returns when every place last had all that there was, zero if never.
func (e *Exporter) Exported() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

// writeFile replaces the file by the newer checkpoint, whole or not at all, and
// durably. It refuses to if the file's is not one that the log holds.
func (e *Exporter) writeFile(ctx context.Context, head audit.Head) error {
	if err := CheckFile(ctx, e.cfg.Log, e.cfg.Verifier, e.cfg.File); err != nil {
		return err
	}
	dir := filepath.Dir(e.cfg.File)
	f, err := os.CreateTemp(dir, "."+filepath.Base(e.cfg.File)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails if it was renamed
	_, err = f.WriteString(head.Checkpoint)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), e.cfg.File); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return err
	}
	e.filed = head.Tree
	return nil
}

// CheckFile reports ErrRolledBack if the log does not begin with the checkpoint that
// the file holds, and another error if the file cannot be read or holds none of this
// log. A file that is not there is no error.
func CheckFile(ctx context.Context, log Log, verifier note.Verifier, path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept, err := audit.OpenCheckpoint(string(text), verifier)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return Check(ctx, log, kept)
}

// Check reports ErrRolledBack if the log does not begin with a checkpoint that was
// kept and opened, unless that was given up.
func Check(ctx context.Context, log Log, kept audit.Checkpoint) error {
	err := holds(ctx, log, kept)
	if !errors.Is(err, ErrRolledBack) {
		return err
	}
	gaveUp, askErr := log.GaveUp(ctx, kept)
	if askErr != nil {
		return askErr
	}
	if gaveUp {
		return nil
	}
	return err
}

func holds(ctx context.Context, log Log, kept audit.Checkpoint) error {
	head, err := log.AuditHead(ctx)
	if err != nil {
		return err
	}
	if kept.Tree.Size > head.Tree.Size {
		return fmt.Errorf("%w: that of %s has %d events, the log %d", ErrRolledBack, kept.At.Format(time.RFC3339), kept.Tree.Size, head.Tree.Size)
	}
	head, proof, err := log.AuditConsistency(ctx, kept.Tree.Size)
	if err != nil {
		return err
	}
	if audit.CheckConsistency(proof, head.Tree, kept.Tree) != nil {
		return fmt.Errorf("%w: the first %d events are others than at %s", ErrRolledBack, kept.Tree.Size, kept.At.Format(time.RFC3339))
	}
	return nil
}
