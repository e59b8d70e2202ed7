package dcv

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// standingRecord is BR 3.2.2.4.22: a TXT record below the authorization domain name
// that names the issuer and the account, and that stands for renewals. The name of a
// CNAME's target never takes the place of the authorization domain name; following
// CNAMEs of the record's own name is ordinary resolution.
type standingRecord struct{ *Engine }

func (m standingRecord) validate(ctx context.Context, q Question) Finding {
	name := persistLabel + "." + q.ADN
	answer, err := m.cfg.Resolver.Lookup(ctx, name, resolver.TypeTXT)
	if err != nil {
		return notFound(telamon.Evidence{}, "%s", lookupProblem(name, err))
	}
	evidence := telamon.Evidence{Through: answer.Chain, Records: len(answer.TXT), DNSSEC: m.dnssec(answer)}
	problem := fmt.Sprintf("No matching TXT record at %s. Found: %d records.", name, len(answer.TXT))
	for _, txt := range answer.TXT[:min(len(answer.TXT), MaxRecords)] {
		record, ok := parseStanding(txt)
		if !ok || !slices.ContainsFunc(q.Issuers, func(issuer string) bool { return strings.EqualFold(issuer, record.issuer) }) {
			continue
		}
		switch {
		case q.AccountURI == "" || record.accountURI != q.AccountURI:
			problem = fmt.Sprintf("The TXT record at %s names another account.", name)
		case record.until != nil && !m.cfg.Clock.Now().Before(*record.until):
			problem = fmt.Sprintf("The TXT record at %s has expired.", name)
		default:
			evidence.Until = record.until
			return Finding{Found: true, Coverage: telamon.CoversTree, Evidence: evidence}
		}
	}
	return notFound(evidence, "%s", problem)
}

// endOfTime is the last second that a date can name (RFC 5280, Section 4.1.2.5). A
// record that stands longer stands until then.
var endOfTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// standing is what a standing record says.
type standing struct {
	issuer     string
	accountURI string
	until      *time.Time
}

// parseStanding reads an issuer domain name and parameters in the grammar of CAA's
// issue property (RFC 8659, Section 4.2). Unknown parameters are ignored. A record
// that says a known one twice, or wrongly, does not count.
func parseStanding(text string) (standing, bool) {
	value, ok := parseIssueValue(text)
	if !ok || value.issuer == "" {
		return standing{}, false
	}
	record := standing{issuer: value.issuer}
	seen := map[string]bool{}
	for _, p := range value.parameters {
		tag := strings.ToLower(p.tag)
		if tag != "accounturi" && tag != "persistuntil" {
			continue
		}
		if seen[tag] {
			return standing{}, false
		}
		seen[tag] = true
		if tag == "accounturi" {
			record.accountURI = p.value
			continue
		}
		seconds, err := strconv.ParseUint(p.value, 10, 63)
		if err != nil {
			return standing{}, false
		}
		until := time.Unix(min(int64(seconds), endOfTime.Unix()), 0).UTC()
		record.until = &until
	}
	return record, true
}
