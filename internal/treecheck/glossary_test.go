package treecheck

import (
	"strings"
	"testing"
)

// TestGlossary holds that each table of docs/GLOSSARY.md is in order, and that a
// term stands in one place only.
func TestGlossary(t *testing.T) {
	seen := map[string]bool{}
	before := ""
	for _, f := range files(t, ".md") {
		if f.path != "docs/GLOSSARY.md" {
			continue
		}
		for row := range strings.Lines(string(f.text)) {
			cells := strings.Split(row, "|")
			if len(cells) != 5 {
				before = ""
				continue
			}
			term, meaning := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
			if term == "Term" || strings.HasPrefix(term, "--") {
				continue
			}
			if meaning == "" {
				t.Errorf("%q has no meaning", term)
			}
			if strings.ToLower(term) < before {
				t.Errorf("%q stands after %q", term, before)
			}
			before = strings.ToLower(term)
			for one := range strings.SplitSeq(term, ", ") {
				if seen[one] {
					t.Errorf("%q is there twice", one)
				}
				seen[one] = true
			}
		}
	}
	if len(seen) < 50 {
		t.Errorf("the glossary has %d terms", len(seen))
	}
}
