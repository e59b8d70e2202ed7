package audit

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint is what the platform signs about its audit log: a tree and the time
// at which it was that. Whoever keeps one can tell later whether the log still
// begins so.
type Checkpoint struct {
	Origin string // names the log; the name of the key that signs it
	Tree   Tree
	At     time.Time // whole milliseconds
}

const checkpointTime = "2006-01-02T15:04:05.000Z"

// Text returns the text that is signed: origin, size and root, each on a line, as
// in c2sp.org/tlog-checkpoint, and one extension line with the time.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\ntime %s\n", c.Origin, c.Tree.Size, c.Tree.Root, c.At.UTC().Format(checkpointTime))
}

var errCheckpoint = errors.New("not a checkpoint of an audit log")

// ParseCheckpoint reads the text of a checkpoint, whose signature it does not see:
// that is [OpenCheckpoint]'s work. It accepts only what Text returns.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[0] == "" || lines[4] != "" {
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, errCheckpoint
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, errCheckpoint
	}
	at, err := time.Parse("time "+checkpointTime, lines[3])
	if err != nil {
		return Checkpoint{}, errCheckpoint
	}
	c := Checkpoint{Origin: lines[0], Tree: Tree{size, root}, At: at.UTC()}
	if c.Text() != text {
		return Checkpoint{}, errCheckpoint
	}
	return c, nil
}

// SignCheckpoint returns the checkpoint as a signed note (c2sp.org/signed-note).
// The signer's name must be the checkpoint's origin.
func SignCheckpoint(c Checkpoint, signer note.Signer) (string, error) {
	if signer.Name() != c.Origin {
		return "", fmt.Errorf("sign checkpoint: the log is %q and the key's name %q", c.Origin, signer.Name())
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signer)
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	return string(signed), nil
}

// OpenCheckpoint returns the checkpoint of a signed note, if the verifier's key
// signed it and it is about the log of that name.
func OpenCheckpoint(signed string, verifier note.Verifier) (Checkpoint, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("open checkpoint: it is about the log %q, not %q", c.Origin, verifier.Name())
	}
	return c, nil
}

// NewVerifier returns the verifier of checkpoints of the log named origin, which
// holds no space and no plus sign.
func NewVerifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return nil, fmt.Errorf("audit log %q: %w", origin, err)
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("audit log %q: %w", origin, err)
	}
	return verifier, nil
}

// NewSigner returns the signer of checkpoints of the log named origin. The key is
// an Ed25519 key.
func NewSigner(origin string, key crypto.Signer) (note.Signer, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("audit log %q: its key is a %T, not an Ed25519 key", origin, key.Public())
	}
	verifier, err := NewVerifier(origin, public)
	if err != nil {
		return nil, err
	}
	return &signer{verifier, key}, nil
}

type signer struct {
	note.Verifier
	key crypto.Signer
}

// Sign implements note.Signer.
func (s *signer) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, msg, crypto.Hash(0)) // Ed25519 signs the message itself
}
