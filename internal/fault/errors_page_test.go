package fault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon/internal/fault"
)

// TestErrorsPage compares docs/ERRORS.md with the source: every code of a fault
// with its kinds, every reason of a refused authentication, and every kind.
func TestErrorsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	source := readSource(t, "../..")

	t.Run("codes", func(t *testing.T) {
		written, found := tableOf(t, string(page), "Codes"), source.codes(t)
		if len(found) == 0 {
			t.Fatal("no codes were found in the source: this test proves nothing")
		}
		for code, kinds := range found {
			if len(kinds) == 0 { // a constant that no fault has yet: the page says what it will be
				found[code] = written[code]
			}
		}
		compare(t, written, found)
	})
	t.Run("reasons", func(t *testing.T) {
		written := slices.Sorted(maps.Keys(tableOf(t, string(page), "Reasons")))
		if diff := cmp.Diff(source.reasons(), written); diff != "" {
			t.Errorf("the reasons of the source (-) and of the page (+) differ:\n%s", diff)
		}
	})
	t.Run("kinds", func(t *testing.T) {
		var kinds []string
		for _, kind := range fault.Kinds() {
			kinds = append(kinds, kind.String())
		}
		slices.Sort(kinds)
		written := slices.Sorted(maps.Keys(tableOf(t, string(page), "Kinds")))
		if diff := cmp.Diff(kinds, written); diff != "" {
			t.Errorf("the kinds of the source (-) and of the page (+) differ:\n%s", diff)
		}
	})
}

func compare(t *testing.T, written, found map[string][]string) {
	t.Helper()
	for code, kinds := range found {
		switch on, ok := written[code]; {
		case !ok:
			t.Errorf("the page lacks %s (%s)", code, strings.Join(kinds, ", "))
		case !slices.Equal(on, kinds):
			t.Errorf("%s is %v on the page and %v in the source", code, on, kinds)
		}
	}
	for code := range written {
		if _, ok := found[code]; !ok {
			t.Errorf("the page has %s, which is not in the source", code)
		}
	}
}

var tableRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\|")

// tableOf returns the first column of the tables of a section, and what is in the
// second one, separated by commas.
func tableOf(t *testing.T, page, section string) map[string][]string {
	t.Helper()
	_, text, ok := strings.Cut(page, "\n## "+section+"\n")
	if !ok {
		t.Fatalf("the page has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	rows := map[string][]string{}
	for _, row := range tableRow.FindAllStringSubmatch(text, -1) {
		if rows[row[1]] != nil {
			t.Errorf("the page has %s twice", row[1])
		}
		rows[row[1]] = slices.Sorted(slices.Values(strings.Split(row[2], ", ")))
	}
	return rows
}

// sourceTree is the syntax of all packages but their tests.
type sourceTree struct {
	fset     *token.FileSet
	packages map[string]*sourcePackage // by folder below the root
}

type sourcePackage struct {
	fault  bool // it is package fault itself, which does not qualify its names
	funcs  []*ast.FuncDecl
	values []*ast.ValueSpec // of the package
}

func readSource(t *testing.T, root string) *sourceTree {
	t.Helper()
	s := &sourceTree{fset: token.NewFileSet(), packages: map[string]*sourcePackage{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (name == "testdata" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(s.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s.add(filepath.Dir(path), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sourceTree) add(folder string, file *ast.File) {
	p := s.packages[folder]
	if p == nil {
		p = &sourcePackage{fault: file.Name.Name == "fault"}
		s.packages[folder] = p
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			p.funcs = append(p.funcs, decl)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if value, ok := spec.(*ast.ValueSpec); ok {
					p.values = append(p.values, value)
				}
			}
		}
	}
}

// codes returns the kinds of each code: of every fault that is made somewhere, and
// none for a constant that names a code.
func (s *sourceTree) codes(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	add := func(p *sourcePackage, in *ast.FuncDecl, kind, code ast.Expr) {
		kindName, ok := kindOf(kind)
		codes := s.texts(p, in, code, 0)
		if !ok || len(codes) == 0 {
			t.Errorf("%s: this test cannot tell the kind and the code", s.fset.Position(code.Pos()))
		}
		for _, c := range codes {
			if !slices.Contains(found[c], kindName) {
				found[c] = slices.Sorted(slices.Values(append(found[c], kindName)))
			}
		}
	}
	for _, p := range s.packages {
		for _, value := range p.values {
			s.faults(p, nil, value, add)
			for i, name := range value.Names {
				if i < len(value.Values) && strings.HasPrefix(strings.ToLower(name.Name), "code") {
					for _, c := range s.texts(p, nil, value.Values[i], 0) {
						found[c] = append([]string{}, found[c]...)
					}
				}
			}
		}
		for _, f := range p.funcs {
			if p.fault && f.Name.Name == "New" {
				continue // its calls are what makes faults
			}
			s.faults(p, f, f, add)
		}
	}
	return found
}

// faults calls add with the kind and the code of each fault that is made in node,
// which stands in the function in, or in none.
func (s *sourceTree) faults(p *sourcePackage, in *ast.FuncDecl, node ast.Node, add func(*sourcePackage, *ast.FuncDecl, ast.Expr, ast.Expr)) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if isOfFault(p, n.Fun, "New") && len(n.Args) == 3 {
				add(p, in, n.Args[0], n.Args[1])
			}
		case *ast.CompositeLit:
			if isOfFault(p, n.Type, "Fault") && len(n.Elts) > 0 {
				var code ast.Expr = n // what the complaint is about if there is none
				if given := member(n, "Code"); given != nil {
					code = given
				}
				add(p, in, member(n, "Kind"), code)
			}
		}
		return true
	})
}

// isOfFault reports whether an expression is a name of package fault.
func isOfFault(p *sourcePackage, e ast.Expr, name string) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return p.fault && e.Name == name
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == "fault" && e.Sel.Name == name
	}
	return false
}

// member returns the value of a literal's member, nil if it has none.
func member(lit *ast.CompositeLit, name string) ast.Expr {
	for _, element := range lit.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == name {
				return pair.Value
			}
		}
	}
	return nil
}

// kindOf returns the name of the kind that an expression names: internal for none.
func kindOf(e ast.Expr) (string, bool) {
	name := "Internal"
	switch e := e.(type) {
	case nil:
	case *ast.Ident:
		name = e.Name
	case *ast.SelectorExpr:
		name = e.Sel.Name
	default:
		return "", false
	}
	var text strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			text.WriteByte('_')
		}
		text.WriteString(strings.ToLower(string(r)))
	}
	ok := slices.ContainsFunc(fault.Kinds(), func(k fault.Kind) bool { return k.String() == text.String() })
	return text.String(), ok
}

// maxSteps bounds how far the source of a text is followed.
const maxSteps = 8

// texts returns every text that an expression can be: a literal, a constant, what
// was assigned to the variable in the same function, or what the callers of the
// function pass. It returns none if it cannot tell.
func (s *sourceTree) texts(p *sourcePackage, in *ast.FuncDecl, e ast.Expr, step int) []string {
	if step > maxSteps {
		return nil
	}
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING && text != "" {
			return []string{text}
		}
	case *ast.ParenExpr:
		return s.texts(p, in, e.X, step+1)
	case *ast.BinaryExpr:
		var all []string
		for _, left := range s.texts(p, in, e.X, step+1) {
			for _, right := range s.texts(p, in, e.Y, step+1) {
				all = append(all, left+right)
			}
		}
		return all
	case *ast.SelectorExpr:
		for _, other := range s.packages {
			if x, ok := e.X.(*ast.Ident); ok && x.Name == "fault" && other.fault {
				return s.named(other, e.Sel.Name, step)
			}
		}
	case *ast.Ident:
		if in != nil {
			if all := s.assigned(p, in, e.Name, step); len(all) > 0 {
				return all
			}
			if i := parameter(in, e.Name); i >= 0 {
				return s.passed(p, in.Name.Name, i, step)
			}
		}
		return s.named(p, e.Name, step)
	}
	return nil
}

// named returns what a constant or variable of the package is.
func (s *sourceTree) named(p *sourcePackage, name string, step int) []string {
	for _, value := range p.values {
		for i, n := range value.Names {
			if n.Name == name && i < len(value.Values) {
				return s.texts(p, nil, value.Values[i], step+1)
			}
		}
	}
	return nil
}

// assigned returns what a local name is set to.
func (s *sourceTree) assigned(p *sourcePackage, in *ast.FuncDecl, name string, step int) []string {
	var all []string
	set := func(left, right ast.Expr) {
		if ident, ok := left.(*ast.Ident); ok && ident.Name == name {
			all = append(all, s.texts(p, in, right, step+1)...)
		}
	}
	ast.Inspect(in, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i := range n.Lhs {
				if len(n.Lhs) == len(n.Rhs) {
					set(n.Lhs[i], n.Rhs[i])
				}
			}
		case *ast.ValueSpec:
			for i := range n.Values {
				set(n.Names[i], n.Values[i])
			}
		}
		return true
	})
	return all
}

// parameter returns the position of a function's parameter, -1 if it has none of
// the name.
func parameter(f *ast.FuncDecl, name string) int {
	i := 0
	for _, field := range f.Type.Params.List {
		for _, n := range field.Names {
			if n.Name == name {
				return i
			}
			i++
		}
	}
	return -1
}

// passed returns what calls of a function of the package pass at a position: those of all
// packages if it is exported.
func (s *sourceTree) passed(p *sourcePackage, function string, position, step int) []string {
	var all []string
	for _, caller := range s.packages {
		if caller != p && !ast.IsExported(function) {
			continue
		}
		for _, f := range caller.funcs {
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && position < len(call.Args) && calls(call.Fun, function) {
					all = append(all, s.texts(caller, f, call.Args[position], step+1)...)
				}
				return true
			})
		}
	}
	return all
}

// calls reports whether the called expression is the function or method of a name.
func calls(e ast.Expr, name string) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == name
	case *ast.SelectorExpr:
		return e.Sel.Name == name
	case *ast.IndexExpr: // with a type argument
		return calls(e.X, name)
	}
	return false
}

// reasons returns why authentications are refused: the constants of the type
// reason.
func (s *sourceTree) reasons() []string {
	var all []string
	for _, p := range s.packages {
		for _, value := range p.values {
			if of, ok := value.Type.(*ast.Ident); !ok || of.Name != "reason" {
				continue
			}
			for _, e := range value.Values {
				all = append(all, s.texts(p, nil, e, 0)...)
			}
		}
	}
	return slices.Sorted(slices.Values(all))
}
