package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// A Client calls the API on its socket. It is safe for concurrent use.
type Client struct {
	http *http.Client
	// Token shows which operator calls; "" leaves that to the user of the system. It is
	// set before the first call.
	Token string
}

// NewClient returns a client of the server that listens on the Unix socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("no server answers on the admin socket: %w", err)
		}
		return conn, nil
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// maxAnswer is the largest answer that is read.
const maxAnswer = 64 << 20

// Do calls a route, with body as JSON unless it is nil, and decodes the answer into
// answer unless that is nil or the answer has no body. It reports a *Problem if the
// server refuses.
func (c *Client) Do(ctx context.Context, method, path string, body, answer any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, sent)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode >= 400 {
		return problemOf(res, text)
	}
	if answer == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, answer)
}

func problemOf(res *http.Response, text []byte) error {
	problem := &Problem{}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(text, problem) != nil {
		return errors.New("the server answered " + res.Status)
	}
	return problem
}
