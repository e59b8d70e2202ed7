package domains

import (
	"regexp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
)

// seen are the words of checks, which the API repeats as they are, and the messages that
// say the same to people (spec: portal-and-onboarding.md, Section 7: DOM-02 to DOM-05).
var seen = []struct {
	words *regexp.Regexp
	key   string
}{
	{regexp.MustCompile(`^(?:no valid DNS records returned: )?No matching TXT record at (?P<name>\S+)\. Found: (?P<n>\d+) records\.$`), "domains.seen.txt"},
	{regexp.MustCompile(`^(?P<url>\S+): status code of the request is not 200: (?P<status>3\d\d)$`), "domains.seen.redirect"},
	{regexp.MustCompile(`^(?P<url>\S+): status code of the request is not 200: (?P<status>\d+)$`), "domains.seen.status"},
	{regexp.MustCompile(`^(?:no valid DNS records returned: )?DNSSEC check failed at (?P<name>\S+); validation stops here\.$`), "domains.seen.dnssec"},
	{regexp.MustCompile(`^(?:no valid DNS records returned: )?Seen from (?P<k>\d+) of (?P<n>\d+) vantage points; (?P<m>\d+) needed\.`), "domains.seen.quorum"},
	{regexp.MustCompile(`^(?P<url>\S+): the file does not hold the token$`), "domains.seen.file"},
	{regexp.MustCompile(`^(?P<url>\S+): the connection failed$`), "domains.seen.connection"},
	{regexp.MustCompile(`^(?P<url>\S+): no answer in time$`), "domains.seen.timeout"},
	{regexp.MustCompile(`^(?P<name>\S+) has no address\.$`), "domains.seen.no_address"},
	{regexp.MustCompile(`^(?P<name>\S+) has the address (?P<address>\S+), which is not allowed\.$`), "domains.seen.address"},
	{regexp.MustCompile(`^(?:no valid DNS records returned: )?The DNS did not answer for (?P<name>\S+): (?P<reason>.+)\.$`), "domains.seen.dns"},
	{regexp.MustCompile(`^(?:no valid DNS records returned: )?The TXT record at (?P<name>\S+) names another account\.$`), "domains.seen.account"},
	{regexp.MustCompile(`^mail sent to (?P<address>\S+)$`), "domains.seen.mail"},
	{regexp.MustCompile(`^claim successfully verified$`), "domains.seen.verified"},
}

// retold says what a check said in the language of the request. What it does not know it
// leaves as it is.
func (c *call) retold(words string) string {
	for _, s := range seen {
		found := s.words.FindStringSubmatch(words)
		if found == nil {
			continue
		}
		var pairs []string
		for i, name := range s.words.SubexpNames() {
			if name != "" {
				pairs = append(pairs, name, found[i])
			}
		}
		return c.Say(s.key, pairs...)
	}
	return words
}

// logStates are the states of the lines of a log.
var logStates = map[telamon.ClaimLogStatus]ui.State{
	telamon.LogSuccess: {Tone: ui.Good, Word: "domains.log.found"}, telamon.LogError: {Tone: ui.Bad, Word: "domains.log.missing"},
	telamon.LogInfo: {Tone: ui.Pending, Word: "domains.log.sent"},
}

// lines are a claim's log. A line about the code of today says what was expected, too.
func (c *call) lines(d *ra.ClaimDetail) []ui.LogLine {
	var lines []ui.LogLine
	for _, e := range d.Log {
		state := logStates[e.Status]
		state.Word = c.Say(state.Word)
		by := c.MethodName(e.Method)
		switch {
		case e.Status != telamon.LogError || e.At.Before(d.Claim.TokenAt):
		case e.Method == telamon.MethodPersist:
			by = c.Say("domains.log.expected", "method", by, "value", d.Standing)
		default:
			by = c.Say("domains.log.expected", "method", by, "value", d.Value)
		}
		lines = append(lines, ui.LogLine{At: e.At, State: state, Words: c.retold(e.Description), By: by})
	}
	return lines
}
