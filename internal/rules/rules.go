// Package rules holds the dated rules that public certification authorities follow:
// how long certificates and validations are good, how many perspectives are needed,
// when methods end. They are data, read and checked once; the code that applies them
// asks for the rule of an instant.
//
// It does no I/O and knows neither certificates nor claims. It trusts its data to say
// what the rules are, and refuses data that leaves a gap or contradicts itself.
package rules

import (
	"bytes"
	_ "embed" // the data
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed rules.yaml
var builtIn []byte

// Day is the day of the Baseline Requirements (BR 1.6.1).
const Day = 24 * time.Hour

// A Table is a set of rules. It is immutable.
type Table struct {
	maxValidity, domainReuse, identityReuse series
	minRemotes                              series
	mayDisagree                             []disagreeRow
	minRegions                              int
	emailEnd, phoneEnd, clientAuthEnd       time.Time
	rfc8657From                             time.Time
	tokenLife, persistReuse, caaValid       time.Duration
	retention                               time.Duration
	deadlines                               []datedDeadline
}

// series are values, each of which holds from an instant until that of the next one.
type series []step

type step struct {
	from  time.Time
	value int
}

// at returns the value that holds at t. What is earlier than the first step has the
// value of the first: the data goes back further than any clock that is right.
func (s series) at(t time.Time) int {
	value := s[0].value
	for _, step := range s {
		if step.from.After(t) {
			break
		}
		value = step.value
	}
	return value
}

type (
	daysRow struct {
		From string `yaml:"from"`
		Days int    `yaml:"days"`
	}
	countRow struct {
		From string `yaml:"from"`
		N    int    `yaml:"n"`
	}
	disagreeRow struct {
		Remotes int `yaml:"remotes"`
		N       int `yaml:"n"`
	}
	file struct {
		MaxValidityDays  []daysRow     `yaml:"max_validity_days"`
		DomainReuseDays  []daysRow     `yaml:"domain_reuse_days"`
		IdentityReuse    []daysRow     `yaml:"identity_reuse_days"`
		PersistReuseDays int           `yaml:"persistent_txt_reuse_days"`
		MinRemotes       []countRow    `yaml:"mpic_min_remotes"`
		MayDisagree      []disagreeRow `yaml:"mpic_may_disagree"`
		MinRegions       int           `yaml:"mpic_min_regions"`
		EmailUntil       string        `yaml:"email_methods_until"`
		PhoneUntil       string        `yaml:"phone_methods_until"`
		RFC8657From      string        `yaml:"rfc8657_must_from"`
		ClientAuthUntil  string        `yaml:"clientauth_in_tls_leaf_until"`
		TokenDays        int           `yaml:"token_lifetime_days"`
		RetentionDays    int           `yaml:"retention_days"`
		CAAValidHours    int           `yaml:"caa_valid_hours"`
		Deadlines        []deadlineRow `yaml:"revocation_deadlines"`
	}
)

// Default returns the rules that the program was built with.
func Default() *Table {
	t, err := Parse(builtIn)
	if err != nil {
		panic(err) // a test parses them
	}
	return t
}

// Parse reads rules from YAML. An unknown key, a missing one, and rows that are not
// in the order of their days are errors that name the key.
func Parse(text []byte) (t *Table, err error) {
	defer func() {
		if r := recover(); r != nil { // a file must not end the program by confusing the decoder
			t, err = nil, fmt.Errorf("read rules: the text confuses the decoder: %v", r)
		}
	}()
	var f file
	decoder := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	if err := decoder.Decode(&file{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("read rules: there is a second document")
	}
	return f.table()
}

// reader turns the texts of a file into values and keeps what is wrong with them.
type reader struct{ problems []error }

func (r *reader) problem(key, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
}

func (f *file) table() (*Table, error) {
	r := &reader{}
	t := &Table{
		maxValidity: r.days("max_validity_days", f.MaxValidityDays), domainReuse: r.days("domain_reuse_days", f.DomainReuseDays),
		identityReuse: r.days("identity_reuse_days", f.IdentityReuse), minRemotes: r.counts("mpic_min_remotes", f.MinRemotes),
		mayDisagree: r.disagree("mpic_may_disagree", f.MayDisagree),
		minRegions:  r.positive("mpic_min_regions", f.MinRegions),
		emailEnd:    r.after("email_methods_until", f.EmailUntil), phoneEnd: r.after("phone_methods_until", f.PhoneUntil),
		clientAuthEnd: r.after("clientauth_in_tls_leaf_until", f.ClientAuthUntil),
		rfc8657From:   r.date("rfc8657_must_from", f.RFC8657From),
		tokenLife:     time.Duration(r.positive("token_lifetime_days", f.TokenDays)) * Day,
		persistReuse:  time.Duration(r.positive("persistent_txt_reuse_days", f.PersistReuseDays)) * Day,
		retention:     time.Duration(r.positive("retention_days", f.RetentionDays)) * Day,
		deadlines:     r.deadlines("revocation_deadlines", f.Deadlines),
		caaValid:      time.Duration(r.positive("caa_valid_hours", f.CAAValidHours)) * time.Hour,
	}
	if err := errors.Join(r.problems...); err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return t, nil
}

// maxDays bounds every number of days: a longer time is a mistake, and durations
// must not overflow.
const maxDays = 36500

func (r *reader) positive(key string, n int) int {
	if n < 1 || n > maxDays {
		r.problem(key, "must be from 1 to %d", maxDays)
		return 1
	}
	return n
}

func (r *reader) date(key, text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		r.problem(key, "%q is not a date such as 2026-03-15", text)
	}
	return t
}

// after reads the last day of something and returns the first instant after it.
func (r *reader) after(key, text string) time.Time { return r.date(key, text).AddDate(0, 0, 1) }

func (r *reader) days(key string, rows []daysRow) series {
	s := make(series, len(rows))
	for i, row := range rows {
		s[i] = step{r.date(key, row.From), r.positive(key, row.Days)}
	}
	return r.ordered(key, s)
}

func (r *reader) counts(key string, rows []countRow) series {
	s := make(series, len(rows))
	for i, row := range rows {
		s[i] = step{r.date(key, row.From), r.positive(key, row.N)}
	}
	return r.ordered(key, s)
}

func (r *reader) ordered(key string, s series) series {
	if len(s) == 0 {
		r.problem(key, "has no rows")
	}
	for i := 1; i < len(s); i++ {
		if !s[i].from.After(s[i-1].from) {
			r.problem(key, "row %d does not start after row %d", i+1, i)
		}
	}
	return s
}

func (r *reader) disagree(key string, rows []disagreeRow) []disagreeRow {
	if len(rows) == 0 {
		r.problem(key, "has no rows")
	}
	for i, row := range rows {
		if row.Remotes < 1 || row.N < 0 || row.N >= row.Remotes {
			r.problem(key, "row %d: of %d remotes %d cannot disagree", i+1, row.Remotes, row.N)
		}
		if i > 0 && row.Remotes <= rows[i-1].Remotes {
			r.problem(key, "row %d does not start after row %d", i+1, i)
		}
	}
	return rows
}

// MaxValidity is the longest validity of a certificate that is issued at the instant,
// both ends counted (RFC 5280, Section 4.1.2.5).
func (t *Table) MaxValidity(at time.Time) time.Duration {
	return time.Duration(t.maxValidity.at(at)) * Day
}

// DomainReuse is how old a validation of a domain or address may be that is relied on
// at the instant.
func (t *Table) DomainReuse(at time.Time) time.Duration {
	return time.Duration(t.domainReuse.at(at)) * Day
}

// IdentityReuse is how old the vetting of an identity may be that is relied on at the
// instant.
func (t *Table) IdentityReuse(at time.Time) time.Duration {
	return time.Duration(t.identityReuse.at(at)) * Day
}

// ReuseEnd is the first instant at which a validation of a domain or address may no
// longer be relied on, judged at each instant by the rule of that instant: a rule that
// becomes shorter ends earlier validations too.
func (t *Table) ReuseEnd(validated time.Time) time.Time {
	for i, s := range t.domainReuse {
		end := validated.Add(time.Duration(s.value) * Day)
		if i == len(t.domainReuse)-1 {
			return latest(end, s.from)
		}
		next := t.domainReuse[i+1].from
		if !next.After(validated) {
			continue // this row ended before the validation
		}
		if end.Before(next) {
			return latest(end, s.from)
		}
	}
	return validated // not reached: a table has rows
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// MinRemotes is how many remote network perspectives must be asked at the instant.
func (t *Table) MinRemotes(at time.Time) int { return t.minRemotes.at(at) }

// MayDisagree is how many of so many remote perspectives may disagree.
func (t *Table) MayDisagree(remotes int) int {
	n := 0
	for _, row := range t.mayDisagree {
		if row.Remotes <= remotes {
			n = row.N
		}
	}
	return n
}

// MinRegions is in how many regions of Internet registries the agreeing perspectives
// must lie.
func (t *Table) MinRegions() int { return t.minRegions }

// EmailMethodsEnd is the first instant at which validation by e-mail may neither be
// made nor relied on.
func (t *Table) EmailMethodsEnd() time.Time { return t.emailEnd }

// PhoneMethodsEnd is the same for validation by telephone.
func (t *Table) PhoneMethodsEnd() time.Time { return t.phoneEnd }

// ClientAuthEnd is the first instant at which no TLS certificate may carry clientAuth.
func (t *Table) ClientAuthEnd() time.Time { return t.clientAuthEnd }

// RFC8657From is when the CAA parameters accounturi and validationmethods must be
// processed.
func (t *Table) RFC8657From() time.Time { return t.rfc8657From }

// TokenLife is how long a token can be used.
func (t *Table) TokenLife() time.Duration { return t.tokenLife }

// PersistReuse is how old a validation by a standing TXT record may be.
func (t *Table) PersistReuse() time.Duration { return t.persistReuse }

// CAAValid is how long CAA records may be relied on if their TTL is shorter.
func (t *Table) CAAValid() time.Duration { return t.caaValid }

// Retention is how long records are kept: those of a certificate after its expiry, those
// of an event after it.
func (t *Table) Retention() time.Duration { return t.retention }

// LongestReuse is the longest time for which the validation of a name or the vetting of
// an identity could ever be relied on.
func (t *Table) LongestReuse() time.Duration {
	longest := 0
	for _, s := range append(append(series(nil), t.domainReuse...), t.identityReuse...) {
		longest = max(longest, s.value)
	}
	return time.Duration(longest) * Day
}
