package dcv

import "strings"

// An issueValue is the value of CAA's properties issue and issuewild (RFC 8659,
// Section 4.2).
type issueValue struct {
	issuer     string // "" forbids
	parameters []parameter
}

type parameter struct{ tag, value string }

// parseIssueValue reads an issue-value. It reports false for what is none: such a
// property forbids issuance.
func parseIssueValue(text string) (issueValue, bool) {
	head, rest, more := strings.Cut(text, ";")
	v := issueValue{issuer: strings.Trim(head, " \t")}
	if v.issuer != "" && !isIssuerDomain(v.issuer) {
		return issueValue{}, false
	}
	if !more || strings.Trim(rest, " \t") == "" {
		return v, true
	}
	for part := range strings.SplitSeq(rest, ";") {
		tag, value, ok := strings.Cut(part, "=")
		p := parameter{strings.Trim(tag, " \t"), strings.Trim(value, " \t")}
		if !ok || !isTag(p.tag) || !isParameterValue(p.value) {
			return issueValue{}, false
		}
		v.parameters = append(v.parameters, p)
	}
	return v, true
}

// isIssuerDomain is the grammar of issuer-domain-name: labels of letters, digits and
// hyphens, separated by dots.
func isIssuerDomain(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || !isAlphanumeric(label[0]) || !isAlphanumeric(label[len(label)-1]) {
			return false
		}
		for i := range len(label) {
			if label[i] != '-' && !isAlphanumeric(label[i]) {
				return false
			}
		}
	}
	return true
}

// isTag is the grammar of a parameter's tag.
func isTag(text string) bool {
	if text == "" || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		if text[i] != '-' && !isAlphanumeric(text[i]) {
			return false
		}
	}
	return true
}

// isParameterValue is the grammar of a parameter's value: visible characters but the
// semicolon.
func isParameterValue(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < 0x21 || c > 0x7e || c == ';' {
			return false
		}
	}
	return true
}

// isMethodList is the grammar of the value of validationmethods (RFC 8657, Section 4):
// nothing, or labels separated by commas.
func isMethodList(text string) bool {
	if text == "" {
		return true
	}
	for label := range strings.SplitSeq(text, ",") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return r != '-' && (r > '~' || !isAlphanumeric(byte(r))) }) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
