package app

import (
	"net/url"
	"regexp"
	"strings"
)

// MarshalYAML hides the password of the database, which is a part of Database.
// What it writes is for people: it is not the configuration any more.
func (c Config) MarshalYAML() (any, error) {
	type plain Config // without this method
	c.Database = withoutPassword(c.Database)
	return plain(c), nil
}

// passwordPair is a password in a connection string of keywords and values, also
// that of a key: sslpassword.
var passwordPair = regexp.MustCompile(`(?i)(password\s*=\s*)('(\\.|[^'\\])*'?|\S*)`)

// withoutPassword returns a connection string in which passwords are hidden. One
// that cannot be read is hidden as a whole.
func withoutPassword(text string) string {
	if strings.HasPrefix(text, "sqlite:") {
		return text
	}
	if !strings.Contains(text, "://") {
		return passwordPair.ReplaceAllString(text, "${1}"+hidden)
	}
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	query := u.Query()
	for name := range query {
		if strings.HasSuffix(strings.ToLower(name), "password") {
			query.Set(name, "xxxxx") // as Redacted does
		}
	}
	u.RawQuery = query.Encode()
	return u.Redacted()
}
