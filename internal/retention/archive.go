package retention

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// Archive keeps dropped certificates as files of a directory: one for each transaction
// that dropped some, in a directory for the month of their expiry, gzip of a line of
// JSON for each certificate. A certificate may be in two files if a transaction failed.
type Archive struct{ Dir string }

// An entry is a line of a file.
type entry struct {
	Serial        string                   `json:"serial"`
	Issuer        telamon.IssuerID         `json:"issuer"`
	Credential    telamon.CredentialID     `json:"credential"`
	PolicyVersion string                   `json:"policy_version"`
	AcceptedAt    time.Time                `json:"accepted_at"`
	NotAfter      time.Time                `json:"not_after"`
	RekeyOf       *telamon.Serial          `json:"rekey_of,omitempty"`
	RevokedAt     *time.Time               `json:"revoked_at,omitempty"`
	Reason        telamon.RevocationReason `json:"reason,omitempty"`
	Certificate   []byte                   `json:"certificate"` // DER
	Request       json.RawMessage          `json:"request,omitempty"`
	Evidence      json.RawMessage          `json:"evidence,omitempty"`
	Requester     *telamon.Requester       `json:"requester,omitempty"`
}

// Write writes a file of certificates, which are one at least. When it returns nil, the
// file is durable.
func (a *Archive) Write(certificates []store.ExpiredCertificate) error {
	var text bytes.Buffer
	compressed := gzip.NewWriter(&text)
	lines := json.NewEncoder(compressed)
	for _, c := range certificates {
		e := entry{
			Serial: c.Certificate.Serial.String(), Issuer: c.Certificate.Issuer, Credential: c.Certificate.Credential,
			PolicyVersion: c.Certificate.PolicyVersion, AcceptedAt: c.Certificate.AcceptedAt, NotAfter: c.Certificate.NotAfter,
			RekeyOf: c.Certificate.RekeyOf, Certificate: c.Blob.DER, Request: raw(c.Blob.Request), Evidence: raw(c.Blob.Evidence), Requester: c.Blob.Requester,
		}
		if r := c.Certificate.Revocation; r != nil {
			e.RevokedAt, e.Reason = &r.At, r.Reason
		}
		if err := lines.Encode(&e); err != nil {
			return fmt.Errorf("archive certificate %s: %w", e.Serial, err)
		}
	}
	if err := compressed.Close(); err != nil {
		return fmt.Errorf("archive certificates: %w", err)
	}
	first := certificates[0].Certificate
	dir := filepath.Join(a.Dir, first.NotAfter.UTC().Format("2006-01"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("archive certificates: %w", err)
	}
	path := filepath.Join(dir, first.Serial.String()+".jsonl.gz")
	if err := writeDurably(path, text.Bytes()); err != nil {
		return fmt.Errorf("archive certificates: %w", err)
	}
	return nil
}

// raw returns JSON as it is, nil for none.
func raw(text []byte) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	return json.RawMessage(text)
}

// writeDurably writes a file whole or not at all, with the directories that hold it.
func writeDurably(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}
