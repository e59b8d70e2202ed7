package ct

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// maxAnswer bounds what is read of a log's answer.
const maxAnswer = 64 << 10

// encodeChain returns the body of add-pre-chain (RFC 6962, Section 4.2).
func encodeChain(precertificate []byte, chain []*x509.Certificate) ([]byte, error) {
	body := struct {
		Chain [][]byte `json:"chain"` // base64, the end entity first
	}{[][]byte{precertificate}}
	for _, c := range chain {
		body.Chain = append(body.Chain, c.Raw)
	}
	return json.Marshal(&body)
}

// submit posts the body to the log and reads its timestamp, which it does not verify.
func (l *ctLog) submit(ctx context.Context, body []byte) (*SCT, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/ct/v1/add-pre-chain", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the log answers %s", resp.Status)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("the log answers more than %d bytes", maxAnswer)
	}
	return parseAnswer(text)
}

// parseAnswer reads the answer to add-pre-chain (RFC 6962, Section 4.1).
func parseAnswer(text []byte) (*SCT, error) {
	var answer struct {
		Version    *int   `json:"sct_version"`
		ID         []byte `json:"id"`
		Timestamp  uint64 `json:"timestamp"`
		Extensions []byte `json:"extensions"`
		Signature  []byte `json:"signature"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("read the log's answer: %w", err)
	}
	s := &SCT{Extensions: answer.Extensions}
	signed := cryptobyte.String(answer.Signature)
	var signature cryptobyte.String
	if answer.Version == nil || *answer.Version != 0 || len(answer.ID) != len(s.LogID) || len(answer.Extensions) > 1<<16-1 ||
		answer.Timestamp > uint64(maxTime.UnixMilli()) ||
		!signed.ReadUint16(&s.Algorithm) || !signed.ReadUint16LengthPrefixed(&signature) || !signed.Empty() {
		return nil, errSCT
	}
	s.LogID, s.At, s.Signature = [32]byte(answer.ID), time.UnixMilli(int64(answer.Timestamp)).UTC(), signature
	return s, nil
}
