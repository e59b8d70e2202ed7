package treecheck

import (
	"bytes"
	"go/ast"
	"testing"
)

// The sizes beyond which a file or a function is split. Tests and generated files
// may be longer.
const (
	maxFile     = 800
	maxFunction = 120
)

func TestSizes(t *testing.T) {
	for _, s := range sources(t, handWritten) {
		if lines := bytes.Count(s.text, []byte("\n")); lines > maxFile {
			t.Errorf("%s has %d lines; split what is longer than %d", s.path, lines, maxFile)
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := s.line(f.End()) - s.line(f.Pos()) + 1; lines > maxFunction {
				t.Errorf("%s:%d: %s has %d lines; split what is longer than %d", s.path, s.line(f.Pos()), f.Name.Name, lines, maxFunction)
			}
		}
	}
}
