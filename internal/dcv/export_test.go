package dcv

// ParseContact is parseContact.
var ParseContact = parseContact

// ParseIssueValue returns the issuer and how many parameters an issue-value has.
func ParseIssueValue(text string) (issuer string, parameters int, ok bool) {
	v, ok := parseIssueValue(text)
	return v.issuer, len(v.parameters), ok
}

// ParseStanding returns what a standing record names.
func ParseStanding(text string) (issuer, account string, ok bool) {
	s, ok := parseStanding(text)
	return s.issuer, s.accountURI, ok
}
