package page_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/telamon-ca/telamon/internal/portal/page"
)

func TestDiff(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after string
		want          []page.Difference
	}{
		"nothing":   {"", "", nil},
		"new":       {"", `{"email":"a@example.com"}`, []page.Difference{{"email", "", "a@example.com"}}},
		"a list":    {`{"roles":["finance"]}`, `{"roles":["finance","auditor"]}`, []page.Difference{{"roles[0]", "finance", "finance"}, {"roles[1]", "", "auditor"}}},
		"deep":      {`{"a":{"b":1}}`, `{"a":{"b":2}}`, []page.Difference{{"a.b", "1", "2"}}},
		"no object": {`true`, `"x"`, []page.Difference{{"", "true", "x"}}},
		"empty":     {`{"a":{}}`, `{"a":[]}`, []page.Difference{{"a", "{}", "[]"}}},
	} {
		if got := page.Diff(json.RawMessage(tt.before), json.RawMessage(tt.after)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// FuzzDiff compares texts that may be no JSON: the same ones differ in nothing, and what was
// before is after if they change places.
func FuzzDiff(f *testing.F) {
	if seeds, err := os.ReadDir("testdata/fuzz/FuzzDiff"); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		for _, d := range page.Diff(before, before) {
			if d.Changed() {
				t.Fatalf("%q differs from itself in %+v", before, d)
			}
		}
		back := page.Diff(after, before)
		for i, d := range page.Diff(before, after) {
			if back[i].Path != d.Path || back[i].Before != d.After || back[i].After != d.Before {
				t.Fatalf("%q and %q: %+v, and back %+v", before, after, d, back[i])
			}
		}
	})
}
