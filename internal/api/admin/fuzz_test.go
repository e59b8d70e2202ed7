package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/telamon-ca/telamon/internal/fault"
)

// FuzzBody reads bodies as the route does that has the largest one. What is refused
// is the caller's fault; what is read says the same when it is written again.
func FuzzBody(f *testing.F) {
	read := func(t *testing.T, text []byte) (*ServiceSpec, error) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/services", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		in := &ServiceSpec{}
		return in, (&call{r: r}).body(in)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := read(t, text)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatalf("%q is refused with %v", text, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is read although it is no JSON", text)
		}
		if in.Policy == nil {
			in.Policy = json.RawMessage("null") // as it is written
		}
		written, err := json.Marshal(in)
		if err != nil {
			t.Fatalf("%q is read as %+v, which cannot be written: %v", text, in, err)
		}
		again, err := read(t, written)
		if err != nil {
			t.Fatalf("%s cannot be read: %v", written, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(written, twice) {
			t.Errorf("written as %s, and then as %s, %v", written, twice, err)
		}
	})
}
