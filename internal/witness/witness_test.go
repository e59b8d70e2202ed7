package witness_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/witness"
)

const now = "2026-11-30T10:00:00Z"

// memoryLog is a log of a test, with the key that signs it.
type memoryLog struct {
	clock    *testkit.Clock
	signer   note.Signer
	verifier note.Verifier
	tiles    map[audit.TileKey][]byte
	head     audit.Head
	gaveUp   int64 // checkpoints of up to so many events
}

// GaveUp implements witness.Log.
func (l *memoryLog) GaveUp(_ context.Context, c audit.Checkpoint) (bool, error) {
	return c.Tree.Size <= l.gaveUp, nil
}

func newLog(t *testing.T) *memoryLog {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "log")
	if err != nil {
		t.Fatal(err)
	}
	l := &memoryLog{clock: testkit.NewClock(t, now)}
	if l.signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	if l.verifier, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	l.reset()
	return l
}

// reset makes the log empty again, as a database that was lost is.
func (l *memoryLog) reset() {
	l.tiles, l.head = map[audit.TileKey][]byte{}, audit.Head{Tree: audit.EmptyTree()}
}

// grow appends n events that say what is given.
func (l *memoryLog) grow(t *testing.T, n int, says string) {
	t.Helper()
	leaves := make([]tlog.Hash, n)
	for i := range leaves {
		leaves[i] = tlog.RecordHash(fmt.Appendf(nil, "%s %d", says, l.head.Tree.Size+int64(i)))
	}
	tree, tiles, err := audit.Append(t.Context(), l.head.Tree, l.read, leaves)
	if err != nil {
		t.Fatal(err)
	}
	for _, tile := range tiles {
		l.tiles[tile.TileKey] = tile.Data
	}
	l.clock.Advance(time.Second)
	l.head = audit.Head{Tree: tree, At: l.clock.Now()}
	l.head.Checkpoint, err = audit.SignCheckpoint(audit.Checkpoint{Origin: "log", Tree: tree, At: l.clock.Now()}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
}

func (l *memoryLog) read(_ context.Context, keys []audit.TileKey) (map[audit.TileKey][]byte, error) {
	out := map[audit.TileKey][]byte{}
	for _, k := range keys {
		out[k] = l.tiles[k]
	}
	return out, nil
}

func (l *memoryLog) AuditHead(context.Context) (audit.Head, error) { return l.head, nil }

func (l *memoryLog) AuditConsistency(ctx context.Context, old int64) (audit.Head, tlog.TreeProof, error) {
	proof, err := audit.ProveConsistency(ctx, l.head.Tree, l.read, old)
	return l.head, proof, err
}

// turn takes a turn and compares what it reports.
func turn(t *testing.T, e *witness.Exporter, want error) {
	t.Helper()
	if err := e.Turn(t.Context()); !errors.Is(err, want) || want == nil && err != nil {
		t.Fatalf("Turn reports %v, want %v", err, want)
	}
}

func TestFile(t *testing.T) {
	log, path := newLog(t), filepath.Join(t.TempDir(), "checkpoint")
	e := witness.New(witness.Config{Log: log, Verifier: log.verifier, Clock: log.clock, File: path})
	turn(t, e, nil)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("an empty log wrote the file: %v", err)
	}
	kept := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for range 3 {
		log.grow(t, 300, "event")
		turn(t, e, nil)
		if got := kept(); got != log.head.Checkpoint {
			t.Fatalf("the file holds %q, want the newest checkpoint %q", got, log.head.Checkpoint)
		}
	}
	if e.Exported() != log.clock.Now() {
		t.Errorf("Exported = %v, want %v", e.Exported(), log.clock.Now())
	}
	// Somebody puts an old database back; a process that starts sees it, and the
	// file keeps what it has.
	last := kept()
	log.reset()
	log.grow(t, 5, "event")
	again := witness.New(witness.Config{Log: log, Verifier: log.verifier, Clock: log.clock, File: path})
	turn(t, again, witness.ErrRolledBack)
	turn(t, e, witness.ErrRolledBack)
	// It grows beyond, and is another log all the same.
	log.grow(t, 2000, "another event")
	turn(t, again, witness.ErrRolledBack)
	if kept() != last || !again.Exported().IsZero() {
		t.Error("a log that was rolled back replaced the checkpoint")
	}
	// A file that holds something else is not overwritten.
	for _, text := range []string{"", "not a checkpoint", strings.Replace(last, "telamon", "other", 1) + "x"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := again.Turn(t.Context()); err == nil || kept() != text {
			t.Errorf("a file that holds %q: Turn reports %v and leaves %q", text, err, kept())
		}
	}
}

// A place that fails does not keep the others from getting theirs, and gets its own
// when it works again.
// TestGaveUp goes on exporting after the database was restored and what was lost was
// accepted.
func TestGaveUp(t *testing.T) {
	log, path := newLog(t), filepath.Join(t.TempDir(), "checkpoint")
	exporter := func() *witness.Exporter {
		return witness.New(witness.Config{Log: log, Verifier: log.verifier, Clock: log.clock, File: path})
	}
	log.grow(t, 300, "event")
	turn(t, exporter(), nil)
	log.reset()
	log.grow(t, 5, "event")
	log.gaveUp = 299
	turn(t, exporter(), witness.ErrRolledBack)
	log.gaveUp = 300
	turn(t, exporter(), nil)
	if text, err := os.ReadFile(path); err != nil || string(text) != log.head.Checkpoint {
		t.Errorf("the file holds %q, %v; want the checkpoint of the log that goes on", text, err)
	}
}

func TestWebhook(t *testing.T) {
	log, path := newLog(t), filepath.Join(t.TempDir(), "checkpoint")
	var mu sync.Mutex
	status, bodies, signatures := http.StatusServiceUnavailable, []string(nil), []string(nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		bodies, signatures = append(bodies, string(body)), append(signatures, r.Header.Get("Telamon-Signature"))
		w.WriteHeader(status)
	}))
	defer server.Close()
	e := witness.New(witness.Config{
		Log: log, Verifier: log.verifier, Clock: log.clock, File: path, Webhook: &witness.Webhook{URL: server.URL, Secret: "s3cret"},
	})
	log.grow(t, 1, "event")
	if err := e.Turn(t.Context()); err == nil || !strings.Contains(err.Error(), "503") || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("a webhook that answers 503: %v, want an error that says so and no secret", err)
	}
	if err := witness.CheckFile(t.Context(), log, log.verifier, path); err != nil {
		t.Errorf("the file beside it: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the file was not written because the webhook failed")
	}
	status = http.StatusFound // to nowhere: it is not followed
	if err := e.Turn(t.Context()); err == nil {
		t.Error("a webhook that redirects has taken the checkpoint")
	}
	status = http.StatusNoContent
	turn(t, e, nil)
	turn(t, e, nil) // it has it
	if len(bodies) != 3 || bodies[2] != log.head.Checkpoint {
		t.Fatalf("the webhook got %q, want the checkpoint until it took it", bodies)
	}
	mac := hmac.New(sha256.New, []byte("s3cret"))
	fmt.Fprintf(mac, "%d.%s", log.clock.Now().Unix(), bodies[2])
	if want := fmt.Sprintf("t=%d,v1=%s", log.clock.Now().Unix(), hex.EncodeToString(mac.Sum(nil))); signatures[2] != want {
		t.Errorf("Telamon-Signature: %s, want %s", signatures[2], want)
	}
}

// remote is a witness as c2sp.org/tlog-witness has it.
type remote struct {
	log     note.Verifier
	key     ed25519.PrivateKey
	hash    uint32
	tree    tlog.Tree
	broken  bool // signs something else
	submits int
}

func newRemote(t *testing.T, log note.Verifier) (*remote, note.Verifier) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := append([]byte{4}, public...)
	sum := sha256.Sum256(append([]byte("witness.example\n"), key...))
	r := &remote{log: log, key: private, hash: binary.BigEndian.Uint32(sum[:])}
	verifier, err := witness.NewCosigner(fmt.Sprintf("witness.example+%08x+%s", r.hash, base64.StdEncoding.EncodeToString(key)))
	if err != nil {
		t.Fatal(err)
	}
	return r, verifier
}

func (r *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.submits++
	if req.URL.Path != "/prefix/add-checkpoint" || req.Method != http.MethodPost {
		http.NotFound(w, req)
		return
	}
	body, err := io.ReadAll(req.Body)
	head, signed, ok := strings.Cut(string(body), "\n\n")
	if err != nil || !ok {
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	}
	var old int64
	var proof tlog.TreeProof
	lines := bufio.NewScanner(strings.NewReader(head))
	for first := true; lines.Scan(); first = false {
		if first {
			if _, err := fmt.Sscanf(lines.Text(), "old %d", &old); err != nil {
				http.Error(w, "malformed", http.StatusBadRequest)
				return
			}
			continue
		}
		h, err := tlog.ParseHash(lines.Text())
		if err != nil {
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		}
		proof = append(proof, h)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(r.log))
	if err != nil {
		http.Error(w, "unknown log", http.StatusForbidden)
		return
	}
	checkpoint, err := audit.ParseCheckpoint(n.Text)
	if err != nil {
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	}
	if old != r.tree.N {
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", r.tree.N)
		return
	}
	if old > 0 && tlog.CheckTree(proof, checkpoint.Tree.Size, checkpoint.Tree.Root, old, r.tree.Hash) != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	r.tree = tlog.Tree{N: checkpoint.Tree.Size, Hash: checkpoint.Tree.Root}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", 1764500000, n.Text)
	if r.broken {
		message += "!"
	}
	line := binary.BigEndian.AppendUint32(nil, r.hash)
	line = binary.BigEndian.AppendUint64(line, 1764500000)
	line = append(line, ed25519.Sign(r.key, []byte(message))...)
	fmt.Fprintf(w, "— witness.example %s\n", base64.StdEncoding.EncodeToString(line))
}

func TestWitness(t *testing.T) {
	log, path := newLog(t), filepath.Join(t.TempDir(), "checkpoint")
	r, verifier := newRemote(t, log.verifier)
	server := httptest.NewServer(r)
	defer server.Close()
	exporter := func() *witness.Exporter {
		return witness.New(witness.Config{
			Log: log, Verifier: log.verifier, Clock: log.clock, File: path, Witness: &witness.Remote{URL: server.URL + "/prefix/", Verifier: verifier},
		})
	}
	e := exporter()
	for range 3 {
		log.grow(t, 700, "event")
		turn(t, e, nil)
	}
	if r.tree.N != 2100 || r.submits != 3 {
		t.Errorf("the witness has %d events after %d submissions, want 2100 after 3", r.tree.N, r.submits)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(text, note.VerifierList(log.verifier, verifier))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatalf("the file's note has %v signatures that verify (%v), want the log's and the witness's", n, err)
	}
	// A process that starts does not know what the witness has, and is told.
	log.grow(t, 10, "event")
	turn(t, exporter(), nil)
	if r.tree.N != 2110 || r.submits != 5 {
		t.Errorf("the witness has %d events after %d submissions, want 2110 after 5", r.tree.N, r.submits)
	}
	// Its signature must verify.
	r.broken = true
	log.grow(t, 1, "event")
	if err := e.Turn(t.Context()); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("a witness that signs something else: %v", err)
	}
	r.broken = false
	// A log that was put back, and one that goes on otherwise.
	log.reset()
	log.grow(t, 5, "event")
	turn(t, exporter(), witness.ErrRolledBack)
	log.grow(t, 5000, "another event")
	turn(t, exporter(), witness.ErrRolledBack)
}

func TestNewCosignerRefuses(t *testing.T) {
	_, public, err := note.GenerateKey(rand.Reader, "log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := witness.NewCosigner(public); err != nil {
		t.Errorf("a key of type 1: %v", err)
	}
	for _, text := range []string{"", "a", "a+b", "a+00000000+", "+00000000+AAAA", public + "A", strings.Replace(public, "log", "gol", 1),
		"log+00000000+" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{4}, 33))} {
		if _, err := witness.NewCosigner(text); err == nil {
			t.Errorf("NewCosigner(%q) takes it", text)
		}
	}
}
