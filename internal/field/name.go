package field

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxDisplayName is how many characters a name may have (digicert-one.md, Section 13, A14).
const maxDisplayName = 255

// DisplayNameRule is what names of service users, of what users authenticate by and of key
// pairs are (digicert-one.md, Sections 6.2 and 6.4).
const DisplayNameRule = "must be a text of 1 to 255 letters, numbers, spaces, dashes and underscores"

// DisplayName returns a name as it is kept: without the spaces around it and in Unicode's
// form C, so that names that look the same are the same. It returns false unless the name
// follows DisplayNameRule. Letters and numbers are those of any script, with the marks
// that some scripts write them with.
func DisplayName(name string) (string, bool) {
	if len(name) > 8*maxDisplayName || !utf8.ValidString(name) {
		return "", false
	}
	name = strings.Trim(norm.NFC.String(name), " ")
	if n := utf8.RuneCountInString(name); n < 1 || n > maxDisplayName {
		return "", false
	}
	base := false // whether a mark would have something to stand on
	for _, r := range name {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			base = true
		case unicode.IsMark(r) && base:
		case r == ' ' || r == '-' || r == '_':
			base = false
		default:
			return "", false
		}
	}
	return name, true
}

// DisplayName checks a name, and returns it as it is kept.
func (p *Problems) DisplayName(path, name string) string {
	kept, ok := DisplayName(name)
	if !ok {
		p.Add(path, DisplayNameRule)
	}
	return kept
}
