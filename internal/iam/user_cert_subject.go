package iam

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// maxSubject is how many attributes of a CSR's subject a certificate can have.
const maxSubject = 16

const (
	oidCommonName = "2.5.4.3"
	oidCountry    = "2.5.4.6"
)

// subjectNames are the attributes that a user's certificate takes from its CSR, and what
// people call them (digicert-one.md, Section 7). Others are left out: the questions of
// "openssl req" include an e-mail address, and nothing is to be refused for it.
var subjectNames = map[string]string{
	oidCommonName: "CN", oidCountry: "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU",
}

// subjectOf returns the subject of a certificate for a CSR, in the CSR's order. It reports
// Invalid with invalid_subject unless there is one common name, and for a value that does
// not fit into a certificate.
func subjectOf(csr *tbs.CSR) ([]telamon.Attribute, error) {
	var subject []telamon.Attribute
	commonNames := 0
	for _, a := range csr.Request.Subject.Names {
		oid := a.Type.String()
		name, kept := subjectNames[oid]
		if !kept {
			continue
		}
		text, ok := a.Value.(string)
		if oid == oidCommonName && ok && strings.TrimSpace(text) == "" {
			continue // as if there was none
		}
		if problem := attributeProblem(oid, text); !ok || problem != "" {
			return nil, invalid("invalid_subject", "csr", fmt.Sprintf("the subject's %s %s", name, problem))
		}
		if oid == oidCommonName {
			commonNames++
		}
		subject = append(subject, attribute(oid, text))
	}
	switch {
	case commonNames != 1:
		return nil, invalid("invalid_subject", "csr", "the subject must have one common name (CN)")
	case len(subject) > maxSubject:
		return nil, invalid("invalid_subject", "csr", fmt.Sprintf("the subject has more than %d attributes", maxSubject))
	}
	return subject, nil
}

// attributeProblem returns what is wrong with a value of a subject, or "".
func attributeProblem(oid, text string) string {
	bound, _ := tbs.UpperBound(oid)
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "holds characters that cannot be shown"
	case oid == oidCountry && !isCountry(text):
		return "is not a country code of two letters"
	case n < 1 || n > bound:
		return fmt.Sprintf("is not 1 to %d characters", bound)
	}
	return ""
}

func isCountry(text string) bool {
	return len(text) == 2 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// attribute is an attribute of a subject as it is encoded: a country as RFC 5280, Appendix
// A.1 has it, everything else in UTF-8.
func attribute(oid, text string) telamon.Attribute {
	value := telamon.TypedValue{Type: telamon.UTF8String, Text: text}
	if oid == oidCountry {
		value.Type = telamon.PrintableString
	}
	return telamon.Attribute{Type: mustOID(oid), Value: value}
}
