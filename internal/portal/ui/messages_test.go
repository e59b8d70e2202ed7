package ui_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// TestLanguages holds that each language has every message, with the same
// placeholders, and none that English lacks.
func TestLanguages(t *testing.T) {
	keys := ui.English.Keys()
	if len(keys) < 50 || len(ui.Languages) < 2 {
		t.Fatalf("%d messages in %d languages prove nothing", len(keys), len(ui.Languages))
	}
	for _, l := range ui.Languages {
		for _, key := range keys {
			text := l.Say(key)
			if !l.Has(key) || strings.TrimSpace(text) == "" || strings.TrimSpace(text) != text {
				t.Errorf("%s: %s is %q", l.Tag, key, text)
			}
			want, got := placeholder.FindAllString(ui.English.Say(key), -1), placeholder.FindAllString(text, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(slices.Compact(want), slices.Compact(got)) {
				t.Errorf("%s: %s has the placeholders %q, and English %q", l.Tag, key, got, want)
			}
		}
		for _, key := range l.Keys() {
			if !ui.English.Has(key) {
				t.Errorf("%s: %s is no message of English", l.Tag, key)
			}
		}
	}
}

// goFiles returns the parsed Go files of the portal that are not tests.
func goFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	parsed := map[string]*ast.File{}
	for _, pattern := range []string{"*.go", "../*.go", "../*/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no files match %s: %v", pattern, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if parsed[name], err = parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
				t.Fatal(err)
			}
		}
	}
	return parsed
}

// isKey says whether text looks like the key of a message, by the first word of those
// that there are.
func isKey(text string, areas map[string]bool) bool {
	area, rest, ok := strings.Cut(text, ".")
	return ok && areas[area] && rest != "" && regexp.MustCompile(`^[a-z0-9_.]+$`).MatchString(rest) && !strings.HasSuffix(rest, ".")
}

// TestKeys holds that every key in the code has its message, and that every message is
// asked for: by its whole key, or by one that code puts together from its beginning, up
// to a dot.
func TestKeys(t *testing.T) {
	areas := map[string]bool{}
	for _, key := range ui.English.Keys() {
		areas[key[:strings.Index(key, ".")]] = true
	}
	used, beginnings := map[string]bool{}, map[string]bool{}
	for name, file := range goFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(text, ".templ"): // where templ found an error
			case isKey(text, areas):
				used[text] = true
				if hasBeginning(text + ".") {
					beginnings[text+"."] = true
				}
				if !ui.English.Has(text) && !ui.English.Has(text+".one") && !hasBeginning(text+".") {
					t.Errorf("%s: there is no message %s", name, text)
				}
			case strings.HasSuffix(text, ".") && isKey(text+"x", areas):
				beginnings[text] = true
			}
			return true
		})
	}
	for _, key := range ui.English.Keys() {
		ok := used[key] || used[strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")]
		for b := range beginnings {
			ok = ok || strings.HasPrefix(key, b)
		}
		if !ok {
			t.Errorf("nobody asks for the message %s", key)
		}
	}
}

func hasBeginning(beginning string) bool {
	return slices.ContainsFunc(ui.English.Keys(), func(key string) bool { return strings.HasPrefix(key, beginning) })
}

// spoken are the attributes that people read or hear.
var spoken = []string{"alt", "aria-label", "aria-description", "aria-roledescription", "placeholder", "title", "label"}

// TestTemplatesHaveNoWords holds that no template has words of its own, in its text or
// in an attribute that is read: they are in the catalogue, or given.
func TestTemplatesHaveNoWords(t *testing.T) {
	count := 0
	for name, file := range goFiles(t) {
		if !strings.HasSuffix(name, "_templ.go") {
			continue
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				count++
				for _, words := range ownWords(markup(f)) {
					t.Errorf("%s: %s says %q by itself", name, f.Name.Name, words)
				}
			}
		}
	}
	if count < 20 {
		t.Fatalf("only %d templates were looked at", count)
	}
	const bad = `<p title="Words">1<b>Own words</b></p>`
	if got := ownWords(bad); !slices.Equal(got, []string{"Words", "Own words"}) {
		t.Errorf("of %s, %q is found", bad, got)
	}
}

// markup returns what a generated function writes as it stands, with a 1 for whatever
// it computes.
func markup(f *ast.FuncDecl) string {
	var text strings.Builder
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "WriteString" {
			return true
		}
		if lit, ok := call.Args[len(call.Args)-1].(*ast.BasicLit); ok {
			if part, err := strconv.Unquote(lit.Value); err == nil {
				text.WriteString(part)
			}
		} else {
			text.WriteString("1")
		}
		return true
	})
	return text.String()
}

// ownWords returns the words of markup that people read.
func ownWords(text string) []string {
	var found []string
	note := func(words string) {
		if strings.ContainsFunc(words, unicode.IsLetter) {
			found = append(found, strings.TrimSpace(words))
		}
	}
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return found
		case html.TextToken:
			note(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range z.Token().Attr {
				if slices.Contains(spoken, a.Key) {
					note(a.Val)
				}
			}
		}
	}
}
