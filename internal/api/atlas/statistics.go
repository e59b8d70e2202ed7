package atlas

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

const (
	maxPerPage = 100 // and the default
	maxWindow  = 30 * 24 * time.Hour
	// recent is how far back a list of what happened looks if it is not told.
	recent = 10 * time.Minute
)

// statPaths are the routes of the listings.
var statPaths = map[store.Listing]string{
	store.Issued: "/stats/issued", store.Revoked: "/stats/revoked", store.Expiring: "/stats/expiring",
}

// statistic is one element of the answer to GET /stats/….
type statistic struct {
	SerialNumber string `json:"serial_number"`
	NotBefore    int64  `json:"not_before"`
	NotAfter     int64  `json:"not_after"`
}

// statistics returns what serves one listing.
func (a *API) statistics(l store.Listing) func(*call) error {
	return func(c *call) error {
		q, err := parseStatsQuery(c.r.URL.RawQuery, l, a.clock.Now())
		if err != nil {
			return err
		}
		rows, total, err := a.ra.List(c.r.Context(), c.actor, l, time.Unix(q.from, 0).UTC(), time.Unix(q.to, 0).UTC(), q.page, q.perPage)
		if err != nil {
			return err
		}
		body := make([]statistic, len(rows)) // never null
		for i, row := range rows {
			body[i] = statistic{row.Serial.String(), row.NotBefore.Unix(), row.NotAfter.Unix()}
		}
		c.w.Header().Set("Total-Count", strconv.FormatInt(total, 10))
		c.w.Header().Set("Links", q.links(statPaths[l], total))
		return writeJSON(c.w, body)
	}
}

// statsQuery is a listing's query with all defaults filled in.
type statsQuery struct {
	page, perPage int64
	from, to      int64 // Unix seconds, both inclusive
	values        url.Values
}

// parseStatsQuery reads a query string. It reports Malformed if it is none, and
// Invalid if a number is none or the window is turned round or too long.
func parseStatsQuery(raw string, l store.Listing, now time.Time) (*statsQuery, error) {
	q, values, err := parsePage(raw)
	if err != nil {
		return nil, err
	}
	return q, q.window(values, l, now)
}

// parsePage reads a query string and the page that it asks for.
func parsePage(raw string) (*statsQuery, url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, nil, malformed([]fault.Field{{Path: "query", Problem: "cannot be read"}})
	}
	q := &statsQuery{values: url.Values{}}
	if q.page, err = q.number(values, "page", 1); err != nil {
		return nil, nil, err
	}
	if q.perPage, err = q.number(values, "per_page", maxPerPage); err != nil {
		return nil, nil, err
	}
	q.page = max(q.page, 1) // hvclient sends 0 for what its caller left out
	if q.perPage < 1 || q.perPage > maxPerPage {
		q.perPage = maxPerPage
	}
	if q.values.Has("per_page") {
		q.values.Set("per_page", strconv.FormatInt(q.perPage, 10))
	}
	return q, values, nil
}

// claimStatuses are the words of the API for the states of claims.
var claimStatuses = map[string]telamon.ClaimStatus{"PENDING": telamon.ClaimPending, "VERIFIED": telamon.ClaimVerified}

// parseClaimsQuery reads the query string of a list of claims of a kind. It reports
// Malformed if it is none, and Invalid if a member of it cannot stand. A pattern of
// names is for domains alone, and is not judged here.
func parseClaimsQuery(raw string, kind telamon.ClaimKind) (*ra.ClaimListing, *statsQuery, error) {
	q, values, err := parsePage(raw)
	if err != nil {
		return nil, nil, err
	}
	l := &ra.ClaimListing{Kind: kind, Page: q.page, PerPage: q.perPage}
	if word := strings.ToUpper(values.Get("status")); word != "" {
		var known bool
		if l.Status, known = claimStatuses[word]; !known {
			return nil, nil, invalid("status", "is invalid")
		}
		q.values.Set("status", word)
	}
	if pattern := strings.ToLower(values.Get("domain")); pattern != "" && kind == telamon.ClaimDomain {
		l.Pattern = pattern
		q.values.Set("domain", pattern)
	}
	if l.From, err = q.bound(values, "from"); err != nil {
		return nil, nil, err
	}
	if l.To, err = q.bound(values, "to"); err != nil {
		return nil, nil, err
	}
	if !l.From.IsZero() && !l.To.IsZero() && l.From.After(l.To) {
		return nil, nil, invalid("from", "is after to")
	}
	return l, q, nil
}

// bound returns a parameter as a time, zero if it is absent.
func (q *statsQuery) bound(values url.Values, name string) (time.Time, error) {
	seconds, err := q.time(values, name)
	if err != nil || values.Get(name) == "" {
		return time.Time{}, err
	}
	return time.Unix(max(seconds, minUnix+1), 0).UTC(), nil // the first second is the zero time
}

// number returns a parameter as a number and keeps it for the links. One that is
// too large for 64 bits is the largest that is not.
func (q *statsQuery) number(values url.Values, name string, absent int64) (int64, error) {
	text := values.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, invalid(name, "is invalid")
	}
	q.values.Set(name, text)
	return n, nil
}

// window sets the bounds. The effective ones go into the links, so that a default
// does not move on from one page to the next.
func (q *statsQuery) window(values url.Values, l store.Listing, now time.Time) error {
	fromGiven, toGiven := values.Get("from") != "", values.Get("to") != ""
	var err error
	if q.from, err = q.time(values, "from"); err != nil {
		return err
	}
	if q.to, err = q.time(values, "to"); err != nil {
		return err
	}
	month, recently := int64(maxWindow.Seconds()), int64(recent.Seconds())
	switch {
	case !toGiven && l == store.Expiring && fromGiven:
		q.to = q.from + month
	case !toGiven && l == store.Expiring:
		q.from, q.to = now.Unix(), now.Unix()+month
	case !toGiven:
		q.to = now.Unix()
		if !fromGiven {
			q.from = q.to - recently
		}
	case !fromGiven && l == store.Expiring:
		q.from = now.Unix()
	case !fromGiven:
		q.from = q.to - recently
	}
	q.values.Set("from", strconv.FormatInt(q.from, 10))
	q.values.Set("to", strconv.FormatInt(q.to, 10))
	if q.from > q.to {
		return invalid("from", "is after to")
	}
	if q.to-q.from > month {
		return invalid("to", fmt.Sprintf("is more than %d seconds after from", month))
	}
	return nil
}

// time returns a parameter as Unix seconds of a year that has four digits.
func (q *statsQuery) time(values url.Values, name string) (int64, error) {
	n, err := q.number(values, name, 0)
	if err != nil {
		return 0, err
	}
	if n < minUnix || n > maxUnix {
		return 0, invalid(name, "is invalid")
	}
	return n, nil
}

// links returns the header Links. The word "next" is in it if and only if there is a
// following page, because there is a client that looks for no more than that word:
// where the client itself wrote it, a letter of it is percent-encoded.
func (q *statsQuery) links(path string, total int64) string {
	last := max(1, (total-1)/q.perPage+1)
	var links []string
	add := func(page int64, rel string) {
		q.values.Set("page", strconv.FormatInt(page, 10))
		query := strings.ReplaceAll(q.values.Encode(), "next", "%6Eext")
		links = append(links, fmt.Sprintf("<%s%s?%s>; rel=%q", base, path, query, rel))
	}
	if q.page > 1 {
		add(min(q.page-1, last), "previous")
	}
	if q.page < last {
		add(q.page+1, "next")
	}
	add(last, "last")
	return strings.Join(links, ", ")
}
