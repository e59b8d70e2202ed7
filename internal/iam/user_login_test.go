package iam_test

import (
	"testing"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// TestDecide has every row of digicert-one.md, Section 3.3, step 3, on both faces.
func TestDecide(t *testing.T) {
	const (
		noKey    = "unauthenticated invalid_api_key"
		noAuth   = "denied no_authentication_data"
		mismatch = "denied credentials_of_different_users"
		unusable = "unusable"
	)
	tests := []struct {
		key, cert      string
		api, asksACert string // what the two faces answer
	}{
		{"", "", noKey, noAuth},
		{"", unusable, noKey, noAuth},
		{"", "ada", noKey, "cert"},
		{"ada", "", "key", "key"},
		{"ada", unusable, "key", "key"},
		{"ada", "ada", "key", "key and cert"},
		{"ada", "bob", "key", mismatch},
		{unusable, "", noKey, noKey},
		{unusable, unusable, noKey, noKey},
		{unusable, "ada", noKey, noKey},
	}
	for _, tt := range tests {
		for asks, want := range map[bool]string{false: tt.api, true: tt.asksACert} {
			got, err := iam.Decide(tt.key, tt.cert, asks)
			if err != nil {
				f := fault.From(err)
				got += f.Kind.String() + " " + f.Code
			}
			if got != want {
				t.Errorf("with the key %q and the certificate %q on a face that asks for one (%v): %q, want %q", tt.key, tt.cert, asks, got, want)
			}
		}
	}
}
