package audit_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123_000_000, time.UTC)

// issued is an event of the issuance path.
func issued() telamon.Event {
	return telamon.Event{
		ID: telamon.NewEventID(), At: noon.Add(456 * time.Microsecond),
		Actor: telamon.Actor{
			Kind: telamon.ActorCredential, Account: telamon.NewAccountID(), Address: netip.MustParseAddr("192.0.2.7"),
			RequestID: "req_1", Credential: telamon.NewCredentialID(), ClientCert: telamon.NewClientCertID(),
		},
		Action: "certificate.issue", Object: telamon.NewSerial(noon).String(), Account: telamon.NewAccountID(), Result: "ok",
		After: map[string]any{"issuer": "iss_1", "not_after": 1790000000, "dns_names": []string{"www.example.com"}},
	}
}

func TestEncode(t *testing.T) {
	e := issued()
	e.Before = map[string]string{"b": "<2>", "a": "1"}
	payload, err := audit.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.Decode(payload)
	if err != nil {
		t.Fatalf("Decode(%s): %v", payload, err)
	}
	want := &audit.Payload{
		Salt: got.Salt, ID: e.ID, At: noon, Actor: e.Actor.Credential.String(), Kind: telamon.ActorCredential,
		ClientCert: e.Actor.ClientCert, Account: e.Account, Address: e.Actor.Address, RequestID: "req_1",
		Action: e.Action, Object: e.Object, Result: "ok",
		Before: json.RawMessage(`{"a":"1","b":"\u003c2\u003e"}`),
		After:  json.RawMessage(`{"dns_names":["www.example.com"],"issuer":"iss_1","not_after":1790000000}`),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("Decode(Encode(e)) differs (-want +got):\n%s", diff)
	}
	if len(got.Salt) != 16 || bytes.Equal(got.Salt, make([]byte, 16)) {
		t.Errorf("the salt is %x, want 16 random octets", got.Salt)
	}
	again, err := audit.Encode(e)
	if err != nil || audit.LeafHash(again) == audit.LeafHash(payload) {
		t.Errorf("an event encoded twice has one leaf hash (%v): it could be guessed from its content", err)
	}
}

// TestEncodeOctets holds that what is not text, such as an object that a stranger
// named, is encoded so that it can be decoded.
func TestEncodeOctets(t *testing.T) {
	e := issued()
	e.Object, e.Actor.RequestID = "a\xff\u2028<\x00\"", "\xed\xa0\x80"
	e.After = map[string]string{"name": "b\xfe"}
	payload, err := audit.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.Decode(payload)
	if err != nil {
		t.Fatalf("Decode(%q): %v", payload, err)
	}
	if want := "a\uFFFD\u2028<\x00\""; got.Object != want {
		t.Errorf("the object is %q, want %q", got.Object, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*telamon.Event)
	}{
		{"no id", func(e *telamon.Event) { e.ID = "" }},
		{"an id of another kind", func(e *telamon.Event) { e.ID = telamon.EventID(telamon.NewUserID()) }},
		{"no action", func(e *telamon.Event) { e.Action = "" }},
		{"no result", func(e *telamon.Event) { e.Result = "" }},
		{"no actor", func(e *telamon.Event) { e.Actor = telamon.Actor{} }},
		{"a state that is not JSON", func(e *telamon.Event) { e.After = func() {} }},
		{"an earlier state that is not JSON", func(e *telamon.Event) { e.Before = make(chan int) }},
		{"a year of five digits", func(e *telamon.Event) { e.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"too long", func(e *telamon.Event) { e.After = strings.Repeat("x", audit.MaxPayload) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := issued()
			tt.change(&e)
			if payload, err := audit.Encode(e); err == nil {
				t.Errorf("Encode gives %.100q, want an error", payload)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	encoded, err := audit.Encode(issued())
	if err != nil {
		t.Fatal(err)
	}
	good := string(encoded)
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s has no %s", good, old)
		}
		return strings.Replace(good, old, new, 1)
	}
	tests := []struct{ name, payload string }{
		{"empty", ""},
		{"not JSON", "audit"},
		{"null", "null"},
		{"an array", "[]"},
		{"cut off", good[:len(good)-1]},
		{"a second value", good + good},
		{"white space after it", good + "\n"},
		{"white space before it", " " + good},
		{"white space in it", replace(`,"at"`, `, "at"`)},
		{"an unknown member", replace(`"at"`, `"extra":1,"at"`)},
		{"a member twice", replace(`"result":"ok"`, `"result":"denied","result":"ok"`)},
		{"a member in another case", replace(`"result"`, `"Result"`)},
		{"members in another order", replace(`"request_id":"req_1","action":"certificate.issue"`, `"action":"certificate.issue","request_id":"req_1"`)},
		{"an empty optional member", replace(`"request_id":"req_1"`, `"request_id":""`)},
		{"an escaped letter", replace(`"req_1"`, `"\u0072eq_1"`)},
		{"another zone", replace(`.123Z`, `.123+00:00`)},
		{"an id of another kind", replace(`"evt_`, `"usr_`)},
		{"no result", replace(`"result":"ok"`, `"result":""`)},
		{"a short salt", replace(`"salt":"`, `"salt":"AAAA",x"`)},
		{"spaces in a state", replace(`"issuer":`, `"issuer": `)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := audit.Decode([]byte(tt.payload)); err == nil {
				t.Errorf("Decode(%s) = %+v, want an error", tt.payload, got)
			}
		})
	}
}

func TestEventTime(t *testing.T) {
	before := time.Now().Add(-time.Second)
	id, _ := telamon.NewEventID().Bytes()
	if at := audit.EventTime(id); at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("EventTime(%x) = %s, want about now", id, at)
	}
	if first := audit.FirstID(noon); audit.EventTime(first) != noon {
		t.Errorf("EventTime(FirstID(%s)) = %s", noon, audit.EventTime(first))
	}
	if first := audit.FirstID(audit.EventTime(id)); bytes.Compare(first[:], id[:]) > 0 {
		t.Errorf("FirstID of its time is %x, which is above %x", first, id)
	}
	if first := audit.FirstID(time.Time{}); first != [16]byte{} {
		t.Errorf("FirstID of the year 1 is %x, want zero", first)
	}
}

// FuzzDecode holds that Decode accepts only what encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	corpus, err := os.ReadFile("testdata/payloads.txt")
	if err != nil || len(corpus) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	for line := range strings.Lines(string(corpus)) {
		f.Add([]byte(strings.TrimSuffix(line, "\n")))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := audit.Decode(payload)
		if err != nil {
			if p != nil {
				t.Fatalf("Decode(%q) = %+v with an error", payload, p)
			}
			return
		}
		again, err := json.Marshal(p)
		if err != nil || !bytes.Equal(again, payload) {
			t.Errorf("Decode(%q) encodes as %q, %v", payload, again, err)
		}
		if _, ok := p.ID.Bytes(); !ok || p.Action == "" || p.Result == "" {
			t.Errorf("Decode(%q) accepts an event without id, action or result", payload)
		}
	})
}

// TestSeeds holds that the fuzzer starts from payloads that are accepted.
func TestSeeds(t *testing.T) {
	corpus, err := os.ReadFile("testdata/payloads.txt")
	if err != nil {
		t.Fatal(err)
	}
	var good int
	for line := range strings.Lines(string(corpus)) {
		if _, err := audit.Decode([]byte(strings.TrimSuffix(line, "\n"))); err == nil {
			good++
		}
	}
	if good < 3 {
		t.Errorf("%d seeds are accepted, want at least 3", good)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := issued()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := audit.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	payload, err := audit.Encode(issued())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := audit.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
