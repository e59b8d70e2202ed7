package store

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// A ClaimPattern is a domain name with wildcards: "_" for one character and "%" for
// any run of them, neither of which stands for a dot. The zero value matches all.
type ClaimPattern struct {
	text   string // lower case, without a final dot
	labels int64
}

// Why a text is no pattern.
var (
	ErrPatternStart = errors.New("a wildcard at the start must be followed by a dot")
	ErrPatternEnd   = errors.New("a wildcard at the end must follow a dot")
	ErrPatternText  = errors.New("a pattern holds letters, digits, hyphens, dots, % and _")
)

// maxPattern is the length of the longest pattern: that of a name.
const maxPattern = 253

// ParseClaimPattern reads a pattern. A wildcard at the start must be followed by a
// dot, and one at the end must follow a dot; a final dot does not count.
func ParseClaimPattern(text string) (ClaimPattern, error) {
	p := strings.ToLower(strings.TrimSuffix(text, "."))
	if p == "" || len(p) > maxPattern {
		return ClaimPattern{}, ErrPatternText
	}
	for label := range strings.SplitSeq(p, ".") {
		if label == "" {
			return ClaimPattern{}, ErrPatternText
		}
	}
	for i := range len(p) {
		c := p[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-.%_", rune(c)) {
			return ClaimPattern{}, ErrPatternText
		}
	}
	if isWildcard(p[0]) && len(p) > 1 && p[1] != '.' {
		return ClaimPattern{}, ErrPatternStart
	}
	if last := len(p) - 1; isWildcard(p[last]) && last > 0 && p[last-1] != '.' {
		return ClaimPattern{}, ErrPatternEnd
	}
	return ClaimPattern{text: p, labels: int64(strings.Count(p, ".")) + 1}, nil
}

func isWildcard(c byte) bool { return c == '%' || c == '_' }

// IsZero reports whether the pattern matches all.
func (p ClaimPattern) IsZero() bool { return p.text == "" }

// bounds returns the range of lookup keys, without the upper one, that holds those of
// all names that match. Wildcards stand for no dots, so that a name has as many labels
// as the pattern; the two together make LIKE exact.
func (p ClaimPattern) bounds() (low, high []byte) {
	labels := strings.Split(p.text, ".")
	slices.Reverse(labels)
	wild := slices.IndexFunc(labels, func(label string) bool { return strings.ContainsAny(label, "%_") })
	if wild < 0 {
		low = []byte(strings.Join(labels, "."))
		return low, append(bytes.Clone(low), 0)
	}
	label := labels[wild]
	labels[wild] = label[:strings.IndexAny(label, "%_")]
	low = []byte(strings.Join(labels[:wild+1], "."))
	return low, append(bytes.Clone(low), 0xff)
}
