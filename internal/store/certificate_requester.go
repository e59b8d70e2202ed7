package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CertificateRequester returns who requested a certificate in the portal, nil if a
// credential did.
func (db *DB) CertificateRequester(ctx context.Context, serial telamon.Serial) (*telamon.Requester, error) {
	by, err := requesterOf(ctx, db.queries(), serial)
	if err != nil {
		return nil, db.judge(ctx, err)
	}
	return by, nil
}

func requesterOf(ctx context.Context, q *queries.Queries, serial telamon.Serial) (*telamon.Requester, error) {
	rows, err := q.CertificateRequester(ctx, serial[:])
	if err != nil {
		return nil, fmt.Errorf("read who requested certificate %s: %w", serial, err)
	}
	for _, r := range rows {
		return &telamon.Requester{User: telamon.UserID(r.UserID), Name: r.UserName, Agreement: r.Agreement}, nil
	}
	return nil, nil
}
