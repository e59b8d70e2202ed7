package treecheck

import (
	"bytes"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNoSleeps holds that nothing sleeps: the platform waits on timers that stop
// with their context, and tests on events or on the fake clock.
func TestNoSleeps(t *testing.T) {
	for _, s := range sources(t, func(source) bool { return true }) {
		for _, pos := range sleeps(s) {
			t.Errorf("%s:%d: sleeps; wait for an event, a timer or a condition", s.path, s.line(pos))
		}
	}
}

// sleeps returns where s uses Sleep of package time.
func sleeps(s source) []token.Pos {
	name := importName(s, "time")
	var found []token.Pos
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" && isIdent(sel.X, name) {
			found = append(found, sel.Pos())
		}
		return true
	})
	return found
}

// skipping is the only directory whose code may skip a test.
const skipping = "internal/testkit"

// TestNoSkips holds that no test skips itself. What needs something that the
// machine may lack asks testkit.Require, which CI can forbid to skip.
func TestNoSkips(t *testing.T) {
	for _, s := range sources(t, func(source) bool { return true }) {
		if within(s.path)(skipping) {
			continue
		}
		for _, pos := range skips(s) {
			t.Errorf("%s:%d: skips a test; use testkit.Require", s.path, s.line(pos))
		}
	}
}

// skips returns where s skips a test: calls of Skip, Skipf or SkipNow on a
// parameter or variable whose type is one of package testing.
func skips(s source) []token.Pos {
	name := importName(s, "testing")
	if name == "" {
		return nil
	}
	var tests []string // the names of such parameters
	ast.Inspect(s.ast, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		typ := field.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if sel, ok := typ.(*ast.SelectorExpr); ok && isIdent(sel.X, name) {
			for _, ident := range field.Names {
				tests = append(tests, ident.Name)
			}
		}
		return true
	})
	var found []token.Pos
	ast.Inspect(s.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(tests, x.Name) {
			found = append(found, sel.Pos())
		}
		return true
	})
	return found
}

// importName returns the name by which s imports path, and "" if it does not.
func importName(s source, imported string) string {
	for _, spec := range s.ast.Imports {
		if spec.Path.Value != `"`+imported+`"` {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// isIdent says whether x is the identifier name.
func isIdent(x ast.Expr, name string) bool {
	ident, ok := x.(*ast.Ident)
	return ok && name != "" && ident.Name == name
}

// A line is one line of prose and its number.
type line struct {
	number int
	text   string
}

// prose returns what a file says to its readers: the comments of a Go file, and
// every line of other files.
func prose(t *testing.T, f file) []line {
	t.Helper()
	if path.Ext(f.path) == ".go" {
		s, err := parse(f)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
			return nil
		}
		var lines []line
		for _, group := range s.ast.Comments {
			for _, c := range group.List {
				for i, text := range strings.Split(c.Text, "\n") {
					lines = append(lines, line{s.line(c.Pos()) + i, text})
				}
			}
		}
		return lines
	}
	var lines []line
	for i, text := range strings.Split(string(f.text), "\n") {
		lines = append(lines, line{i + 1, text})
	}
	return lines
}

// The words are put together here so that this file may be checked too.
var (
	leftOpen    = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	withIssue   = regexp.MustCompile(`\bTO` + `DO\(#[0-9]+\): \S`)
	machinePath = regexp.MustCompile(`(?:^|[^\w.~*-])/(?:work|home|root|tmp|Users)/`)
	privateKey  = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE` + ` KEY-----`)
	authorTool  = regexp.MustCompile(`(?i)\b(?:clau` + `de|anthro` + `pic|chat` + `gpt|gpt-[0-9]|open` + `ai|copi` + `lot|gem` + `ini|l` + `lms?|language` + ` model|ai[- ]` +
		`(?:generated|assisted|written)|co-authored` + `-by)\b`)
)

// openWork says whether text leaves work open without naming its issue.
func openWork(text string) bool {
	return leftOpen.MatchString(withIssue.ReplaceAllString(text, ""))
}

// isProse says whether a file is written for readers: not test data, sums or the
// licence.
func isProse(f file) bool {
	return !strings.Contains("/"+f.path, "/testdata/") && path.Base(f.path) != "LICENSE" && !slices.Contains([]string{".sum", ".golden"}, path.Ext(f.path))
}

// TestProse holds that comments and documents name the issue of what is left open,
// no path of somebody's machine, and no tool by which they were written. Scripts
// may use temporary directories.
func TestProse(t *testing.T) {
	for _, f := range files(t) {
		if !isProse(f) {
			continue
		}
		for _, l := range prose(t, f) {
			if openWork(l.text) {
				t.Errorf("%s:%d: leaves work open without an issue: %s", f.path, l.number, l.text)
			}
			if authorTool.MatchString(l.text) {
				t.Errorf("%s:%d: names a tool of authorship: %s", f.path, l.number, l.text)
			}
			if slices.Contains([]string{".go", ".md"}, path.Ext(f.path)) && machinePath.MatchString(l.text) {
				t.Errorf("%s:%d: names a path of one machine: %s", f.path, l.number, l.text)
			}
		}
	}
}

// TestNoPrivateKeys holds that no private key is checked in, not even one for
// tests: they make their own.
func TestNoPrivateKeys(t *testing.T) {
	for _, f := range files(t) {
		if at := privateKey.FindIndex(f.text); at != nil {
			t.Errorf("%s:%d: holds a private key", f.path, 1+bytes.Count(f.text[:at[0]], []byte("\n")))
		}
	}
}

func TestForbidden(t *testing.T) {
	const todo = "TO" + "DO"
	tests := []struct {
		text  string
		found func(string) bool
		want  bool
	}{
		{"// " + todo + ": later", openWork, true},
		{"// " + todo + "(somebody): later", openWork, true},
		{"// " + todo + "(#12): later", openWork, false},
		{"// " + todo + "(#12): a, " + todo + ": b", openWork, true},
		{"// the FIX" + "ME of it", openWork, true},
		{"// todos of the page", openWork, false},
		{"see /" + "work/x", machinePath.MatchString, true},
		{"`/" + "tmp/x`", machinePath.MatchString, true},
		{"/" + "root/x", machinePath.MatchString, true},
		{"https://example.com/" + "home/page", machinePath.MatchString, false},
		{"internal/" + "work/x", machinePath.MatchString, false},
		{"-----BEGIN PRIVATE" + " KEY-----", privateKey.MatchString, true},
		{"-----BEGIN RSA PRIVATE" + " KEY-----", privateKey.MatchString, true},
		{"-----BEGIN PUBLIC KEY-----", privateKey.MatchString, false},
		{"Co-authored" + "-by: X", authorTool.MatchString, true},
		{"written by Clau" + "de", authorTool.MatchString, true},
		{"the database cursor of an agent's session", authorTool.MatchString, false},
	}
	for _, tt := range tests {
		if got := tt.found(tt.text); got != tt.want {
			t.Errorf("%q is found: %t, want %t", tt.text, got, tt.want)
		}
	}
	const code = `package x

import (
	clock "time"
	"testing"
)

func wait() { clock.Sleep(1) }

func TestX(t *testing.T) { t.Skip("x"); s.Skip(1) }

func helper(tb testing.TB) { tb.SkipNow() }
`
	s, err := parse(file{"x_test.go", []byte(code)})
	if err != nil {
		t.Fatal(err)
	}
	if got := sleeps(s); len(got) != 1 {
		t.Errorf("%d sleeps are found, want one", len(got))
	}
	if got := skips(s); len(got) != 2 {
		t.Errorf("%d skips are found, want two", len(got))
	}
}
