package dcv_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
)

func FuzzIssueValue(f *testing.F) {
	for _, seed := range []string{"", ";", "ca.example.com", "ca.example.com; accounturi=x ; validationmethods=a,b", "ca.example.com;x", "-a.com", "a..b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		issuer, parameters, ok := dcv.ParseIssueValue(text)
		if !ok && (issuer != "" || parameters != 0) {
			t.Fatalf("%q is none, and names %q", text, issuer)
		}
		if strings.ContainsAny(issuer, " \t;=") || parameters > strings.Count(text, "=") {
			t.Errorf("%q names %q with %d parameters", text, issuer, parameters)
		}
		again, _, ok2 := dcv.ParseIssueValue(" " + text + "\t")
		if ok != ok2 || again != issuer {
			t.Errorf("white space around %q changes it: %q, %v", text, again, ok2)
		}
		standing, account, isRecord := dcv.ParseStanding(text)
		if isRecord && (standing != issuer || strings.ContainsAny(account, " ;")) {
			t.Errorf("the record %q names %q and %q", text, standing, account)
		}
	})
}

// FuzzCAAValue has a property issue of any value, which admits us only if it names us,
// and our account and a method of ours if it names any.
func FuzzCAAValue(f *testing.F) {
	for _, seed := range []string{"ca.example.com", "ca.example.com;accounturi=acct:a;validationmethods=ca-tbr-7", "ca.example.com; validationmethods=x,,", ";"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		z := newZones()
		z.caa("example.com", "issue "+value)
		engine, _ := z.engine(t)
		got, err := engine.CheckCAA(t.Context(), caaQuestion("www.example.com"))
		if err != nil || got.Found != "example.com" || got.Allowed == (got.Problem != "") {
			t.Fatalf("%q: %+v, %v", value, got, err)
		}
		if !got.Allowed {
			return
		}
		issuer, _, ok := dcv.ParseIssueValue(value)
		if lower := strings.ToLower(issuer); !ok || lower != "ca.example.com" && lower != "ca.example.net" {
			t.Errorf("%q, which names %q, admits us", value, issuer)
		}
		lower := strings.ToLower(value)
		if strings.Contains(lower, ";accounturi=") && !strings.Contains(lower, ";accounturi=acct:a") {
			t.Errorf("%q, which names another account, admits us", value)
		}
		if strings.Contains(lower, ";validationmethods=") && len(got.Methods) == 0 {
			t.Errorf("%q, which names methods, admits all of ours", value)
		}
	})
}

// FuzzPersistRecord has a standing record of any text, which counts only if it names an
// issuer of ours and our account and has not ended, and whose finding can be told.
func FuzzPersistRecord(f *testing.F) {
	for _, seed := range []string{"ca.example.com;accounturi=acct:a", "ca.example.com; accounturi=acct:a; persistUntil=253402300800", "ca.example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		z := newZones()
		z.txt("_validation-persist.example.com", []string{text})
		engine, clock := z.engine(t)
		got, err := engine.Validate(t.Context(), dcv.Question{
			Method: telamon.MethodPersist, Kind: telamon.ClaimDomain, Name: "www.example.com", ADN: "example.com",
			Issuers: []string{"ca.example.com"}, AccountURI: "acct:a",
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatalf("the finding of %q cannot be told: %v", text, err)
		}
		if !got.Found {
			return
		}
		issuer, account, ok := dcv.ParseStanding(text)
		if !ok || !strings.EqualFold(issuer, "ca.example.com") || account != "acct:a" {
			t.Errorf("%q, which names %q and %q, shows control", text, issuer, account)
		}
		if until := got.Evidence.Until; until != nil && !until.After(clock.Now()) {
			t.Errorf("%q has ended and shows control", text)
		}
	})
}

func FuzzAuthorizationDomain(f *testing.F) {
	f.Add("a.b.example.com", "_x.b.example.com.")
	f.Add("a.example.co.uk", "co.uk")
	f.Add("x.corp.internal", "corp.internal")
	private := []dnsname.Name{"corp.internal"}
	f.Fuzz(func(t *testing.T, name, asked string) {
		claimed, err := dnsname.ParseClaim(name, private)
		if err != nil {
			return
		}
		adn, method, err := dcv.AuthorizationDomain(claimed.String(), asked, private)
		if err != nil {
			if adn != "" || method != "" {
				t.Fatalf("%q is refused as %q by %q", asked, adn, method)
			}
			return
		}
		base := adn
		if strings.HasPrefix(adn, "_") {
			_, base, _ = strings.Cut(adn, ".")
		}
		if !claimed.IsWithin(dnsname.Name(base)) || claimed.Registrable() != "" && !dnsname.Name(base).IsWithin(claimed.Registrable()) &&
			!claimed.IsWithin("corp.internal") {
			t.Errorf("control of %s is shown at %s", claimed, adn)
		}
	})
}

func FuzzContact(f *testing.F) {
	for _, seed := range []string{"a@example.com", "A <a@example.com>", "a@b@example.com", "\"a b\"@example.com", "a@[192.0.2.1]", "a@example.com\r\nBcc: b@example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, ok := dcv.ParseContact(text)
		if ok != (address != "") || ok && address != text {
			t.Fatalf("%q is read as %q, %v", text, address, ok)
		}
		if ok && (strings.ContainsAny(address, "\r\n\t <>,;") || len(address) > 254) {
			t.Errorf("%q is a mailbox", text)
		}
	})
}

// FuzzFile has whatever a web server may answer.
func FuzzFile(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + token))
	f.Add([]byte("HTTP/1.1 301 Moved\r\nLocation: http://example.com/\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		engine := dcv.New(dcv.Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				go io.Copy(io.Discard, server)
				server.Write(answer)
			}()
			return client, nil
		}})
		got, err := engine.Validate(t.Context(), dcv.Question{
			Method: telamon.MethodHTTP, Kind: telamon.ClaimDomain, Name: "a.example.com", ADN: "a.example.com", Scheme: "http", Values: []string{token},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Found && !strings.Contains(string(answer), token) && !strings.Contains(string(answer), "chunked") {
			t.Errorf("%q shows control", answer)
		}
		if len(got.Problem) > 300 || strings.ContainsAny(got.Problem, "\r\n") {
			t.Errorf("the problem of %q is %q", answer, got.Problem)
		}
	})
}
