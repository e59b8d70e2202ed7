// Package field checks what people write into the fields of a request, such as names and
// ends, and gathers what is wrong with all of them, so that one answer tells everything
// there is to mend. It is pure: it knows no states, and trusts nothing.
package field

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/fault"
)

// Problems gathers what is wrong with a request. The zero value is a request without any.
type Problems []fault.Field

// Add notes a problem of the field at path.
func (p *Problems) Add(path, problem string) {
	*p = append(*p, fault.Field{Path: path, Problem: problem})
}

// Fault returns an Invalid fault with all problems, or nil if there are none.
func (p Problems) Fault(code string) error {
	if len(p) == 0 {
		return nil
	}
	return &fault.Fault{
		Kind: fault.Invalid, Code: code, Detail: fmt.Sprintf("%s: %s", p[0].Path, p[0].Problem), Fields: p,
	}
}

// Text checks a text of 1 to limit characters for display.
func (p *Problems) Text(path, value string, limit int) {
	switch {
	case value == "":
		p.Add(path, "is required")
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		p.Add(path, "holds characters that cannot be shown")
	case strings.TrimSpace(value) != value:
		p.Add(path, "begins or ends with a blank")
	case utf8.RuneCountInString(value) > limit:
		p.Add(path, fmt.Sprintf("has more than %d characters", limit))
	}
}

// Prose checks a text of 1 to limit characters that may have lines.
func (p *Problems) Prose(path, value string, limit int) {
	odd := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' }
	switch {
	case strings.TrimSpace(value) == "":
		p.Add(path, "is required")
	case !utf8.ValidString(value) || strings.ContainsFunc(value, odd):
		p.Add(path, "holds characters that cannot be shown")
	case utf8.RuneCountInString(value) > limit:
		p.Add(path, fmt.Sprintf("has more than %d characters", limit))
	}
}
