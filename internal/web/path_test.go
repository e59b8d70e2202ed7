package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/web"
)

func TestCanonicalURL(t *testing.T) {
	tests := []struct{ path, want string }{ // "" is for none
		{"/", "/"},
		{"/v2/certificates", "/v2/certificates"},
		{"//v2///certificates/", "/v2/certificates"},
		{"/v2/certificates/", "/v2/certificates"},
		{"/%76%32/a", "/v2/a"},
		{"/a%2fb", "/a%2Fb"},
		{"/a%20b", "/a%20b"},
		{"/a.b", "/a.b"},
		{"/./a", ""},
		{"/a/..", ""},
		{"/a/%2e%2e/b", ""},
		{"a", ""},
		{"", ""},
	}
	for _, tt := range tests {
		u, err := url.Parse("https://host" + tt.path + "?x=1")
		if tt.path == "" || tt.path[0] != '/' {
			u, err = &url.URL{Path: tt.path}, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		got, ok := web.CanonicalURL(u)
		if ok != (tt.want != "") || ok && (got.EscapedPath() != tt.want || got.RawQuery != u.RawQuery) {
			t.Errorf("%q is %v, %v; want %q", tt.path, got, ok, tt.want)
		}
	}
}

// FuzzCanonicalURL holds that a canonical path is its own, starts with a slash, and has
// neither an empty segment nor one of dots.
func FuzzCanonicalURL(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI("/" + raw)
		if err != nil {
			return
		}
		got, ok := web.CanonicalURL(u)
		if !ok {
			return
		}
		path := got.EscapedPath()
		again, ok := web.CanonicalURL(got)
		if !ok || again.EscapedPath() != path || again.Path != got.Path {
			t.Fatalf("%q is %q, which is %v, %v", raw, path, again, ok)
		}
		for i, segment := range strings.Split(path, "/") {
			if i == 0 && segment != "" || i > 0 && segment == "" && path != "/" || segment == "." || segment == ".." {
				t.Errorf("%q is %q", raw, path)
			}
		}
	})
}
