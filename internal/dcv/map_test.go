package dcv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// asked is a question to a resolver.
type asked struct {
	name string
	kind resolver.Type
}

// zones is a resolver that answers from maps, and that a name has no records unless it
// is there. It is not safe for concurrent use.
type zones struct {
	answers map[asked]resolver.Answer
	// failures are the errors of the first look-ups of a question; the last one stays
	// if the question is in down.
	failures map[asked][]error
	down     map[asked]bool
	insecure map[string]bool // names of zones that are proven to be unsigned
	history  []asked
}

func newZones() *zones {
	return &zones{answers: map[asked]resolver.Answer{}, failures: map[asked][]error{}, down: map[asked]bool{}, insecure: map[string]bool{}}
}

// Lookup implements dcv.Resolver.
func (z *zones) Lookup(_ context.Context, name string, kind resolver.Type) (*resolver.Answer, error) {
	at := asked{name, kind}
	z.history = append(z.history, at)
	if errs := z.failures[at]; len(errs) > 0 {
		if len(errs) > 1 || !z.down[at] {
			z.failures[at] = errs[1:]
		}
		return nil, errs[0]
	}
	answer, ok := z.answers[at]
	if !ok {
		answer = resolver.Answer{TTL: 48 * time.Hour, Secure: true}
	}
	return &answer, nil
}

// ProvenInsecure implements dcv.Resolver.
func (z *zones) ProvenInsecure(_ context.Context, name string) (bool, error) {
	insecure, ok := z.insecure[name]
	if !ok {
		return false, errors.New("no proof of anything")
	}
	return insecure, nil
}

// txt sets the TXT records of a name, which is reached through a chain of CNAMEs.
func (z *zones) txt(name string, records []string, chain ...string) {
	z.answers[asked{name, resolver.TypeTXT}] = resolver.Answer{TXT: records, Chain: chain, Secure: true, TTL: time.Minute}
}

// caa sets the CAA records of a name: each is a tag, a space and a value, after an
// exclamation mark if it is critical.
func (z *zones) caa(name string, records ...string) {
	answer := resolver.Answer{Secure: true, TTL: 24 * time.Hour}
	for _, r := range records {
		text, critical := strings.CutPrefix(r, "!")
		var flag uint8
		if critical {
			flag = 0x80
		}
		tag, value, _ := strings.Cut(text, " ")
		answer.CAA = append(answer.CAA, resolver.CAA{Flag: flag, Tag: tag, Value: value})
	}
	z.answers[asked{name, resolver.TypeCAA}] = answer
}

// fail has a look-up fail for ever.
func (z *zones) fail(name string, kind resolver.Type, cause error) {
	at := asked{name, kind}
	z.down[at] = true
	z.failures[at] = []error{servfail(name, cause)}
}

func servfail(name string, cause error) error {
	return fmt.Errorf("ask: %w", &resolver.LookupError{Name: name, Reason: "SERVFAIL", Err: cause})
}

// engine returns an engine over the zones at a moment.
func (z *zones) engine(t *testing.T) (*dcv.Engine, *testkit.Clock) {
	clock := testkit.NewClock(t, "2026-11-27T16:00:00Z")
	return dcv.New(dcv.Config{Resolver: z, DNSSEC: true, CAAValid: 8 * time.Hour, Clock: clock}), clock
}

// TestADNAlgorithm has requirement 62 as a table: where the token is, by which CNAMEs,
// and for which names that is good.
func TestADNAlgorithm(t *testing.T) {
	const name = "blog.shop.example.com"
	tests := []struct {
		title    string
		adn      string
		chain    []string
		coverage telamon.Coverage // none: nothing is found
	}{
		{"the name", name, nil, telamon.CoversTree},
		{"a CNAME of the name", name, []string{"a.example.org"}, telamon.CoversExact},
		{"two CNAMEs of the name", name, []string{"a.example.org", "b.example.org"}, telamon.CoversExact},
		{"a parent", "shop.example.com", nil, telamon.CoversTree},
		{"the base domain", "example.com", nil, telamon.CoversTree},
		{"a CNAME of a parent", "shop.example.com", []string{"example.org"}, ""},
		{"a CNAME of the base domain", "example.com", []string{"example.org"}, ""},
		{"a CNAME of the base domain to the name itself", "example.com", []string{name}, ""},
		{"an underscore label", "_x." + name, nil, telamon.CoversTree},
		{"a CNAME of an underscore label", "_x." + name, []string{"a.example.org"}, telamon.CoversTree},
		{"a CNAME of an underscore label of a parent", "_x.example.com", []string{"a.example.org"}, telamon.CoversTree},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			z := newZones()
			z.txt(tt.adn, []string{"other", token}, tt.chain...)
			engine, _ := z.engine(t)
			q := dcv.Question{Method: telamon.MethodDNS, Kind: telamon.ClaimDomain, Name: name, ADN: tt.adn, Values: dcv.TokenValues("p=", token)}
			got, err := engine.Validate(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got.Found != (tt.coverage != "") || got.Coverage != tt.coverage || got.Found == (got.Problem != "") {
				t.Errorf("%+v, want the coverage %q", got, tt.coverage)
			}
			want := telamon.Evidence{Through: tt.chain, Records: 2, DNSSEC: telamon.DNSSECSecure}
			if !slices.Equal(got.Evidence.Through, want.Through) || got.Evidence.Records != 2 || got.Evidence.DNSSEC != want.DNSSEC {
				t.Errorf("the evidence is %+v, want %+v", got.Evidence, want)
			}
			if len(z.history) != 1 || z.history[0] != (asked{tt.adn, resolver.TypeTXT}) {
				t.Errorf("asked for %v: the name looked at is the one that was asked for", z.history)
			}
		})
	}
}

// TestRecordsLookedAt has the bound of records, at which a token is found, and past
// which it is not.
func TestRecordsLookedAt(t *testing.T) {
	z := newZones()
	engine, _ := z.engine(t)
	const standing = "ca.example.com; accounturi=acct:a"
	for at, want := range map[int]bool{0: true, dcv.MaxRecords - 1: true, dcv.MaxRecords: false, 9_999: false} {
		for _, q := range []dcv.Question{
			{Method: telamon.MethodDNS, Name: "a.example.com", ADN: "a.example.com", Values: []string{token}},
			{Method: telamon.MethodPersist, Name: "a.example.com", ADN: "a.example.com", Issuers: []string{"ca.example.com"}, AccountURI: "acct:a"},
		} {
			records := slices.Repeat([]string{"x"}, 10_000)
			records[at] = token
			name := "a.example.com"
			if q.Method == telamon.MethodPersist {
				records[at], name = standing, "_validation-persist.a.example.com"
			}
			z.txt(name, records)
			got, err := engine.Validate(t.Context(), q)
			if err != nil || got.Found != want || got.Evidence.Records != 10_000 {
				t.Errorf("%s as record %d: %+v, %v; want found %v", q.Method, at, got, err, want)
			}
		}
	}
}

// TestTokenValues has the values of atlas-api, Section 8.1: the prefix absent, once or
// twice.
func TestTokenValues(t *testing.T) {
	if got := dcv.TokenValues("p=", "abc"); len(got) != 3 || !slices.Contains(got, "abc") || !slices.Contains(got, "p=abc") || !slices.Contains(got, "p=p=abc") {
		t.Errorf("the values are %q", got)
	}
	if got := dcv.TokenValues("", "abc"); !slices.Equal(got, []string{"abc"}) {
		t.Errorf("the values without a prefix are %q", got)
	}
}

// TestAllowedDomains has what GET /claims/domains/{id}/dns lists.
func TestAllowedDomains(t *testing.T) {
	private := []dnsname.Name{"corp.internal"}
	for name, want := range map[string][]string{
		"a.b.example.co.uk": {"a.b.example.co.uk", "b.example.co.uk", "example.co.uk"},
		"example.com":       {"example.com"},
		"x.corp.internal":   {"x.corp.internal", "corp.internal"},
	} {
		if got := dcv.AllowedDomains(name, private); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		for _, domain := range want {
			for asked, method := range map[string]telamon.Method{
				domain: telamon.MethodDNS, "_any." + domain: telamon.MethodDNS, "_validation-persist." + domain: telamon.MethodPersist,
			} {
				if _, got, err := dcv.AuthorizationDomain(name, asked, private); err != nil || got != method {
					t.Errorf("%s for %s: by %q, %v", asked, name, got, err)
				}
			}
		}
	}
	for _, asked := range []string{"internal", "_any.internal", "other.internal"} {
		if _, _, err := dcv.AuthorizationDomain("x.corp.internal", asked, private); !errors.Is(err, dcv.ErrADN) {
			t.Errorf("%s above a private suffix: %v", asked, err)
		}
	}
}

// TestQuestions has questions that cannot be answered, which are no findings.
func TestQuestions(t *testing.T) {
	z := newZones()
	engine, _ := z.engine(t)
	for _, q := range []dcv.Question{
		{Method: telamon.MethodEmail, Kind: telamon.ClaimDomain, Name: "a.example.com", ADN: "a.example.com"},
		{Method: "other", Kind: telamon.ClaimDomain, Name: "a.example.com", ADN: "a.example.com"},
		{Kind: telamon.ClaimDomain, Name: "a.example.com", ADN: "a.example.com"},
		{Method: telamon.MethodDNS, Kind: telamon.ClaimIP, Name: "192.0.2.1", ADN: "192.0.2.1", Values: []string{token}},
		{Method: telamon.MethodPersist, Kind: telamon.ClaimIP, Name: "192.0.2.1", ADN: "192.0.2.1", AccountURI: "acct:a"},
	} {
		if got, err := engine.Validate(t.Context(), q); err == nil || got.Found {
			t.Errorf("%q of %s: %+v, %v", q.Method, q.Kind, got, err)
		}
	}
	if len(z.history) != 0 {
		t.Errorf("asked for %v", z.history)
	}
}

// TestWithoutDNSSEC has a resolver that does not validate: its AD bits say nothing.
func TestWithoutDNSSEC(t *testing.T) {
	z := newZones()
	z.txt("a.example.com", []string{token})
	engine := dcv.New(dcv.Config{Resolver: z, Clock: testkit.NewClock(t, "2026-11-27T16:00:00Z")})
	q := dcv.Question{Method: telamon.MethodDNS, Name: "a.example.com", ADN: "a.example.com", Values: []string{token}}
	if got, err := engine.Validate(t.Context(), q); err != nil || got.Evidence.DNSSEC != telamon.DNSSECOff {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := engine.CheckCAA(t.Context(), dcv.CAAQuestion{Name: "a.example.com"}); err != nil || got.DNSSEC != telamon.DNSSECOff {
		t.Errorf("%+v, %v", got, err)
	}
}
