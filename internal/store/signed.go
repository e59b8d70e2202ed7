package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// signedPage is how many certificates are read at a time.
const signedPage = 500

// SignedBy yields the certificates of an issuer, those of accounts, mTLS ones and those of
// key pairs, whose serial numbers are of the hours from one to another, both included, in
// their order.
// An error ends it.
func (db *DB) SignedBy(ctx context.Context, issuer telamon.IssuerID, from, until time.Time) iter.Seq2[telamon.SignedTBS, error] {
	return func(yield func(telamon.SignedTBS, error) bool) {
		after, before := telamon.FirstSerial(from), telamon.FirstSerial(until.Add(time.Hour))
		for {
			rows, err := db.queries().SignedBetween(ctx, queries.SignedBetweenParams{
				IssuerID: issuer.String(), After: after[:], Before: before[:], Lim: signedPage,
			})
			if err != nil {
				yield(telamon.SignedTBS{}, db.judge(ctx, fmt.Errorf("list certificates of issuer %s: %w", issuer, err)))
				return
			}
			for _, row := range rows {
				after = telamon.Serial(row.Serial)
				hash, err := hashTBS(row.Der)
				if err != nil {
					err = fmt.Errorf("certificate %s: %w", after, err)
				}
				if !yield(telamon.SignedTBS{Serial: after, Hash: hash}, err) || err != nil {
					return
				}
			}
			if len(rows) < signedPage {
				return
			}
		}
	}
}

// hashTBS returns the SHA-256 of the tbsCertificate of a certificate.
func hashTBS(der []byte) ([32]byte, error) {
	input := cryptobyte.String(der)
	var certificate, tbs cryptobyte.String
	if !input.ReadASN1(&certificate, asn1.SEQUENCE) || !certificate.ReadASN1Element(&tbs, asn1.SEQUENCE) {
		return [32]byte{}, errors.New("its bytes are no certificate")
	}
	return sha256.Sum256(tbs), nil
}
