package dcv_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
)

// TestPersistUntil has the end of a standing record, which is exclusive, and ends that
// are none or that no date can name (BR 3.2.2.4.22).
func TestPersistUntil(t *testing.T) {
	z := newZones()
	engine, clock := z.engine(t)
	now := clock.Now()
	latest := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for until, want := range map[string]time.Time{
		fmt.Sprint(now.Unix()):            {},
		fmt.Sprint(now.Unix() + 1):        now.Add(time.Second),
		"0":                               {},
		"-1":                              {},
		fmt.Sprintf("+%d", now.Unix()+9):  {},
		fmt.Sprintf("%d.5", now.Unix()+9): {},
		"0x7fffffff":                      {},
		"":                                {},
		"253402300799":                    latest,
		"253402300800":                    latest,
		"9223372036854775807":             latest,
		"9223372036854775808":             {},
	} {
		z.txt("_validation-persist.example.com", []string{"ca.example.com; accounturi=acct:a; persistUntil=" + until})
		got, err := engine.Validate(t.Context(), dcv.Question{
			Method: telamon.MethodPersist, Kind: telamon.ClaimDomain, Name: "www.example.com", ADN: "example.com",
			Issuers: []string{"ca.example.net", "ca.example.com"}, AccountURI: "acct:a",
		})
		if err != nil || got.Found == want.IsZero() || got.Found && !got.Evidence.Until.Equal(want) {
			t.Errorf("persistUntil=%s: %+v, %v; want until %s", until, got, err, want)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("persistUntil=%s: the finding cannot be told: %v", until, err)
		}
	}
}

// TestPersistIssuers has who is named, and that no account is none's.
func TestPersistIssuers(t *testing.T) {
	tests := map[string]struct {
		record, account string
		found           bool
	}{
		"one of ours":            {"ca.example.net;accounturi=acct:a", "acct:a", true},
		"another case":           {"CA.Example.Net ; AccountURI = acct:a ", "acct:a", true},
		"an account in capitals": {"ca.example.net;accounturi=ACCT:A", "acct:a", false},
		"a longer account":       {"ca.example.net;accounturi=acct:ab", "acct:a", false},
		"no account on it":       {"ca.example.net", "acct:a", false},
		"no account of ours":     {"ca.example.net", "", false},
		"an empty account":       {"ca.example.net;accounturi=", "", false},
		"a host of ours":         {"x.ca.example.net;accounturi=acct:a", "acct:a", false},
		"a final dot":            {"ca.example.net.;accounturi=acct:a", "acct:a", false},
		"no issuer":              {";accounturi=acct:a", "acct:a", false},
		"two ends":               {"ca.example.net;accounturi=acct:a;persistUntil=99999999999;PersistUntil=99999999999", "acct:a", false},
		"text after it":          {"ca.example.net;accounturi=acct:a x", "acct:a", false},
		"a final semicolon":      {"ca.example.net;accounturi=acct:a;", "acct:a", false},
	}
	for name, tt := range tests {
		z := newZones()
		z.txt("_validation-persist.example.com", []string{"v=spf1", tt.record}, "standing.example.org")
		engine, _ := z.engine(t)
		got, err := engine.Validate(t.Context(), dcv.Question{
			Method: telamon.MethodPersist, Kind: telamon.ClaimDomain, Name: "example.com", ADN: "example.com",
			Issuers: []string{"ca.example.com", "ca.example.net"}, AccountURI: tt.account,
		})
		if err != nil || got.Found != tt.found || got.Found && got.Coverage != telamon.CoversTree {
			t.Errorf("%s: %+v, %v; want found %v", name, got, err, tt.found)
		}
	}
}
