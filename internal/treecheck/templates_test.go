package treecheck

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// The file that holds the sums of the templates and of what templ made of them.
const (
	templDir = "internal/portal/"
	templSum = templDir + "templ.sum"
)

// templates returns the text of templ.sum as it has to be, and how many templates
// there are. A template's Go file is in the same directory.
func templates(t *testing.T) (sums string, count int) {
	var text strings.Builder
	for _, f := range files(t, ".templ", ".go") {
		generated := strings.HasSuffix(f.path, "_templ.go")
		if !strings.HasPrefix(f.path, templDir) || path.Ext(f.path) != ".templ" && !generated {
			continue
		}
		if generated && !f.isGenerated() {
			t.Errorf("%s does not say that it is generated", f.path)
		}
		if !generated {
			count++
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(f.text), strings.TrimPrefix(f.path, templDir))
	}
	return text.String(), count
}

// TestGeneratedTemplates holds that the sums in templ.sum are those of the templates and
// of what templ made of them: neither was changed without the other. templ itself is not
// needed. After a change, run
//
//	go generate ./internal/portal/ui
//
// which runs templ and then this test with -update.
func TestGeneratedTemplates(t *testing.T) {
	sums, count := templates(t)
	if count < 3 || strings.Count(sums, "\n") != 2*count {
		t.Fatalf("there are %d templates, and not one Go file for each", count)
	}
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, filepath.FromSlash(templSum))
	if *update {
		if err := os.WriteFile(name, []byte(sums), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	was, is := sumLines(string(kept)), sumLines(sums)
	for name := range is {
		if was[name] != is[name] {
			t.Errorf("%s%s changed since templ ran: run go generate ./internal/portal/ui", templDir, name)
		}
	}
	for name := range was {
		if is[name] == "" {
			t.Errorf("%s%s is gone since templ ran: run go generate ./internal/portal/ui", templDir, name)
		}
	}
}
