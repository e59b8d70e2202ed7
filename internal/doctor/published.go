package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
)

// fetchPatience is how long a published file may take to come.
const fetchPatience = 5 * time.Second

// published fetches the certificates of active issuers from where issued certificates
// say that they are. A server that does not run serves none.
func (e *examination) published(ctx context.Context) {
	if !e.report.Running || e.cfg.StatusBaseURL == "" {
		return
	}
	since, fetched := e.count(), 0
	for _, i := range e.issuers {
		if i.Status != telamon.IssuerActive || i.Role != telamon.RoleIssuing {
			continue
		}
		url := e.cfg.StatusBaseURL + "/ca/" + i.ID.String() + ".cer"
		content, err := fetch(ctx, url)
		if err != nil {
			e.warn("status_base_url", "make it reachable for relying parties; if it is, but not from here, nothing", "%v", err)
			break // the others would be the same
		}
		if !bytes.Equal(content, i.Certificate.Raw) {
			e.fail("status_base_url", "have it lead to status_listen of this installation", "%s is not the certificate of issuer %s", url, i.ID)
			continue
		}
		fetched++
	}
	e.sound(since, "status_base_url", "the certificates of %d issuers are served under it", fetched)
}

// fetch returns what a URL serves, at most 64 KB.
func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, res.Status)
	}
	const limit = 64 << 10
	content, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if len(content) > limit {
		return nil, errors.New(url + " is too long")
	}
	return content, err
}
