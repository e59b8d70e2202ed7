package issuance

import (
	"cmp"
	"maps"
	"slices"

	"github.com/telamon-ca/telamon"
)

// Issuers returns every issuer in the order of their IDs. The caller must not change
// them.
func (e *Engine) Issuers() []*telamon.Issuer {
	return slices.SortedFunc(maps.Values(e.issuers.Load().byID), func(a, b *telamon.Issuer) int { return cmp.Compare(a.ID, b.ID) })
}

// CRLURL is where the CRL of a shard is, as it stands in certificates and in the CRL's
// issuing distribution point.
func (e *Engine) CRLURL(id telamon.IssuerID, shard int) string { return e.crlURL(id, shard) }
