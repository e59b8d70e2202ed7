package web_test

import (
	"net/url"
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
