package digicertone

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
)

// maxFilterText is the longest text to look for, in characters: that of the longest name.
const maxFilterText = 255

// query returns the parameters of the query. It reports Malformed for a query that
// cannot be read.
func (c *call) query() (url.Values, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("query", "cannot be read")
	}
	return values, nil
}

// parameter returns one parameter of the query, "" if it is absent. It reports Malformed
// if it is given twice.
func parameter(query url.Values, name string) (string, error) {
	values := query[name]
	if len(values) > 1 {
		return "", badRequest(name, "is given twice")
	}
	return query.Get(name), nil
}

// userParameter returns the user whom a parameter names, empty if it is absent. It reports
// Malformed.
func userParameter(query url.Values) (telamon.UserID, error) {
	text, err := parameter(query, "user_id")
	if err != nil || text == "" {
		return "", err
	}
	return memberID("user_id", text, telamon.UserIDFromBytes)
}

// parameters reads parameters of a query and keeps the first error.
type parameters struct {
	query url.Values
	err   error
}

func (p *parameters) note(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parameters) get(name string) string {
	value, err := parameter(p.query, name)
	p.note(err)
	return value
}

// text reads a text to look for.
func (p *parameters) text(name string) string {
	value := p.get(name)
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		p.note(badRequest(name, "holds characters that no text here has"))
	}
	if utf8.RuneCountInString(value) > maxFilterText {
		p.note(badRequest(name, "is too long"))
	}
	return value
}

// oneOf reads one of the values of a list, in lower case, or "" if there is none.
func (p *parameters) oneOf(name string, list []string) string {
	value := p.get(name)
	if value == "" {
		return ""
	}
	return p.known(name, value, list)
}

// known returns a value of a list in its spelling there, without regard to case.
func (p *parameters) known(name, value string, list []string) string {
	i := slices.IndexFunc(list, func(known string) bool { return strings.EqualFold(known, value) })
	if i < 0 {
		p.note(badRequest(name, "has to be one of "+strings.Join(list, ", ")))
		return ""
	}
	return list[i]
}

// day reads the first instant of a day in UTC, zero if there is none.
func (p *parameters) day(name string) time.Time {
	value := p.get(name)
	if value == "" {
		return time.Time{}
	}
	day, err := time.Parse(dayLayout, value)
	if err != nil || day.IsZero() {
		p.note(badRequest(name, "has to be a day such as 2026-12-31"))
	}
	return day
}
