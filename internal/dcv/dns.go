package dcv

import (
	"context"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// tokenRecord is BR 3.2.2.4.7: a TXT record with the token at the authorization domain
// name, or at it with an underscore label in front.
//
// A CNAME is followed at the claimed name itself, where the target takes its place as
// the authorization domain name, and at a name with an underscore label, which resolves
// like any other. It is not followed at a parent: labels are stripped after CNAMEs, so
// whoever controls the target of a parent's CNAME controls nothing of the claimed name.
type tokenRecord struct{ *Engine }

func (m tokenRecord) validate(ctx context.Context, q Question) Finding {
	answer, err := m.cfg.Resolver.Lookup(ctx, q.ADN, resolver.TypeTXT)
	if err != nil {
		return notFound(telamon.Evidence{}, "%s", lookupProblem(q.ADN, err))
	}
	evidence := telamon.Evidence{Through: answer.Chain, Records: len(answer.TXT), DNSSEC: m.dnssec(answer)}
	own, underscore, alias := q.ADN == q.Name, strings.HasPrefix(q.ADN, "_"), len(answer.Chain) > 0
	if alias && !own && !underscore {
		return notFound(evidence, "%s is an alias; a record that is reached from a parent by CNAME does not count.", q.ADN)
	}
	records := answer.TXT[:min(len(answer.TXT), MaxRecords)]
	if !slices.ContainsFunc(records, func(txt string) bool { return slices.Contains(q.Values, txt) }) {
		return notFound(evidence, "No matching TXT record at %s. Found: %d records.", q.ADN, len(answer.TXT))
	}
	finding := Finding{Found: true, Coverage: telamon.CoversTree, Evidence: evidence}
	if alias && own {
		// No CNAME step for wildcards, nor for names below (BR 3.2.2.4).
		finding.Coverage = telamon.CoversExact
	}
	return finding
}
