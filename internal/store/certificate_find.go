package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// maxSearched is how many certificates one page of a search looks at, if there is no
// index for all that is asked for.
const maxSearched = 2_500

// A CertificateState is what a certificate is now: revoked, or expired, or good.
type CertificateState string

// The states that a search asks for. Expiring ones are good.
const (
	StateGood     CertificateState = "issued"
	StateRevoked  CertificateState = "revoked"
	StateExpired  CertificateState = "expired"
	StateExpiring CertificateState = "expiring"
)

// A CertificateSearch says which certificates of an account to list: those for which all
// of it holds. Zero members are not asked for. Times are inclusive at the start and
// exclusive at the end.
type CertificateSearch struct {
	Pairs  []telamon.PairID // of one account; no others are found
	State  CertificateState
	Within time.Duration // that expiring ones end in

	Credential       *telamon.CredentialID // empty: requested in the portal
	Name             string                // one of its names, or "*.example.com" for all below a domain
	Serial           string                // how its serial number begins, in upper-case hexadecimal digits
	Key              *[32]byte             // SHA-256 of its SubjectPublicKeyInfo
	RekeyOf          *telamon.Serial
	IssuedFrom       time.Time // when the request was accepted
	IssuedUntil      time.Time
	ExpiresFrom      time.Time
	ExpiresUntil     time.Time
	After            *CertificateCursor // nil: from the start
	Limit            int
	CountsAll, Whole bool // see FindCertificates
}

// A CertificateOrder is the time that a search lists by.
type CertificateOrder string

// The orders. Serial numbers follow in the same direction.
const (
	ByAcceptance CertificateOrder = "issued"  // the newest first
	ByRevocation CertificateOrder = "revoked" // the newest first
	ByExpiry     CertificateOrder = "expiry"  // what ends first first
	ByExpired    CertificateOrder = "expired" // what ended last first
)

// Order returns the order of what the search finds.
func (s *CertificateSearch) Order() CertificateOrder {
	switch {
	case s.State == StateRevoked:
		return ByRevocation
	case s.State == StateExpired:
		return ByExpired
	case s.State == StateExpiring, !s.ExpiresFrom.IsZero(), !s.ExpiresUntil.IsZero():
		return ByExpiry
	}
	return ByAcceptance
}

// A CertificateCursor is a place in what a search finds.
type CertificateCursor struct {
	At     int64 // Unix milliseconds of the order's time
	Serial telamon.Serial
}

// FoundCertificates is a page of what a search finds.
type FoundCertificates struct {
	Rows []telamon.Certificate
	// Next is where the search goes on; nil if nothing is left.
	Next *CertificateCursor
	// Full says that the page is. Otherwise, if there is a Next, the search ended because it
	// had looked at so many certificates, and it may find more from there on.
	Full bool
	// Total is how many it finds in all, if CountsAll asked for it and that is known
	// without counting much; -1 otherwise.
	Total int64
}

// FindCertificates returns a page of what a search finds.
//
// The cost of a page does not grow with the number of certificates. What is found by an
// index is read from there in order: the times, the pairs, revocation, and each term
// alone. If more is asked for, a page looks at 2,500 certificates at most, unless
// Whole says that it is to be filled whatever that costs.
func (db *DB) FindCertificates(ctx context.Context, s CertificateSearch) (*FoundCertificates, error) {
	if s.Limit < 1 || int64(s.Limit) >= db.searchBudget {
		return nil, fmt.Errorf("find certificates: a page of %d", s.Limit)
	}
	if len(s.Pairs) == 0 {
		return &FoundCertificates{}, nil
	}
	found, err := db.findCertificates(ctx, &s)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("find certificates: %w", err))
	}
	return found, nil
}

func (db *DB) findCertificates(ctx context.Context, s *CertificateSearch) (*FoundCertificates, error) {
	plan, err := db.planSearch(ctx, s)
	if err != nil {
		return nil, err
	}
	found := &FoundCertificates{Total: -1}
	if s.CountsAll {
		if found.Total, err = db.countFound(ctx, plan); err != nil {
			return nil, err
		}
	}
	var bound *CertificateCursor
	if !plan.exact() && !s.Whole {
		if bound, err = db.searchBound(ctx, plan); err != nil {
			return nil, err
		}
	}
	rows, err := db.foundRows(ctx, plan, bound)
	if err != nil {
		return nil, err
	}
	switch {
	case len(rows) > s.Limit:
		rows, found.Full = rows[:s.Limit], true
		found.Next = &rows[s.Limit-1].CertificateCursor
	case bound != nil:
		found.Next = bound
	}
	for _, r := range rows {
		found.Rows = append(found.Rows, r.cert)
	}
	return found, nil
}

// foundRow is a certificate with its place.
type foundRow struct {
	CertificateCursor
	cert telamon.Certificate
}

// compare orders rows as the plan lists them.
func (p *searchPlan) compare(a, b CertificateCursor) int {
	c := a.At - b.At
	if c == 0 {
		c = int64(slices.Compare(a.Serial[:], b.Serial[:]))
	}
	if p.descends() {
		c = -c
	}
	return int(max(min(c, 1), -1))
}

// pairsAtOnce is how many pairs one statement reads: SQLite joins 500 parts at most.
const pairsAtOnce = 256

// foundRows reads up to one certificate more than a page has, not beyond the bound.
func (db *DB) foundRows(ctx context.Context, p *searchPlan, bound *CertificateCursor) ([]foundRow, error) {
	var all []foundRow
	for pairs := range slices.Chunk(p.Pairs, pairsAtOnce) {
		text, args := p.rows(pairs, bound)
		rows, err := db.readFound(ctx, text, args)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(a, b foundRow) int { return p.compare(a.CertificateCursor, b.CertificateCursor) })
	return all[:min(len(all), p.Limit+1)], nil
}

func (db *DB) readFound(ctx context.Context, text string, args []any) ([]foundRow, error) {
	rows, err := db.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []foundRow
	for rows.Next() {
		var c queries.Certificate
		var f foundRow
		err := rows.Scan(&f.At, &c.Serial, &c.PairID, &c.CredentialID, &c.IssuerID, &c.PolicyVersion, &c.CrlShard, &c.SpkiHash, &c.NotBefore,
			&c.NotAfter, &c.AcceptedAt, &c.RekeyOf, &c.Status, &c.UpdatedAt, &c.RevokedAt, &c.Reason, &c.CompromisedAt, &c.Attested)
		if err != nil {
			return nil, err
		}
		f.cert = *certificateOf(c)
		f.Serial = f.cert.Serial
		all = append(all, f)
	}
	return all, rows.Err()
}

// searchBound returns the last certificate that a page may look at, nil if there are
// fewer.
func (db *DB) searchBound(ctx context.Context, p *searchPlan) (bound *CertificateCursor, err error) {
	for pairs := range slices.Chunk(p.Pairs, pairsAtOnce) {
		text, args := p.bound(pairs)
		rows, err := db.readCursors(ctx, text, args)
		if err != nil {
			return nil, err
		}
		for _, at := range rows {
			if bound == nil || p.compare(at, *bound) < 0 {
				bound = &at
			}
		}
	}
	return bound, nil
}

func (db *DB) readCursors(ctx context.Context, text string, args []any) ([]CertificateCursor, error) {
	rows, err := db.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []CertificateCursor
	for rows.Next() {
		var at int64
		var serial []byte
		if err := rows.Scan(&at, &serial); err != nil {
			return nil, err
		}
		if len(serial) != len(telamon.Serial{}) {
			return nil, errors.New("a serial number has not 16 octets")
		}
		all = append(all, CertificateCursor{at, telamon.Serial(serial)})
	}
	return all, rows.Err()
}

// countedPairs is of how many pairs countFound sums the hours.
const countedPairs = 8

// countFound returns how many certificates a search finds, -1 if that would be dear.
func (db *DB) countFound(ctx context.Context, p *searchPlan) (int64, error) {
	switch {
	case p.small:
		var total int64
		for pairs := range slices.Chunk(p.Pairs, pairsAtOnce) {
			text, args := p.count(pairs)
			var n int64
			if err := db.reader.QueryRowContext(ctx, text, args...).Scan(&n); err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	case !p.exact() || p.by != "" || len(p.Pairs) > countedPairs || p.from != math.MinInt64 || p.until != math.MaxInt64:
		return -1, nil
	}
	kind := map[CertificateOrder]countKind{ByAcceptance: countIssued, ByRevocation: countRevoked}[p.order]
	if kind == "" {
		return -1, nil
	}
	var total int64
	for _, pair := range p.Pairs {
		n, err := db.queries().SumOfHours(ctx, queries.SumOfHoursParams{PairID: int64(pair), Kind: string(kind)})
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// CertificateDERs returns the bytes of certificates by their serial numbers, as far as
// they are kept.
func (db *DB) CertificateDERs(ctx context.Context, certs []telamon.Certificate) (map[telamon.Serial][]byte, error) {
	ders := make(map[telamon.Serial][]byte, len(certs))
	for chunk := range slices.Chunk(certs, listChunk) {
		s := &statement{}
		list := make([]string, listChunk) // one statement for all
		for i := range list {
			list[i] = s.arg(chunk[min(i, len(chunk)-1)].Serial[:])
		}
		rows, err := db.reader.QueryContext(ctx, "SELECT c.serial, d.der FROM certificate AS c JOIN certificate_der AS d"+
			" ON d.serial = c.serial AND d.not_after = c.not_after WHERE c.serial IN ("+strings.Join(list, ", ")+")", s.args...)
		if err == nil {
			err = addDERs(ders, rows)
		}
		if err != nil {
			return nil, db.judge(ctx, fmt.Errorf("read bytes of certificates: %w", err))
		}
	}
	return ders, nil
}

// addDERs reads and closes the rows.
func addDERs(ders map[telamon.Serial][]byte, rows *sql.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var serial, der []byte
		if err := rows.Scan(&serial, &der); err != nil {
			return err
		}
		ders[telamon.Serial(serial)] = der
	}
	return rows.Err()
}
