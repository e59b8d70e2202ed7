package dcv_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// caaQuestion asks for a name that was validated by the DNS and by a file.
func caaQuestion(name string) dcv.CAAQuestion {
	return dcv.CAAQuestion{
		Name: name, Issuers: []string{"ca.example.com", "ca.example.net"}, AccountURI: "acct:a", Methods: []string{"ca-tbr-7", "ca-tbr-18"},
	}
}

// TestCAA has requirement 79: sets of records and what they say to us.
func TestCAA(t *testing.T) {
	all := []string{}
	tests := map[string]struct {
		records []string
		methods []string // nil: forbidden; all: without restriction
		wild    []string // of a wildcard
	}{
		"none":                      {nil, all, all},
		"ours":                      {[]string{"issue ca.example.net"}, all, all},
		"in white space":            {[]string{"issue  \tca.example.net \t;  "}, all, all},
		"empty":                     {[]string{"issue "}, nil, nil},
		"nobody and ours":           {[]string{"issue ;", "issue ca.example.com"}, all, all},
		"only wildcards of others":  {[]string{"issuewild other.example"}, all, nil},
		"malformed wildcards":       {[]string{"issue ca.example.com", "issuewild ca.example.com ca.example.com"}, all, nil},
		"a final dot":               {[]string{"issue ca.example.com."}, nil, nil},
		"a longer issuer":           {[]string{"issue xca.example.com"}, nil, nil},
		"a parameter without value": {[]string{"issue ca.example.com; x="}, all, all},
		"a final semicolon":         {[]string{"issue ca.example.com; x=y;"}, nil, nil},
		"an unknown parameter":      {[]string{"issue ca.example.com; x=y; policy=ev"}, all, all},
		"critical, known":           {[]string{"!issue ca.example.com", "!iodef mailto:a@example.com", "!issuemail ;", "!contactemail a@example.com"}, all, all},
		"critical, unknown, last":   {[]string{"issue ca.example.com", "!tbs x"}, nil, nil},
		"critical, unknown, alone":  {[]string{"!tbs x"}, nil, nil},
		"mail only":                 {[]string{"issuemail ;"}, all, all},
		"our account":               {[]string{"issue ca.example.com; accounturi=acct:a"}, all, all},
		"a tag in capitals":         {[]string{"issue ca.example.com; ACCOUNTURI=acct:b"}, nil, nil},
		"another account":           {[]string{"issue ca.example.com; accounturi=acct:b"}, nil, nil},
		"an account in capitals":    {[]string{"issue ca.example.com; accounturi=ACCT:a"}, nil, nil},
		"an account twice":          {[]string{"issue ca.example.com; accounturi=acct:a; accounturi=acct:a"}, nil, nil},
		"two accounts":              {[]string{"issue ca.example.com; accounturi=acct:b", "issue ca.example.com; accounturi=acct:a"}, all, all},
		"a method":                  {[]string{"issue ca.example.com; validationmethods=ca-tbr-18"}, []string{"ca-tbr-18"}, []string{"ca-tbr-18"}},
		"methods":                   {[]string{"issue ca.example.com; validationmethods=ca-tbr-18,x,ca-tbr-7"}, []string{"ca-tbr-7", "ca-tbr-18"}, []string{"ca-tbr-7", "ca-tbr-18"}},
		"another method":            {[]string{"issue ca.example.com; validationmethods=ca-tbr-4"}, nil, nil},
		"no method":                 {[]string{"issue ca.example.com; validationmethods="}, nil, nil},
		"a method in capitals":      {[]string{"issue ca.example.com; validationmethods=CA-TBR-7"}, nil, nil},
		"part of a label":           {[]string{"issue ca.example.com; validationmethods=ca-tbr-77"}, nil, nil},
		"a gap among methods":       {[]string{"issue ca.example.com; validationmethods=ca-tbr-7,,ca-tbr-18"}, nil, nil},
		"a method that is none":     {[]string{"issue ca.example.com; validationmethods=ca-tbr-7,a_b"}, nil, nil},
		"methods twice":             {[]string{"issue ca.example.com; validationmethods=ca-tbr-7,ca-tbr-18; validationmethods=ca-tbr-18"}, []string{"ca-tbr-18"}, []string{"ca-tbr-18"}},
		"methods that contradict":   {[]string{"issue ca.example.com; validationmethods=ca-tbr-7; validationmethods=ca-tbr-18"}, nil, nil},
		"methods of two records":    {[]string{"issue ca.example.com; validationmethods=ca-tbr-18", "issue ca.example.net; validationmethods=ca-tbr-7"}, []string{"ca-tbr-7", "ca-tbr-18"}, []string{"ca-tbr-7", "ca-tbr-18"}},
		"a method, and any":         {[]string{"issue ca.example.com; validationmethods=ca-tbr-18", "issue ca.example.com"}, all, all},
		"a method, and an account":  {[]string{"issue ca.example.com; validationmethods=ca-tbr-18; accounturi=acct:b"}, nil, nil},
		"a method of a stranger":    {[]string{"issue other.example; validationmethods=ca-tbr-18", "issue ca.example.com"}, all, all},
		"a method of wildcards":     {[]string{"issue ca.example.com", "issuewild ca.example.com; validationmethods=ca-tbr-7"}, all, []string{"ca-tbr-7"}},
		"as many as are read":       {slices.Repeat([]string{"issue ca.example.com"}, dcv.MaxRecords), all, all},
		"more than are read":        {slices.Repeat([]string{"issue ca.example.com"}, dcv.MaxRecords+1), nil, nil},
	}
	for title, tt := range tests {
		z := newZones()
		if tt.records != nil {
			z.caa("shop.example.com", tt.records...)
		}
		engine, _ := z.engine(t)
		for name, want := range map[string][]string{"shop.example.com": tt.methods, "a.b.shop.example.com": tt.methods, "*.shop.example.com": tt.wild} {
			got, err := engine.CheckCAA(t.Context(), caaQuestion(name))
			if err != nil || got.Allowed != (want != nil) || !slices.Equal(got.Methods, want) || got.Allowed == (got.Problem != "") {
				t.Errorf("%s: %s: %+v, %v; want %q", title, name, got, err, want)
			}
			if found := got.Found; got.Name != name || (found == "") != (tt.records == nil) || found != "" && found != "shop.example.com" {
				t.Errorf("%s: %s: the records are those of %q", title, got.Name, found)
			}
		}
	}
}

// TestCAAWithoutValidation has a name for which no validation was needed: a restriction
// of methods is not met.
func TestCAAWithoutValidation(t *testing.T) {
	z := newZones()
	z.caa("example.com", "issue ca.example.com; validationmethods=ca-tbr-7")
	z.caa("example.net", "issue ca.example.com")
	engine, _ := z.engine(t)
	for name, want := range map[string]bool{"example.com": false, "example.net": true} {
		q := caaQuestion(name)
		q.Methods = nil
		if got, err := engine.CheckCAA(t.Context(), q); err != nil || got.Allowed != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	q := caaQuestion("example.net")
	q.Issuers = nil
	if got, err := engine.CheckCAA(t.Context(), q); err != nil || got.Allowed {
		t.Errorf("an issuer without a name: %+v, %v", got, err)
	}
}

// TestCAAClimbs has the order of look-ups (RFC 8659, Section 3): up to the top-level
// domain, and no further than the first that has records.
func TestCAAClimbs(t *testing.T) {
	for name, tt := range map[string]struct {
		at   string
		want []string
	}{
		"nowhere":              {"", []string{"a.b.example.com", "b.example.com", "example.com", "com"}},
		"at the name":          {"a.b.example.com", []string{"a.b.example.com"}},
		"at a parent":          {"example.com", []string{"a.b.example.com", "b.example.com", "example.com"}},
		"at the public suffix": {"com", []string{"a.b.example.com", "b.example.com", "example.com", "com"}},
	} {
		for _, asks := range []string{"a.b.example.com", "*.a.b.example.com"} {
			z := newZones()
			if tt.at != "" {
				z.caa(tt.at, "issue ;")
			}
			engine, _ := z.engine(t)
			got, err := engine.CheckCAA(t.Context(), caaQuestion(asks))
			if err != nil || got.Allowed != (tt.at == "") || got.Found != tt.at {
				t.Errorf("records %s: %+v, %v", name, got, err)
			}
			var names []string
			for _, q := range z.history {
				names = append(names, q.name)
			}
			if !slices.Equal(names, tt.want) {
				t.Errorf("records %s: asked for %q, want %q", name, names, tt.want)
			}
		}
	}
}

// TestCAAGoodTo has how long an outcome can be relied on: the least TTL of the look-ups
// or 8 hours, whichever is longer (BR 4.2.2.1).
func TestCAAGoodTo(t *testing.T) {
	for _, tt := range []struct{ own, parent, want time.Duration }{
		{time.Minute, 24 * time.Hour, 8 * time.Hour},
		{24 * time.Hour, time.Minute, 8 * time.Hour},
		{24 * time.Hour, 12 * time.Hour, 12 * time.Hour},
		{0, 0, 8 * time.Hour},
	} {
		z := newZones()
		z.answers[asked{"www.example.com", resolver.TypeCAA}] = resolver.Answer{TTL: tt.own, Secure: true}
		z.answers[asked{"example.com", resolver.TypeCAA}] = resolver.Answer{TTL: tt.parent, CAA: []resolver.CAA{{Tag: "issue", Value: "ca.example.com"}}}
		engine, clock := z.engine(t)
		got, err := engine.CheckCAA(t.Context(), caaQuestion("www.example.com"))
		if err != nil || !got.Allowed || !got.At.Equal(clock.Now()) || !got.GoodTo.Equal(clock.Now().Add(tt.want)) {
			t.Errorf("TTLs of %s and %s: %+v, %v; want %s", tt.own, tt.parent, got, err, tt.want)
		}
		if got.DNSSEC != telamon.DNSSECInsecure {
			t.Errorf("one of two answers is proven: %q", got.DNSSEC)
		}
	}
}

// TestFailedCAA has requirement 80 as a table: look-ups that fail, at which name, and
// what is proven of its zone.
func TestFailedCAA(t *testing.T) {
	tests := []struct {
		title    string
		at       string
		cause    error
		once     bool
		insecure map[string]bool
		allowed  bool
		tries    int
	}{
		{title: "once", at: "www.example.com", once: true, allowed: true, tries: 2},
		{title: "without proof", at: "www.example.com", tries: 2},
		{title: "proven to be signed", at: "www.example.com", insecure: map[string]bool{"www.example.com": false}, tries: 2},
		{title: "proven to be unsigned", at: "www.example.com", insecure: map[string]bool{"www.example.com": true}, allowed: true, tries: 2},
		{title: "another zone is unsigned", at: "example.com", insecure: map[string]bool{"www.example.com": true}, tries: 2},
		{title: "a parent", at: "com", insecure: map[string]bool{"com": true}, allowed: true, tries: 2},
		{title: "bogus", at: "www.example.com", cause: resolver.ErrBogus, insecure: map[string]bool{"www.example.com": true}, tries: 1},
		{title: "a bogus parent", at: "com", cause: resolver.ErrBogus, insecure: map[string]bool{"com": true}, tries: 1},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			z := newZones()
			z.insecure = tt.insecure
			z.fail(tt.at, resolver.TypeCAA, tt.cause)
			z.down[asked{tt.at, resolver.TypeCAA}] = !tt.once
			engine, clock := z.engine(t)
			got, err := engine.CheckCAA(t.Context(), caaQuestion("www.example.com"))
			if err != nil || got.Allowed != tt.allowed || got.Found != "" {
				t.Fatalf("%+v, %v; want allowed %v", got, err, tt.allowed)
			}
			if relied := tt.allowed && !tt.once; (relied || !tt.allowed) != strings.Contains(got.Problem, tt.at) {
				t.Errorf("the problem is %q", got.Problem)
			}
			if tt.allowed && !tt.once && (got.DNSSEC != telamon.DNSSECInsecure || !got.GoodTo.Equal(clock.Now().Add(8*time.Hour))) {
				t.Errorf("what was not seen is %q, good to %s", got.DNSSEC, got.GoodTo)
			}
			tries := 0
			for _, q := range z.history {
				if q.name == tt.at {
					tries++
				}
			}
			if tries != tt.tries {
				t.Errorf("%s was looked up %d times, want %d", tt.at, tries, tt.tries)
			}
		})
	}
	t.Run("records above it forbid", func(t *testing.T) {
		z := newZones()
		z.insecure["www.example.com"] = true
		z.fail("www.example.com", resolver.TypeCAA, errors.New("no route"))
		z.caa("example.com", "issue ;")
		engine, _ := z.engine(t)
		if got, err := engine.CheckCAA(t.Context(), caaQuestion("www.example.com")); err != nil || got.Allowed || got.Found != "example.com" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
