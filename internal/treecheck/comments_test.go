package treecheck

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"
)

// TestPackageComments holds that every package says what it is: one file that is
// not a test has a comment that starts with "Package x", or "Command x" for a main
// package, where x is the name of its directory.
func TestPackageComments(t *testing.T) {
	type pkg struct{ name, comment string }
	packages := map[string]pkg{}
	for _, s := range sources(t, handWritten) {
		dir := path.Dir(s.path)
		p := packages[dir]
		p.name = s.ast.Name.Name
		if s.ast.Doc != nil {
			p.comment += s.ast.Doc.Text()
		}
		packages[dir] = p
	}
	for dir, p := range packages {
		want := "Package " + p.name
		if p.name == "main" {
			want = "Command " + path.Base(dir)
		}
		words, ok := strings.CutPrefix(p.comment, want)
		if !ok || strings.TrimSpace(words) == "" || words[0] != ' ' && words[0] != '\n' {
			t.Errorf("%s: the package comment has to start with %q and to go on; it is %.40q", dir, want, p.comment)
		}
	}
}

// TestExportedComments holds that every exported declaration has a comment. A
// group in parentheses may have one for all that it declares.
func TestExportedComments(t *testing.T) {
	for _, s := range sources(t, handWritten) {
		for _, name := range uncommented(s) {
			t.Errorf("%s has no comment", name)
		}
	}
}

// uncommented returns the exported declarations of s without a comment, each with
// its place.
func uncommented(s source) []string {
	var found []string
	missing := func(at token.Pos, name string) {
		found = append(found, fmt.Sprintf("%s:%d: %s", s.path, s.line(at), name))
	}
	for _, d := range s.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
				missing(d.Pos(), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
						missing(spec.Pos(), spec.Name.Name)
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
							missing(name.Pos(), name.Name)
						}
					}
				}
			}
		}
	}
	return found
}

// receiver returns the name of the type of d's receiver.
func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func TestUncommented(t *testing.T) {
	const code = `package x

func A() {}

// B is good.
func B() {}

type C struct{}

func (c *C) D() {}

type hidden struct{}

func (hidden) E() {}

// These are good.
const (
	F = 1
	G = 2
)

var H, i = 1, 2

type (
	J int
)

func (c *K[T]) L() {}
`
	s, err := parse(file{"x.go", []byte(code)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, place := range uncommented(s) {
		got = append(got, place[strings.LastIndex(place, " ")+1:])
	}
	if strings.Join(got, " ") != "A C D H J L" {
		t.Errorf("found %q", got)
	}
}
