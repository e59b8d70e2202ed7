package notify

import "regexp"

// secretInLink is the last part of a link that opens something: longer than any ID, and
// nothing that people choose.
var secretInLink = regexp.MustCompile(`(https?://[^\s"<>]*(?:/|[?&]value=))[A-Za-z0-9_-]{32,}`)

// Masked returns a message without what would open something, for those who look at the
// history of mails: the values of links, in its text. It has no HTML.
func Masked(m Message) Message {
	m.Subject, m.Text = secretInLink.ReplaceAllString(m.Subject, "${1}••••••••"), secretInLink.ReplaceAllString(m.Text, "${1}••••••••")
	m.HTML = ""
	return m
}
