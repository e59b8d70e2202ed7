package playground_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"
)

// applicant changes the playground's world as its users do: by the control API, and by
// the link in a mail. It is an atlastest.World.
type applicant struct {
	w    *world
	t    *testing.T
	used []string // links of mails
}

// AddRecord implements atlastest.World.
func (a *applicant) AddRecord(name, recordType, value string) error {
	body, err := json.Marshal(map[string]string{"name": name, "type": recordType, "value": value})
	if err != nil {
		return err
	}
	_, err = a.control(http.MethodPost, a.w.Description.DNSControlURL+"/records", body, http.StatusCreated)
	return err
}

// RemoveRecords implements atlastest.World.
func (a *applicant) RemoveRecords(name, recordType string) error {
	query := url.Values{"name": {name}, "type": {recordType}}
	_, err := a.control(http.MethodDelete, a.w.Description.DNSControlURL+"/records?"+query.Encode(), nil, http.StatusOK)
	return err
}

// Fail implements atlastest.World.
func (a *applicant) Fail(name, how string) error {
	body, err := json.Marshal(map[string]string{"name": name, "fault": how})
	if err != nil {
		return err
	}
	_, err = a.control(http.MethodPost, a.w.Description.DNSControlURL+"/faults", body, http.StatusCreated)
	return err
}

// PutFile implements atlastest.World.
func (a *applicant) PutFile(host, path, content string) error {
	_, err := a.control(http.MethodPut, a.w.Description.HTTPControlURL+"/files/"+host+path, []byte(content), http.StatusCreated)
	return err
}

// control sends a request to the control API and returns the body of the answer.
func (a *applicant) control(method, address string, body []byte, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return send(http.DefaultClient, r, want)
}

// send returns the body of an answer that has the status.
func send(client *http.Client, r *http.Request, want int) ([]byte, error) {
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != want {
		err = fmt.Errorf("%s %s: status %d, want %d: %.300s", r.Method, r.URL.Redacted(), answer.StatusCode, want, text)
	}
	return text, err
}

// approvalLink is what the mail to a mailbox has to be read for.
var approvalLink = regexp.MustCompile(`https://\S+/claims/approve/[A-Za-z0-9_-]+`)

// Approve implements atlastest.World. It opens the link, which approves nothing, and
// then sends what the button of that page sends.
func (a *applicant) Approve(mailbox string) error {
	link, err := a.linkTo(mailbox, approvalLink)
	if err != nil {
		return err
	}
	a.used = append(a.used, link)
	atlas, err := url.Parse(a.w.Description.AtlasURL)
	if err != nil {
		return err
	}
	// The name of the portal need not be in the resolver of this machine.
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.w.roots(), Time: a.w.clock.Now},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, atlas.Host)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(a.t.Context(), method, link, nil)
		if err != nil {
			return err
		}
		if method == http.MethodPost {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		if _, err := send(client, r, http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// linkTo waits for a mail to the mailbox with such a link that was not used, and returns
// the newest one.
func (a *applicant) linkTo(mailbox string, link *regexp.Regexp) (string, error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		text, err := a.control(http.MethodGet, a.w.Description.MailboxURL, nil, http.StatusOK)
		if err != nil {
			return "", err
		}
		var mails []struct {
			To   []string `json:"to"`
			Text string   `json:"text"`
		}
		if err := json.Unmarshal(text, &mails); err != nil {
			return "", fmt.Errorf("read the mails: %w", err)
		}
		for _, m := range slices.Backward(mails) {
			found := link.FindString(m.Text)
			if slices.Contains(m.To, mailbox) && found != "" && !slices.Contains(a.used, found) {
				return found, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for a mail to %s: %w", mailbox, ctx.Err())
		case <-again.C:
		}
	}
}
