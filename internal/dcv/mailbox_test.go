package dcv_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// published returns the mailboxes of a list that are not constructed.
func published(boxes dcv.Mailboxes) []dcv.Mailbox {
	return slices.DeleteFunc(slices.Clone(boxes.List), func(b dcv.Mailbox) bool { return b.Method == telamon.MethodEmail })
}

// TestPublishedContacts has where contacts count (BR 3.2.2.4.13 and 3.2.2.4.14): at the
// name, also through its CNAME, at its parents without one, and below a label.
func TestPublishedContacts(t *testing.T) {
	z := newZones()
	contact := func(name, address string, chain ...string) {
		z.caa(name, "contactemail "+address, "issue ;")
		answer := z.answers[asked{name, resolver.TypeCAA}]
		answer.Chain = chain
		z.answers[asked{name, resolver.TypeCAA}] = answer
	}
	contact("www.shop.example.com", "own@example.org", "alias.example.org")
	contact("shop.example.com", "parent@example.org", "alias.example.org")
	contact("example.com", "base@example.org")
	contact("com", "suffix@example.org")
	z.txt("_validation-contactemail.shop.example.com", []string{"txt@example.org", "BASE@example.org"}, "contact.example.org")
	engine, _ := z.engine(t)
	boxes := engine.Mailboxes(t.Context(), "www.shop.example.com", nil)
	var got []string
	for _, b := range published(boxes) {
		got = append(got, fmt.Sprint(b.Address, " ", b.ADN, " ", b.Method, " ", b.Through, " ", b.DNSSEC))
	}
	want := []string{
		"own@example.org www.shop.example.com email-caa [alias.example.org] secure",
		"txt@example.org shop.example.com email-txt [] secure",
		"BASE@example.org shop.example.com email-txt [] secure",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the contacts are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(boxes.Problems) != 0 {
		t.Errorf("the problems are %q", boxes.Problems)
	}
	for _, q := range z.history {
		if q.kind != resolver.TypeCAA && q.kind != resolver.TypeTXT || q.name == "com" || strings.HasSuffix(q.name, "contactemail.com") {
			t.Errorf("asked for type %d of %s", q.kind, q.name)
		}
	}
}

// TestContactsBounded has a domain that publishes no end of contacts.
func TestContactsBounded(t *testing.T) {
	z := newZones()
	var records, texts []string
	for i := range 10_000 {
		records = append(records, fmt.Sprintf("contactemail caa%d@example.org", i))
		texts = append(texts, fmt.Sprintf("txt%d@example.org", i))
	}
	z.caa("example.com", records...)
	z.txt("_validation-contactemail.example.com", texts)
	engine, _ := z.engine(t)
	if got := published(engine.Mailboxes(t.Context(), "example.com", nil)); len(got) != 50 {
		t.Errorf("%d contacts, want 50", len(got))
	}
}

// TestBogusContacts has contacts whose answers may be forged: none of them counts, and
// the others do (ca-rules, Section 5).
func TestBogusContacts(t *testing.T) {
	z := newZones()
	z.caa("example.com", "contactemail caa@example.org")
	z.txt("_validation-contactemail.example.com", []string{"txt@example.org"})
	z.fail("example.com", resolver.TypeCAA, resolver.ErrBogus)
	engine, _ := z.engine(t)
	boxes := engine.Mailboxes(t.Context(), "example.com", nil)
	if got := published(boxes); len(got) != 1 || got[0].Address != "txt@example.org" {
		t.Errorf("the contacts are %+v", got)
	}
	if len(boxes.Problems) != 1 || !strings.Contains(boxes.Problems[0], "example.com") {
		t.Errorf("the problems are %q", boxes.Problems)
	}
	if len(boxes.List) != 6 {
		t.Errorf("the mailboxes are %+v", boxes.List)
	}
}

// TestPrivateContacts has the parents of a name of an internal network.
func TestPrivateContacts(t *testing.T) {
	engine, _ := newZones().engine(t)
	var domains []string
	for _, b := range engine.Mailboxes(t.Context(), "a.corp.internal", []dnsname.Name{"corp.internal"}).List {
		if !slices.Contains(domains, b.ADN) {
			domains = append(domains, b.ADN)
		}
	}
	if !slices.Equal(domains, []string{"a.corp.internal", "corp.internal"}) {
		t.Errorf("the domains are %q", domains)
	}
}

// TestParseContact has what is an address, whole and alone.
func TestParseContact(t *testing.T) {
	for text, want := range map[string]bool{
		"a@example.com":                                  true,
		"A.b+c@EXAMPLE.com":                              true,
		"o'neil_x%y@mail.example.co.uk":                  true,
		strings.Repeat("a", 64) + "@example.com":         true,
		strings.Repeat("a", 65) + "@example.com":         false,
		"a@" + strings.Repeat("b.", 122) + "example.com": false,
		"":                 false,
		"a":                false,
		"@example.com":     false,
		"a@":               false,
		"a@@example.com":   false,
		"a..b@example.com": false,
		".a@example.com":   false,
		" a@example.com":   false,
		"a@example.com ":   false,
		"a@example.com\n":  false,
		"a@example.com\r\nRCPT TO:<b@example.com>": false,
		"a@example.com,b@example.com":              false,
		"<a@example.com>":                          false,
		"A <a@example.com>":                        false,
		"a(b)@example.com":                         false,
		"\"a\"@example.com":                        false,
		"\"a,b\"@example.com":                      false,
		"a@[192.0.2.1]":                            false,
		"a@192.0.2.1":                              false,
		"a@*.example.com":                          false,
		"a@ex_ample.com":                           false,
		"a@-example.com":                           false,
		"ü@example.com":                            false,
		"a@bücher.example.com":                     false,
		"a\x00@example.com":                        false,
		"mailto:a@example.com":                     false,
	} {
		address, ok := dcv.ParseContact(text)
		if ok != want || ok && address != text {
			t.Errorf("%q: %q, %v; want %v", text, address, ok, want)
		}
	}
}
