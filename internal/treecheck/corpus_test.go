package treecheck

import (
	"bytes"
	"go/ast"
	"path"
	"strings"
	"testing"
)

// TestCorpora holds that every fuzz target has seeds in testdata/fuzz, in the form
// of "go test", and that every corpus has its target: a corpus that went missing,
// or that no target reads, would prove nothing in silence.
func TestCorpora(t *testing.T) {
	seeds := map[string]int{} // by directory
	for _, f := range files(t) {
		if path.Base(path.Dir(path.Dir(f.path))) != "fuzz" || path.Base(path.Dir(path.Dir(path.Dir(f.path)))) != "testdata" {
			continue
		}
		seeds[path.Dir(f.path)]++
		if !bytes.HasPrefix(f.text, []byte("go test fuzz v1\n")) {
			t.Errorf("%s does not start as a seed does", f.path)
		}
	}
	targets := map[string]bool{}
	for _, s := range sources(t, func(s source) bool { return s.isTest() }) {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			dir := path.Join(path.Dir(s.path), "testdata", "fuzz", f.Name.Name)
			targets[dir] = true
			if seeds[dir] == 0 {
				t.Errorf("%s:%d: %s has no seeds in %s", s.path, s.line(f.Pos()), f.Name.Name, dir)
			}
		}
	}
	for dir := range seeds {
		if !targets[dir] {
			t.Errorf("%s holds seeds of a target that does not exist", dir)
		}
	}
}
