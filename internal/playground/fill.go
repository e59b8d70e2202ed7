package playground

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/store"
)

// Filled says what Fill did.
type Filled struct {
	Filled  int64   `json:"filled"`
	Seconds float64 `json:"seconds"`
	Total   int64   `json:"issued_total"` // certificates that the credential's counter says
}

// fillSpan is the time over which the synthetic certificates are spread.
const fillSpan = 300 * 24 * time.Hour

// Fill writes n synthetic certificates for a credential straight into the
// playground's database, in steps that are each durable. The server may run or not.
// The newest certificate of the credential is what they are copies of; there must
// be one. With revoked, they are revoked.
func Fill(ctx context.Context, d *Description, c *Credential, n int64, revoked bool, progress func(string)) (_ *Filled, err error) {
	cfg, err := app.LoadConfig(d.ConfigFile)
	if err != nil {
		return nil, err
	}
	clock := telamon.SystemClock{}
	db, err := store.Open(ctx, store.Config{URL: cfg.Database, Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	found, err := db.FindCredentialByKey(ctx, c.APIKey)
	if err != nil {
		return nil, err
	}
	if len(found.Credentials) == 0 {
		return nil, fmt.Errorf("the database has no credential %s", c.Name)
	}
	credential := found.Credentials[0]
	template, blob, err := newest(ctx, db, credential.Pair, clock.Now())
	if err != nil {
		return nil, err
	}
	now := clock.Now()
	spec := store.FillSpec{
		Actor: telamon.Actor{Kind: telamon.ActorOperator}, Account: credential.Account, Template: *template, Blob: blob,
		From: now.Add(-fillSpan), To: now.Add(-time.Minute),
	}
	start := time.Now()
	var written int64
	const step = 100_000
	for written < n {
		spec.N = min(step, n-written)
		spec.To = spec.From.Add(fillSpan / time.Duration(n) * time.Duration(spec.N))
		if revoked {
			spec.Revoked = spec.N
		}
		part, err := db.Fill(ctx, spec)
		written += part
		if err != nil {
			return nil, fmt.Errorf("after %d certificates: %w", written, err)
		}
		spec.From = spec.To
		progress(fmt.Sprintf("filled %d of %d", written, n))
	}
	total, err := db.IssuedTotal(ctx, credential.Pair)
	return &Filled{Filled: written, Seconds: time.Since(start).Seconds(), Total: total}, err
}

// newest returns a certificate of the last hour, with its bytes.
func newest(ctx context.Context, db *store.DB, pair telamon.PairID, now time.Time) (*telamon.Certificate, store.Blob, error) {
	rows, _, err := db.ListCertificates(ctx, store.Issued, pair, now.Add(-30*24*time.Hour), now, 1, 1)
	if err != nil {
		return nil, store.Blob{}, err
	}
	if len(rows) == 0 {
		return nil, store.Blob{}, errors.New("the credential has no certificate yet: issue one, such as with telamon bench -n 1")
	}
	cert, err := db.Certificate(ctx, pair, rows[0].Serial)
	if err != nil {
		return nil, store.Blob{}, err
	}
	blob, err := db.CertificateBlob(ctx, cert)
	return cert, blob, err
}
