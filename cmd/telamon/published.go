package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/telamon-ca/telamon"
)

// Bounds of a published CRL that is fetched.
const (
	maxCRL        = 1 << 30 // octets
	crlFetchLimit = 2 * time.Minute
	// crlAnswerLimit is for connecting and for the answer's beginning: many CRLs may be
	// where nobody answers.
	crlAnswerLimit = 5 * time.Second
)

// published sets which published CRLs a restore looks at: those that the arguments
// name, without arguments those of the directory that the server copies them to, and those
// that are served under the base URL of all shards that are not among them, unless an
// argument is "none".
func (c *restoreCommand) published(base, copies string) error {
	if _, err := os.Stat(copies); err == nil && len(c.crls) == 0 && copies != "" {
		c.crls = []string{copies}
	}
	if !slices.Contains(c.crls, "none") {
		dir, err := os.MkdirTemp("", "telamon-crl-")
		if err != nil {
			return err
		}
		c.fetched = dir
		client := &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: crlAnswerLimit}).DialContext,
			TLSHandshakeTimeout: crlAnswerLimit, ResponseHeaderTimeout: crlAnswerLimit,
		}}
		c.options.Evidence.Fetch = func(ctx context.Context, issuer telamon.IssuerID, shard int) (string, error) {
			name := issuer.String() + "/" + strconv.Itoa(shard) + ".crl"
			return fetchCRL(ctx, client, base+"/crl/"+name, filepath.Join(dir, issuer.String()+"-"+strconv.Itoa(shard)+".crl"))
		}
	}
	for _, path := range c.crls {
		if path == "none" {
			continue
		}
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (name == path || filepath.Ext(name) == ".crl") {
				c.options.Evidence.CRLs = append(c.options.Evidence.CRLs, name)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("--crl: %w", err)
		}
	}
	return nil
}

// fetchCRL keeps what a URL serves in a file, and returns its path: "" if there is
// nothing.
func fetchCRL(ctx context.Context, client *http.Client, url, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, crlFetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return "", nil
	default:
		return "", fmt.Errorf("%s answers %s", url, res.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	n, err := io.Copy(file, io.LimitReader(res.Body, maxCRL+1))
	if err == nil && n > maxCRL {
		err = fmt.Errorf("%s is longer than %d bytes", url, maxCRL)
	}
	return path, errors.Join(err, file.Close())
}
