package operator

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/telamon-ca/telamon/internal/policy"
)

// TestFormOfPolicy makes the form of each policy, and the policy of each form.
func TestFormOfPolicy(t *testing.T) {
	files, err := filepath.Glob("../../playground/policies/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies, so this would prove nothing: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := policy.ParseModel(text)
		if err != nil {
			t.Fatal(err)
		}
		before := pretty(m)
		if wrong := applyForm(m, formOf(m)); wrong != nil || pretty(m) != before {
			t.Errorf("%s becomes\n%s\n%v", name, pretty(m), wrong)
		}
	}
}

// FuzzForm reads forms of the policy editor: a form that is refused changes nothing, and one
// that is read makes a policy whose form says the same and makes the same policy.
func FuzzForm(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte, query string) {
		m, err := policy.ParseModel(text)
		if err != nil {
			return
		}
		before := pretty(m)
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if wrong := applyForm(m, v); wrong != nil {
			if pretty(m) != before {
				t.Fatalf("the form %q is refused with %v, and changes\n%s\nto\n%s", query, wrong, before, pretty(m))
			}
			return
		}
		made, form := pretty(m), formOf(m)
		if !sameForm(m, form) {
			t.Errorf("the form of\n%s\nis %q, which is said to differ", made, form.Encode())
		}
		if wrong := applyForm(m, form); wrong != nil || pretty(m) != made {
			t.Errorf("the form %q of\n%s\nmakes\n%s\n%v", form.Encode(), made, pretty(m), wrong)
		}
	})
}
