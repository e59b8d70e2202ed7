package witness

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A Webhook is a URL to which checkpoints are posted as they are, text/plain.
type Webhook struct {
	URL string
	// Secret is what the request is authenticated by: the header Telamon-Signature is
	// "t=UNIX,v1=HEX", where HEX is the HMAC-SHA-256 under the secret of UNIX, a dot
	// and the body. The checkpoint's own signature proves what it says; this one tells
	// the receiver who sent it, and when. Empty: no header.
	Secret string
}

// signatureHeader authenticates a request.
const signatureHeader = "Telamon-Signature"

func (w *Webhook) send(ctx context.Context, signed string, now time.Time) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader([]byte(signed)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if w.Secret != "" {
		at := strconv.FormatInt(now.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(w.Secret))
		mac.Write([]byte(at + "." + signed))
		req.Header.Set(signatureHeader, "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}
