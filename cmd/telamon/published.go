package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/telamon-ca/telamon"
)

// Bounds of a published CRL that is fetched.
const (
	maxCRL        = 1 << 30 // octets
	crlFetchLimit = 2 * time.Minute
)

// published sets which published CRLs a restore looks at: those that the arguments
// name, else those of the directory that the server copies them to, else those that are
// served under the base URL.
func (c *restoreCommand) published(base, copies string) error {
	if _, err := os.Stat(copies); err == nil && len(c.crls) == 0 && copies != "" {
		c.crls = []string{copies}
	}
	if len(c.crls) == 0 {
		dir, err := os.MkdirTemp("", "telamon-crl-")
		if err != nil {
			return err
		}
		c.fetched = dir
		c.options.Evidence.Fetch = func(ctx context.Context, issuer telamon.IssuerID, shard int) (string, error) {
			name := issuer.String() + "/" + strconv.Itoa(shard) + ".crl"
			return fetchCRL(ctx, base+"/crl/"+name, filepath.Join(dir, issuer.String()+"-"+strconv.Itoa(shard)+".crl"))
		}
		return nil
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
func fetchCRL(ctx context.Context, url, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, crlFetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
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
