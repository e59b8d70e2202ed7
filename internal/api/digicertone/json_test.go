package digicertone

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// sample is a request's body as routes have them.
type sample struct {
	Name    *string `json:"name"`
	Enabled *bool   `json:"enabled"`
	Account struct {
		ID string `json:"id"`
	} `json:"account"`
	Roles []struct {
		ID string `json:"id"`
	} `json:"roles"`
}

func TestDecodeObject(t *testing.T) {
	deep := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	tests := []struct {
		name, body, want string // what is wrong, "" for nothing
	}{
		{"ok", `{"name":"a","enabled":true,"account":{"id":"1"},"roles":[{"id":"2"}]}`, ""},
		{"an empty object", ` {} `, ""},
		{"members that nobody reads", `{"else":{"name":1},"other":[null]}`, ""},
		{"null", `{"name":null,"enabled":null,"account":null,"roles":null}`, ""},
		{"nothing", ``, "body is not JSON"},
		{"an array", `[]`, "body is not a JSON object"},
		{"two values", `{}{}`, "body is not JSON"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "body is not UTF-8"},
		{"half a pair of surrogates", `{"name":"\ud800"}`, "body has text that is not Unicode"},
		{"a member twice", `{"enabled":true,"enabled":false}`, "body has a member twice"},
		{"a member twice in other case", `{"enabled":true,"Enabled":false}`, "body has a member twice"},
		{"the Kelvin sign", `{"key":1,"` + "\u212aey" + `":2}`, "body has a member twice"},
		{"a member twice where nobody reads", `{"else":[{"a":1,"a":2}]}`, "body has a member twice"},
		{"as deep as may be", deep(maxDepth - 1), ""},
		{"too deep", deep(maxDepth), "body is nested too deeply"},
		{"a text for a truth", `{"enabled":"true"}`, "enabled has to be true or false"},
		{"a number for a text", `{"name":1}`, "name has to be a string"},
		{"an object for a list", `{"roles":{}}`, "roles has to be an array"},
		{"a text for an object", `{"account":"1"}`, "account has to be an object"},
		{"inside", `{"account":{"id":1}}`, "account.id has to be a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in sample
			err := decodeObject([]byte(tt.body), &in)
			if tt.want == "" {
				if err != nil {
					t.Errorf("%s: %v", tt.body, err)
				}
				return
			}
			f := fault.From(err)
			if f == nil || f.Kind != fault.Malformed || len(f.Fields) != 1 || f.Fields[0].Path+" "+f.Fields[0].Problem != tt.want {
				t.Errorf("%s: %v, want %s", tt.body, err, tt.want)
			}
		})
	}
}

// FuzzDecodeObject holds that what is read is read the same when it is written anew, and
// that nothing else than a Malformed fault is said about the rest.
func FuzzDecodeObject(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		var in sample
		if err := decodeObject(body, &in); err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("%q is read, and encoding/json says %v", body, err)
		}
		again, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out sample
		if err := decodeObject(again, &out); err != nil {
			t.Fatalf("%q is written as %s: %v", body, again, err)
		}
		if twice, err := json.Marshal(out); err != nil || string(twice) != string(again) {
			t.Errorf("%s is written as %s, %v", again, twice, err)
		}
	})
}

func TestUUIDs(t *testing.T) {
	id := telamon.NewUserID()
	b, ok := parseUUID(uuidOf(id))
	if !ok || telamon.UserIDFromBytes(b) != id {
		t.Errorf("%s is %s on the wire, which is read as %x, %v", id, uuidOf(id), b, ok)
	}
	if b2, ok := parseUUID(strings.ToUpper(uuidOf(id))); !ok || b2 != b {
		t.Error("the case of digits counts")
	}
	if got := uuidOf(telamon.UserID("")); got != "" {
		t.Errorf("no ID is %q on the wire", got)
	}
	for _, text := range []string{"", "me", id.String(), strings.ReplaceAll(uuidOf(id), "-", ""), uuidOf(id) + "0", "{" + uuidOf(id)[1:35] + "}"} {
		if _, ok := parseUUID(text); ok {
			t.Errorf("%q is read as a UUID", text)
		}
	}
}

// FuzzUUID holds that a UUID that is read is what is written for its ID.
func FuzzUUID(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		b, ok := parseUUID(text)
		if !ok {
			return
		}
		if got := uuidOf(telamon.UserIDFromBytes(b)); got != strings.ToLower(text) {
			t.Errorf("%q is written as %q", text, got)
		}
	})
}
