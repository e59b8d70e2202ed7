package treecheck

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the path of the repository's Go module.
const module = "github.com/telamon-ca/telamon"

// unread are the directories, by their name, that are not the repository's own
// text: what git, tools and the playground keep.
var unread = []string{".git", ".telamon-dev", ".tools", "node_modules"}

// A file is one text file of the repository.
type file struct {
	path string // from the root, with slashes
	text []byte
}

// tree returns every text file of the repository, in the order of their paths.
var tree = sync.OnceValues(func() ([]file, error) {
	root, err := root()
	if err != nil {
		return nil, err
	}
	var files []file
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(unread, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || slices.Contains([]string{".test", ".prof"}, filepath.Ext(name)) {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || rel == "telamon" { // the built command
			return err
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file of an editor
		}
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		files = append(files, file{filepath.ToSlash(rel), text})
		return nil
	})
	return files, err
})

// root returns the directory of go.mod, upwards from the test's own.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no go.mod above the test's directory")
		}
		dir = filepath.Dir(dir)
	}
}

// files returns the files of the repository that have one of the extensions, and
// fails the test if there is none: it would prove nothing.
func files(t *testing.T, extensions ...string) []file {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	var found []file
	for _, f := range all {
		if len(extensions) == 0 || slices.Contains(extensions, path.Ext(f.path)) {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		t.Fatalf("the repository has no %v files", extensions)
	}
	return found
}

// A source is a parsed Go file.
type source struct {
	file
	fset *token.FileSet
	ast  *ast.File
}

// sources returns the Go files of the repository for which keep holds.
func sources(t *testing.T, keep func(source) bool) []source {
	t.Helper()
	var found []source
	for _, f := range files(t, ".go") {
		s, err := parse(f)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
			continue
		}
		if keep(s) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		t.Fatal("no Go file is left to check")
	}
	return found
}

// parse reads f with its comments.
func parse(f file) (source, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, f.path, f.text, parser.ParseComments|parser.SkipObjectResolution)
	return source{f, fset, parsed}, err
}

// line returns the line at which pos is.
func (s source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// isTest says whether the file is a test's.
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// generatedDirs are the only directories, with those below them, that may hold generated
// Go files. What they hold is made from files that are checked, so comments and sizes are
// not.
var generatedDirs = []string{
	"internal/store/queries", // sqlc, from internal/store/sql
	"internal/portal",        // templ, from the *.templ files beside
}

var generatedMark = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// isGenerated says whether the file says that a tool made it.
func (f file) isGenerated() bool { return generatedMark.Match(f.text) }

// handWritten says whether s is neither a test nor generated.
func handWritten(s source) bool { return !s.isTest() && !s.isGenerated() }

// TestGeneratedMark holds that the mark of generated files, which exempts them
// from other checks, stands only where generated files belong.
func TestGeneratedMark(t *testing.T) {
	for _, f := range files(t, ".go") {
		belongs := slices.ContainsFunc(generatedDirs, func(dir string) bool { return strings.HasPrefix(f.path, dir+"/") })
		if f.isGenerated() && !belongs {
			t.Errorf("%s says that it is generated; such files belong in %q", f.path, generatedDirs)
		}
	}
}
