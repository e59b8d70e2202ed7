package admin

import (
	"maps"
	"net/http"
	"slices"
)

// Routes returns the patterns of all routes.
func (a *API) Routes() []string {
	var patterns []string
	for _, route := range a.s.routes {
		patterns = append(patterns, route.pattern)
	}
	return patterns
}

// Document returns the document that describes the API.
func (a *API) Document() []byte { return a.s.document() }

// Operations returns the patterns that are documented.
func Operations() []string { return slices.Sorted(maps.Keys(operations)) }

// Through has the client's requests go through another one's transport.
func (c *Client) Through(wrap func(http.RoundTripper) http.RoundTripper) {
	c.http.Transport = wrap(c.http.Transport)
}
