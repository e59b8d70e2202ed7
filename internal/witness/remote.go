package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon/internal/audit"
)

// A Remote is a witness: a server of somebody else that cosigns a checkpoint if it
// is consistent with the one before it (c2sp.org/tlog-witness).
type Remote struct {
	URL      string        // its submission prefix
	Verifier note.Verifier // of its cosignatures; see [NewCosigner]
}

// algorithmCosignature is the signature type of timestamped Ed25519 cosignatures
// (c2sp.org/tlog-cosignature).
const algorithmCosignature = 4

// cosigner verifies cosignatures.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

var errVerifierKey = errors.New("a witness's key is NAME+HASH+KEY, of signature type 4 or 1")

// NewCosigner reads the verifier key of a witness: NAME+HASH+KEY, where KEY is the
// base64 of the signature type, 4, and an Ed25519 public key. Keys of type 1, that
// of a log, are taken for one of the same key.
func NewCosigner(text string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(text, "+")
	hash, encoded, ok := strings.Cut(rest, "+")
	stated, err := strconv.ParseUint(hash, 16, 32)
	key, keyErr := base64.StdEncoding.DecodeString(encoded)
	if !ok || name == "" || strings.ContainsAny(name, " \t\n") || err != nil || keyErr != nil || len(key) != 1+ed25519.PublicKeySize {
		return nil, errVerifierKey
	}
	if key[0] != algorithmCosignature && key[0] != 1 || keyHash(name, key) != uint32(stated) {
		return nil, errVerifierKey
	}
	key[0] = algorithmCosignature
	return &cosigner{name, keyHash(name, key), ed25519.PublicKey(key[1:])}, nil
}

// keyHash returns the key ID of a signed note (c2sp.org/signed-note).
func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// Name implements note.Verifier.
func (c *cosigner) Name() string { return c.name }

// KeyHash implements note.Verifier.
func (c *cosigner) KeyHash() uint32 { return c.hash }

// Verify implements note.Verifier: the signature is a time and an Ed25519 signature
// over that time and the text.
func (c *cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, msg)
	return ed25519.Verify(c.key, signed, sig[8:])
}

// maxWitnessAnswer is far more than the lines of any witness.
const maxWitnessAnswer = 16 << 10

// cosign has the witness cosign the log's newest checkpoint and returns the head with
// the cosignature added to it. The witness is believed to have the first old events;
// if it says another size, it is asked once more from there.
func (r *Remote) cosign(ctx context.Context, log Log, old int64) (audit.Head, error) {
	for range 2 {
		head, proof, err := log.AuditConsistency(ctx, old)
		if err != nil {
			return audit.Head{}, err
		}
		status, answer, err := r.submit(ctx, old, proof, head.Checkpoint)
		if err != nil {
			return audit.Head{}, err
		}
		switch status {
		case http.StatusOK:
			head.Checkpoint, err = r.add(head.Checkpoint, answer)
			return head, err
		case http.StatusConflict: // it has another size than we think, and says which
			size, err := strconv.ParseInt(strings.TrimSuffix(answer, "\n"), 10, 64)
			if err != nil || size < 0 {
				return audit.Head{}, errors.New("it does not say which size it has")
			}
			if size > head.Tree.Size {
				return audit.Head{}, fmt.Errorf("%w: it has %d events, the log %d", ErrRolledBack, size, head.Tree.Size)
			}
			old = size
		case http.StatusUnprocessableEntity: // the proof does not verify from what it has
			return audit.Head{}, fmt.Errorf("%w: the first %d events are others", ErrRolledBack, old)
		default:
			return audit.Head{}, fmt.Errorf("it answered %d", status)
		}
	}
	return audit.Head{}, errors.New("its size changes while it is asked")
}

func (r *Remote) submit(ctx context.Context, old int64, proof tlog.TreeProof, signed string) (int, string, error) {
	body := strings.NewReader(audit.ConsistencyText(old, proof, signed))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.URL, "/")+"/add-checkpoint", body)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWitnessAnswer+1))
	if err == nil && len(answer) > maxWitnessAnswer {
		err = errors.New("its answer is too long")
	}
	return resp.StatusCode, string(answer), err
}

// add adds the witness's lines to a signed note, if one of them is its cosignature
// over it.
func (r *Remote) add(signed, lines string) (string, error) {
	if lines == "" || !strings.HasSuffix(lines, "\n") {
		return "", errors.New("its answer is no signature line")
	}
	n, err := note.Open([]byte(signed+lines), note.VerifierList(r.Verifier))
	if err != nil || len(n.Sigs) != 1 {
		return "", errors.New("its answer does not verify by its key")
	}
	return signed + lines, nil
}
