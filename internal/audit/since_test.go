package audit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon/internal/audit"
)

// Entries implements audit.GrowingLog.
func (m *memory) Entries(_ context.Context, first, end int64) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		payloads := map[[16]byte][]byte{}
		for _, row := range m.events {
			payloads[row.ID] = row.Payload
		}
		for _, s := range m.segments {
			for entry := range s.Entries() {
				if entry.Seq < first || entry.Seq >= end {
					continue
				}
				entry.Payload = payloads[entry.ID]
				if !yield(entry, nil) {
					return
				}
			}
		}
		if m.failing == "entries" {
			yield(audit.Entry{}, errBroken)
		}
	}
}

// ReadTiles implements audit.GrowingLog.
func (m *memory) ReadTiles(_ context.Context, keys []audit.TileKey) (map[audit.TileKey][]byte, error) {
	out := map[audit.TileKey][]byte{}
	for _, tile := range m.tiles {
		if slices.Contains(keys, tile.TileKey) {
			out[tile.TileKey] = tile.Data
		}
	}
	return out, nil
}

// since verifies what came after a checkpoint and returns the problems.
func (b *builder) since(m *memory, from audit.Checkpoint, change ...func(*audit.Options)) (audit.Result, string) {
	b.t.Helper()
	var problems []audit.Problem
	opts := audit.Options{Verifier: b.verifier, Report: func(p audit.Problem) { problems = append(problems, p) }}
	for _, f := range change {
		f(&opts)
	}
	result, err := audit.VerifySince(b.t.Context(), m, from, opts)
	if err != nil {
		b.t.Fatalf("VerifySince: %v", err)
	}
	if result.Problems != int64(len(problems)) {
		b.t.Errorf("VerifySince counts %d problems and reports %d", result.Problems, len(problems))
	}
	return result, lines(problems)
}

func TestVerifySinceGoodLogs(t *testing.T) {
	for _, sizes := range [][2]int{{0, 1}, {1, 0}, {1, 1}, {255, 1}, {256, 300}, {300, 700}, {513, 255}, {700, 3000}} {
		b := newBuilder(t)
		from := audit.Checkpoint{Origin: origin, Tree: audit.EmptyTree()}
		if sizes[0] > 0 {
			b.turn(sizes[0])
			from = b.checkpoint()
		}
		if sizes[1] > 0 {
			b.turn(sizes[1])
		}
		seen := 0
		result, problems := b.since(b.memory, from, func(o *audit.Options) {
			o.Event = func(*audit.Payload) error { seen++; return nil }
		})
		if problems != "" || result.Events != int64(sizes[1]) || seen != sizes[1] || result.Tree != b.memory.head.Tree {
			t.Errorf("a good log of %d and %d events gives %+v, %d seen, and\n%s", sizes[0], sizes[1], result, seen, problems)
		}
	}
}

func TestVerifySinceFinds(t *testing.T) {
	b := newBuilder(t)
	b.turn(300)
	from := b.checkpoint()
	b.turn(300)
	other := newBuilder(t)
	other.signer, other.verifier = b.signer, b.verifier
	other.turn(400)
	tests := []struct {
		name   string
		log    *memory
		change func(*memory)
		want   string // the kinds of the problems
	}{
		{"nothing", b.memory, func(*memory) {}, ""},
		{"an altered event", b.memory, func(m *memory) { m.events[400].Payload[30] ^= 1 }, "event altered at 400"},
		{"an altered event and its leaf", b.memory, func(m *memory) {
			m.events[400].Payload[30] ^= 1
			leaf := audit.LeafHash(m.events[400].Payload)
			copy(m.segments[1].Leaves[100*32:], leaf[:])
		}, "event altered at 400; root altered"},
		{"a removed event", b.memory, func(m *memory) { m.events = slices.Delete(m.events, 599, 600) }, "event removed at 599"},
		{"a removed segment", b.memory, func(m *memory) { m.segments = m.segments[:1] }, "root altered"},
		{"a segment that is elsewhere", b.memory, func(m *memory) { m.segments[1].FirstSeq++ }, "segment removed at 300"},
		{"an event in the place of another", b.memory, func(m *memory) { copy(m.segments[1].IDs, m.segments[1].IDs[16:32]) }, "event altered at 300"},
		{"an old event altered, which it does not read", b.memory, func(m *memory) { m.events[3].Payload[30] ^= 1 }, ""},
		{"a log that was put back", b.memory, func(m *memory) { m.head = audit.Head{Tree: audit.EmptyTree()} }, "event removed at 0 to 299"},
		{"a log that began otherwise, though it is signed", other.memory, func(*memory) {}, "root altered"},
		{"a head that was not signed", b.memory, func(m *memory) { m.head.Tree.Root[0] ^= 1 }, "root altered; root altered"},
		{"a head without a signature", b.memory, func(m *memory) { m.head.Checkpoint = "" }, "checkpoint altered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := tt.log.clone()
			tt.change(m)
			_, problems := b.since(m, from)
			var got []string
			for line := range strings.Lines(problems) {
				line, _, _ = strings.Cut(line, ":")
				line, _, _ = strings.Cut(line, " (")
				got = append(got, line)
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("it finds\n%s\nwant %s", problems, tt.want)
			}
		})
	}
	m := b.memory.clone()
	m.events = m.events[:350]
	result, problems := b.since(m, from, func(o *audit.Options) { o.PurgedBefore = b.at })
	if problems != "" || result.Events != 50 || result.Purged != 250 {
		t.Errorf("a purged log gives %+v and\n%s", result, problems)
	}
	m.failing = "entries"
	if _, err := audit.VerifySince(t.Context(), m, from, audit.Options{Verifier: b.verifier, Report: func(audit.Problem) {}}); err == nil {
		t.Error("a log that cannot be read verifies")
	}
}

// TestProofsOfOthers has an inclusion and a consistency proof verified by a program
// that knows nothing of this one, and a checkpoint by openssl.
func TestProofsOfOthers(t *testing.T) {
	b := newBuilder(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if b.signer, err = audit.NewSigner(origin, private); err != nil {
		t.Fatal(err)
	}
	key, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		t.Fatal(err)
	}
	b.turn(300)
	old := b.memory.head
	b.turn(433)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	verifierKey := write("key", key)
	program := filepath.Join(dir, "thirdparty")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/thirdparty").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := func(want bool, args ...string) {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if (err == nil) != want {
			t.Errorf("thirdparty %q: %v, want success %t\n%s", args, err, want, out)
		}
	}
	for _, seq := range []int64{0, 255, 256, 299, 300, 732} {
		proof, err := audit.ProveInclusion(t.Context(), b.memory.head.Tree, b.memory.ReadTiles, seq)
		if err != nil {
			t.Fatal(err)
		}
		file := write(fmt.Sprint("proof", seq), audit.InclusionText(seq, proof, b.memory.head.Checkpoint))
		run(true, "inclusion", verifierKey, file, write("event", string(b.memory.events[seq].Payload)))
		run(false, "inclusion", verifierKey, file, write("event", string(b.memory.events[seq].Payload)+" "))
	}
	proof, err := audit.ProveConsistency(t.Context(), b.memory.head.Tree, b.memory.ReadTiles, old.Tree.Size)
	if err != nil {
		t.Fatal(err)
	}
	file := write("consistency", audit.ConsistencyText(old.Tree.Size, proof, b.memory.head.Checkpoint))
	run(true, "consistency", verifierKey, file, write("old", old.Checkpoint))
	other := newBuilder(t)
	other.signer = b.signer
	other.turn(300)
	run(false, "consistency", verifierKey, file, write("old", other.memory.head.Checkpoint))

	text, line, _ := strings.Cut(b.memory.head.Checkpoint, "\n\n")
	signature, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[strings.LastIndex(line, " "):]))
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	pem := write("public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))
	out, err := exec.Command("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin",
		"-in", write("text", text+"\n"), "-sigfile", write("signature", string(signature[4:]))).CombinedOutput()
	if err != nil {
		t.Errorf("openssl does not verify the checkpoint: %v\n%s", err, out)
	}
}
