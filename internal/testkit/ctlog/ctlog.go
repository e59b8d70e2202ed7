// Package ctlog is a log of Certificate Transparency (RFC 6962) for tests: it accepts
// precertificates under given roots as a real log does, keeps a Merkle tree of them, and
// signs timestamps and tree heads. It shares no code with package ct, and can be made
// slow, failing or lying.
package ctlog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A Mode is how a log behaves.
type Mode int

// The modes.
const (
	Good     Mode = iota
	Slow          // it never answers: it waits until the client goes away
	Failing       // it answers 503
	Garbled       // it answers 200 and no JSON
	Forging       // its signatures are of another key
	Swapping      // it signs the timestamp of another certificate
	Ahead         // its clock is an hour ahead
	Behind        // it repeats a timestamp of the day before
)

// A Log serves a log's HTTP API.
type Log struct {
	URL string
	Key []byte // DER SubjectPublicKeyInfo
	// Waiting receives a value for each request that a slow log does not answer.
	Waiting chan struct{}

	signer *ecdsa.PrivateKey
	now    func() time.Time

	mu     sync.Mutex
	mode   Mode
	roots  []*x509.Certificate
	leaves [][]byte // encoded MerkleTreeLeaf structures
	hashes []tlog.Hash
}

// Start starts a log that ends with the test.
func Start(t testing.TB, now func() time.Time) *Log {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{signer: signer, now: now, Waiting: make(chan struct{}, 64)}
	if l.Key, err = x509.MarshalPKIXPublicKey(signer.Public()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ct/v1/add-pre-chain", l.addPreChain)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	l.URL = server.URL
	return l
}

// Accept has the log accept chains that end in the root.
func (l *Log) Accept(root *x509.Certificate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roots = append(l.roots, root)
}

// Be changes how the log behaves.
func (l *Log) Be(mode Mode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = mode
}

// Size is how many entries the log has.
func (l *Log) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.leaves)
}

// Includes reports whether the tree holds the entry of a timestamp, by a Merkle proof
// against the root of the whole tree.
func (l *Log) Includes(timestamp time.Time, issuerKeyHash [32]byte, logged []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	leaf := encodeLeaf(timestamp, issuerKeyHash, logged)
	i := slices.IndexFunc(l.leaves, func(b []byte) bool { return bytes.Equal(b, leaf) })
	if i < 0 {
		return errors.New("the log has no such entry")
	}
	size, reader := int64(len(l.leaves)), tlog.HashReaderFunc(l.read)
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveRecord(size, int64(i), reader)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, size, root, int64(i), tlog.RecordHash(leaf))
}

func (l *Log) read(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		hashes[i] = l.hashes[at]
	}
	return hashes, nil
}

func (l *Log) addPreChain(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	mode := l.mode
	l.mu.Unlock()
	switch mode {
	case Slow:
		var discard bytes.Buffer
		discard.ReadFrom(r.Body) // or the end of the connection goes unnoticed
		l.Waiting <- struct{}{}
		<-r.Context().Done()
		return
	case Failing:
		http.Error(w, "the log is overloaded", http.StatusServiceUnavailable)
		return
	case Garbled:
		w.Write([]byte("<html>"))
		return
	}
	var body struct {
		Chain [][]byte `json:"chain"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	logged, keyHash, err := l.check(body.Chain)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	at := l.now().Truncate(time.Millisecond)
	switch mode {
	case Ahead:
		at = at.Add(time.Hour)
	case Behind:
		at = at.Add(-24 * time.Hour)
	case Swapping:
		logged = append([]byte(nil), logged...)
		logged[len(logged)-1] ^= 1
	}
	signature, err := l.sign(mode, at, keyHash, logged)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	l.add(encodeLeaf(at, keyHash, logged))
	id := sha256.Sum256(l.Key)
	json.NewEncoder(w).Encode(map[string]any{
		"sct_version": 0, "id": id[:], "timestamp": at.UnixMilli(), "extensions": "", "signature": signature,
	})
}

// add appends a leaf to the tree.
func (l *Log) add(leaf []byte) {
	stored, err := tlog.StoredHashes(int64(len(l.leaves)), leaf, tlog.HashReaderFunc(l.read))
	if err != nil {
		panic(err) // the tree is in memory
	}
	l.leaves, l.hashes = append(l.leaves, leaf), append(l.hashes, stored...)
}

// check verifies a chain as a log does (RFC 6962, Section 3.1), and returns what is
// logged of its precertificate and the hash of its issuer's key.
func (l *Log) check(chain [][]byte) (logged []byte, keyHash [32]byte, err error) {
	var certs []*x509.Certificate
	for _, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, keyHash, err
		}
		certs = append(certs, cert)
	}
	if len(certs) < 2 {
		return nil, keyHash, errors.New("the chain is too short")
	}
	for i := 1; i < len(certs); i++ {
		if err := certs[i-1].CheckSignatureFrom(certs[i]); err != nil {
			return nil, keyHash, err
		}
	}
	last := certs[len(certs)-1]
	if !slices.ContainsFunc(l.roots, func(root *x509.Certificate) bool { return root.Equal(last) || last.CheckSignatureFrom(root) == nil }) {
		return nil, keyHash, errors.New("the chain ends in a root that the log does not accept")
	}
	logged, err = withoutPoison(certs[0].RawTBSCertificate)
	return logged, sha256.Sum256(certs[1].RawSubjectPublicKeyInfo), err
}

// tbsCertificate is one with extensions, in its order.
type tbsCertificate struct {
	Raw        asn1.RawContent
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     asn1.RawValue
	Signature  asn1.RawValue
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

var poison = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}

func withoutPoison(der []byte) ([]byte, error) {
	var t tbsCertificate
	if rest, err := asn1.Unmarshal(der, &t); err != nil || len(rest) > 0 {
		return nil, errors.New("the precertificate cannot be read")
	}
	i := slices.IndexFunc(t.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(poison) })
	if i < 0 || !t.Extensions[i].Critical || !bytes.Equal(t.Extensions[i].Value, []byte{5, 0}) {
		return nil, errors.New("the certificate is no precertificate")
	}
	t.Extensions = slices.Delete(t.Extensions, i, i+1)
	t.Raw = nil
	return asn1.Marshal(t)
}

// timestamped encodes what a leaf and a timestamp's signature share after their first
// two octets (RFC 6962, Sections 3.2 and 3.4).
func timestamped(at time.Time, keyHash [32]byte, logged []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(at.UnixMilli()))
	b = append(b, 0, 1) // precert_entry
	b = append(b, keyHash[:]...)
	b = append(b, byte(len(logged)>>16), byte(len(logged)>>8), byte(len(logged)))
	b = append(b, logged...)
	return append(b, 0, 0) // no extensions
}

// encodeLeaf encodes a MerkleTreeLeaf: v1, timestamped_entry, which are zeros as v1 and
// certificate_timestamp are.
func encodeLeaf(at time.Time, keyHash [32]byte, logged []byte) []byte {
	return timestamped(at, keyHash, logged)
}

// sign returns the DigitallySigned structure over a timestamp.
func (l *Log) sign(mode Mode, at time.Time, keyHash [32]byte, logged []byte) ([]byte, error) {
	signer := l.signer
	if mode == Forging {
		var err error
		if signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	digest := sha256.Sum256(timestamped(at, keyHash, logged))
	signature, err := ecdsa.SignASN1(rand.Reader, signer, digest[:])
	if err != nil {
		return nil, err
	}
	return append([]byte{4, 3, byte(len(signature) >> 8), byte(len(signature))}, signature...), nil
}
