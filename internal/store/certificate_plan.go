package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
)

// A searchPlan is how a search is carried out: the index that it reads, from where to
// where, and what is left to look for in what that finds.
type searchPlan struct {
	*CertificateSearch
	order CertificateOrder
	lite  bool  // SQLite, which is told the index
	most  int64 // certificates that a page may look at

	by    string // what the rows are found by: "" for the order's time, "term", "serial"
	term  int64
	small bool // by finds so few certificates, which may be sorted

	from, until int64 // bounds of the order's time, from inclusive and until exclusive
	left        []condition
}

// A condition holds for a certificate c; its text has a %s for each argument.
type condition struct {
	text string
	args []any
}

// exact reports whether the index finds all that is asked for and nothing else, or so few
// that all may be looked at.
func (p *searchPlan) exact() bool { return p.small || len(p.left) == 0 }

func (p *searchPlan) descends() bool { return p.order != ByExpiry }

// column is the time that the order is by.
func (p *searchPlan) column() string {
	return map[CertificateOrder]string{ByAcceptance: "accepted_at", ByRevocation: "revoked_at", ByExpiry: "not_after", ByExpired: "not_after"}[p.order]
}

// index is the index over it.
func (p *searchPlan) index() string {
	return map[CertificateOrder]string{
		ByAcceptance: "certificate_by_acceptance", ByRevocation: "certificate_by_revocation",
		ByExpiry: "certificate_by_expiry", ByExpired: "certificate_by_expiry",
	}[p.order]
}

// planSearch chooses what finds the fewest certificates.
func (db *DB) planSearch(ctx context.Context, s *CertificateSearch) (*searchPlan, error) {
	p := &searchPlan{CertificateSearch: s, order: s.Order(), lite: db.engine == engineSQLite, most: db.searchBudget, from: math.MinInt64, until: math.MaxInt64}
	now := db.clock.Now()
	p.bounds(now)
	p.leave(now)
	terms := s.terms()
	low, high := serialBounds(s.Serial)
	if s.Serial != "" {
		p.left = append(p.left, condition{"c.serial >= %s AND c.serial < %s", []any{low, high}})
	}
	for i, term := range terms {
		n, err := db.countTerm(ctx, s.Pairs, term.value)
		if err != nil {
			return nil, err
		}
		if n <= p.most {
			p.findBy(terms, i)
			p.small = true
			return p, nil
		}
	}
	if s.Serial != "" {
		n, err := db.countSerials(ctx, low, high)
		if err != nil {
			return nil, err
		}
		if n <= p.most {
			p.findBy(terms, -1)
			p.by, p.small = "serial", true
			return p, nil
		}
		if p.order == ByAcceptance { // a serial number holds the hour of its signature
			p.from = max(p.from, telamon.Serial(low).Hour().Add(-time.Hour).UnixMilli())
			p.until = min(p.until, hourAfter(high).Add(time.Hour).UnixMilli())
		}
	}
	if p.order == ByAcceptance && len(terms) > 0 {
		p.findBy(terms, 0)
	} else {
		p.findBy(terms, -1)
	}
	return p, nil
}

// findBy makes the term at i what certificates are found by, and leaves the others to be
// looked for.
func (p *searchPlan) findBy(terms []searchedTerm, i int) {
	for j, term := range terms {
		if j == i {
			p.by, p.term = "term", term.value
		} else {
			p.left = append(p.left, term.condition)
		}
	}
}

// searchedTerm is a term that is asked for, and how it is looked for in a certificate.
type searchedTerm struct {
	value     int64
	condition condition
}

func (s *CertificateSearch) terms() (terms []searchedTerm) {
	if s.RekeyOf != nil {
		terms = append(terms, searchedTerm{termOf(termRekey, string(s.RekeyOf[:])), condition{"c.rekey_of = %s", []any{s.RekeyOf[:]}}})
	}
	if s.Key != nil {
		terms = append(terms, searchedTerm{termOf(termKey, string(s.Key[:])), condition{"c.spki_hash = %s", []any{s.Key[:]}}})
	}
	if s.Name != "" {
		term := searchTerm(s.Name)
		terms = append(terms, searchedTerm{term, condition{"EXISTS (SELECT 1 FROM certificate_term AS x WHERE x.pair_id = c.pair_id AND x.term = %s" +
			" AND x.accepted_at = c.accepted_at AND x.serial = c.serial)", []any{term}}})
	}
	if s.Credential != nil {
		terms = append(terms, searchedTerm{
			termOf(termCredential, s.Credential.String()), condition{"c.credential_id = %s", []any{s.Credential.String()}},
		})
	}
	return terms
}

// bounds sets those of the order's time.
func (p *searchPlan) bounds(now time.Time) {
	narrow := func(from, until time.Time) {
		if !from.IsZero() {
			p.from = max(p.from, from.UnixMilli())
		}
		if !until.IsZero() {
			p.until = min(p.until, until.UnixMilli())
		}
	}
	switch p.order {
	case ByAcceptance:
		narrow(p.IssuedFrom, p.IssuedUntil)
	case ByExpiry, ByExpired:
		narrow(p.ExpiresFrom, p.ExpiresUntil)
	}
	switch p.State {
	case StateExpired:
		narrow(time.Time{}, now)
	case StateExpiring:
		narrow(now, now.Add(p.Within))
	}
}

// leave leaves to be looked for what the order's time does not say.
func (p *searchPlan) leave(now time.Time) {
	between := func(column string, from, until time.Time) {
		if !from.IsZero() {
			p.left = append(p.left, condition{column + " >= %s", []any{from.UnixMilli()}})
		}
		if !until.IsZero() {
			p.left = append(p.left, condition{column + " < %s", []any{until.UnixMilli()}})
		}
	}
	if p.order != ByAcceptance {
		between("c.accepted_at", p.IssuedFrom, p.IssuedUntil)
	}
	if p.order != ByExpiry && p.order != ByExpired {
		between("c.not_after", p.ExpiresFrom, p.ExpiresUntil)
	}
	switch p.State {
	case StateGood:
		between("c.not_after", now, time.Time{})
		fallthrough
	case StateExpired, StateExpiring:
		p.left = append(p.left, condition{"c.revoked_at IS NULL", nil})
	}
}

// statement gathers the arguments of a statement.
type statement struct{ args []any }

// arg adds an argument and returns its place.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return fmt.Sprintf("$%d", len(s.args))
}

func (s *statement) condition(c condition) string {
	places := make([]any, len(c.args))
	for i, arg := range c.args {
		places[i] = s.arg(arg)
	}
	return fmt.Sprintf(c.text, places...)
}

const foundColumns = "c.serial AS serial, c.pair_id, c.credential_id, c.issuer_id, c.policy_version, c.crl_shard, c.spki_hash, c.not_before," +
	" c.not_after, c.accepted_at, c.rekey_of, c.status, c.updated_at, c.revoked_at, c.reason, c.compromised_at, c.attested"

// rows is the statement that reads a page.
func (p *searchPlan) rows(pairs []telamon.PairID, bound *CertificateCursor) (string, []any) {
	s := &statement{}
	text := p.union(s, pairs, ", "+foundColumns[len("c.serial AS serial, "):], bound, true)
	return text + " LIMIT " + s.arg(int64(p.Limit+1)), s.args
}

// bound is the statement that reads the last certificate which a page may look at.
func (p *searchPlan) bound(pairs []telamon.PairID) (string, []any) {
	s := &statement{}
	text := p.union(s, pairs, "", nil, false)
	return text + " LIMIT 1 OFFSET " + s.arg(p.most-1), s.args
}

// count is the statement that counts what a small plan finds.
func (p *searchPlan) count(pairs []telamon.PairID) (string, []any) {
	s, whole := &statement{}, *p
	search := *p.CertificateSearch
	search.After = nil
	whole.CertificateSearch = &search
	text := whole.union(s, pairs, "", nil, true)
	return "SELECT count(*) FROM (" + text + ") AS found", s.args
}

// union reads the pairs one beside the other, each by an index and in order, which both
// databases merge without reading further than is asked for.
func (p *searchPlan) union(s *statement, pairs []telamon.PairID, columns string, bound *CertificateCursor, all bool) string {
	var parts []string
	if p.by == "serial" {
		list := make([]string, len(pairs))
		for i, pair := range pairs {
			list[i] = s.arg(int64(pair))
		}
		// The plus keeps databases from reading all of the pairs by an index.
		parts = []string{p.part(s, "+c.pair_id IN ("+strings.Join(list, ", ")+")", columns, bound, all)}
	} else {
		// Few different statements are prepared: the number of parts is a power of two.
		n := 1 << bits.Len(uint(len(pairs)-1))
		for i := range n {
			pair := telamon.PairID(-1 - i) // none has such a number
			if i < len(pairs) {
				pair = pairs[i]
			}
			table := "c"
			if p.by == "term" {
				table = "t"
			}
			parts = append(parts, p.part(s, table+".pair_id = "+s.arg(int64(pair)), columns, bound, all))
		}
	}
	direction := ""
	if p.descends() {
		direction = " DESC"
	}
	return strings.Join(parts, " UNION ALL ") + " ORDER BY o" + direction + ", serial" + direction
}

// part reads one pair.
func (p *searchPlan) part(s *statement, pair, columns string, bound *CertificateCursor, all bool) string {
	table, time := "c", p.column()
	if p.by == "term" && p.order == ByAcceptance {
		table = "t"
	}
	o := table + "." + time
	text := "SELECT " + o + " AS o, " + table + ".serial AS serial" + columns + " FROM " + p.tables(columns != "" || all && len(p.left) > 0 || p.by != "term" || table != "t")
	where := []string{pair}
	if p.by == "term" {
		where = append(where, "t.term = "+s.arg(p.term))
	}
	after, before := " > ", " < "
	if p.descends() {
		after, before = before, after
	}
	from, until := p.span(bound)
	if from != math.MinInt64 {
		where = append(where, o+" >= "+s.arg(from))
	}
	if until != math.MaxInt64 {
		where = append(where, o+" < "+s.arg(until))
	}
	if p.order == ByRevocation {
		where = append(where, "c.revoked_at IS NOT NULL")
	}
	if at := p.After; at != nil {
		where = append(where, "("+o+", "+table+".serial)"+after+"("+s.arg(at.At)+", "+s.arg(at.Serial[:])+")")
	}
	if bound != nil {
		where = append(where, "("+o+", "+table+".serial)"+before[:2]+"= ("+s.arg(bound.At)+", "+s.arg(bound.Serial[:])+")")
	}
	if all {
		for _, c := range p.left {
			where = append(where, s.condition(c))
		}
	}
	return text + " WHERE " + strings.Join(where, " AND ")
}

// span is the span of the order's time that is read: from the place after which the page
// begins to the bound. SQLite reads an index by one condition at each end, and would not
// take the places for them.
func (p *searchPlan) span(bound *CertificateCursor) (from, until int64) {
	from, until = p.from, p.until
	first, last := p.After, bound
	if p.descends() {
		first, last = bound, p.After
	}
	if first != nil {
		from = max(from, first.At)
	}
	if last != nil {
		until = min(until, last.At+1)
	}
	return from, until
}

// tables is what a part reads. SQLite is told the index and the order of a join: it does
// not know how large the tables are.
func (p *searchPlan) tables(facts bool) string {
	join, indexed := "JOIN", ""
	if p.lite {
		join, indexed = "CROSS JOIN", " INDEXED BY "+p.index()
	}
	switch {
	case p.by == "serial":
		return "certificate AS c"
	case p.by == "":
		return "certificate AS c" + indexed
	case !facts:
		return "certificate_term AS t"
	}
	on := " ON c.serial = t.serial"
	return "certificate_term AS t " + join + " certificate AS c" + on
}

// countTerm counts the certificates of a term, up to one more than a page may look at.
func (db *DB) countTerm(ctx context.Context, pairs []telamon.PairID, term int64) (n int64, err error) {
	for chunk := range slices.Chunk(pairs, pairsAtOnce) {
		s := &statement{}
		list := make([]string, 1<<bits.Len(uint(len(chunk)-1)))
		for i := range list {
			pair := int64(-1)
			if i < len(chunk) {
				pair = int64(chunk[i])
			}
			list[i] = s.arg(pair)
		}
		text := "SELECT count(*) FROM (SELECT 1 FROM certificate_term WHERE pair_id IN (" + strings.Join(list, ", ") + ") AND term = " +
			s.arg(term) + " LIMIT " + s.arg(db.searchBudget+1) + ") AS counted"
		var part int64
		if err := db.reader.QueryRowContext(ctx, text, s.args...).Scan(&part); err != nil {
			return 0, fmt.Errorf("count a term: %w", err)
		}
		n += part
	}
	return n, nil
}

// countSerials counts the serial numbers between the bounds, up to one more than
// a page may look at.
func (db *DB) countSerials(ctx context.Context, low, high []byte) (n int64, err error) {
	err = db.reader.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM certificate WHERE serial >= $1 AND serial < $2 LIMIT $3) AS counted",
		low, high, db.searchBudget+1).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count serial numbers: %w", err)
	}
	return n, nil
}

// serialBounds returns the bounds, low inclusive and high exclusive, of the serial numbers
// that begin with the digits.
func serialBounds(digits string) (low, high []byte) {
	const length = 2 * len(telamon.Serial{})
	low, _ = hex.DecodeString(digits + strings.Repeat("0", max(length-len(digits), 0)))
	last, _ := hex.DecodeString(digits + strings.Repeat("F", max(length-len(digits), 0)))
	return low, append(last, 0) // the octets right after last
}

// hourAfter returns the end of the hour that a bound of serialBounds is in.
func hourAfter(high []byte) time.Time {
	return telamon.Serial(high[:len(telamon.Serial{})]).Hour().Add(time.Hour)
}
