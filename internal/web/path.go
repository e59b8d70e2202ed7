package web

import (
	"net/url"
	"strings"
)

// CanonicalURL returns u with the path that was meant: doubled slashes are one,
// and one at the end is none, because clients make paths by putting strings
// together and a redirect would turn their POST into a GET. Each segment is
// decoded once; an encoded slash stays inside its segment. It reports false for a
// path that no API has: a relative one, or one with dot segments.
func CanonicalURL(u *url.URL) (*url.URL, bool) {
	escaped := u.EscapedPath()
	if !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	if isCanonical(escaped) {
		return u, true
	}
	var path, raw strings.Builder
	for segment := range strings.SplitSeq(escaped, "/") {
		if segment == "" {
			continue
		}
		text, err := url.PathUnescape(segment)
		if err != nil || text == "." || text == ".." {
			return nil, false
		}
		path.WriteString("/" + text)
		raw.WriteString("/" + url.PathEscape(text))
	}
	if path.Len() == 0 {
		path.WriteByte('/')
		raw.WriteByte('/')
	}
	return &url.URL{Path: path.String(), RawPath: raw.String(), RawQuery: u.RawQuery}, true
}

// isCanonical reports whether a path is its own canonical form, as those of most clients
// are: nothing is encoded, no segment is empty, and none has a dot.
func isCanonical(escaped string) bool {
	return !strings.ContainsAny(escaped, "%.") && !strings.Contains(escaped, "//") && (escaped == "/" || !strings.HasSuffix(escaped, "/"))
}
