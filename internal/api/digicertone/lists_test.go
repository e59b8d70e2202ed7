package digicertone

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/telamon-ca/telamon/internal/fault"
)

func TestWriteArray(t *testing.T) {
	list := []int{1, 2, 3}
	tests := []struct {
		query, want string // "" for a fault
	}{
		{"", "[1,2,3]"},
		{"limit=2", "[1,2]"},
		{"limit=2&offset=2", "[3]"},
		{"offset=1", "[2,3]"},
		{"offset=3", "[]"},
		{"offset=9007199254740992&limit=100", "[]"},
		{"limit=&offset=", "[1,2,3]"},
		{"other=%20x", "[1,2,3]"},
		{"limit=0", ""},
		{"limit=101", ""},
		{"limit=ten", ""},
		{"limit=1&limit=2", ""},
		{"offset=-1", ""},
		{"offset=9223372036854775808", ""},
		{"limit=1;offset=2", ""},
		{"a=%zz", ""},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		err := writeArray(&call{w: w, r: httptest.NewRequest("GET", "/x?"+tt.query, nil)}, list)
		if got := w.Body.String(); got != tt.want || (err != nil) != (tt.want == "") || err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %q, %v; want %q", tt.query, got, err, tt.want)
		}
	}
	w := httptest.NewRecorder()
	if err := writeArray[int](&call{w: w, r: httptest.NewRequest("GET", "/x?limit=5", nil)}, nil); err != nil || w.Body.String() != "[]" {
		t.Errorf("an empty list is %q, %v", w.Body, err)
	}
}

func TestWriteEnvelope(t *testing.T) {
	w := httptest.NewRecorder()
	err := writeEnvelope[int](&call{w: w}, nil, 41, defaultLimit, 40)
	if want := `{"total":41,"offset":40,"limit":20,"items":[]}`; err != nil || w.Body.String() != want {
		t.Errorf("an empty page is %s, %v; want %s", w.Body, err, want)
	}
}

// FuzzPage holds that limit and offset that are read are within their bounds.
func FuzzPage(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		limit, offset, err := page(query, defaultLimit)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatal(err)
			}
			return
		}
		if limit < 1 || limit > maxLimit || offset < 0 {
			t.Errorf("%q is the limit %d and the offset %d", text, limit, offset)
		}
	})
}
