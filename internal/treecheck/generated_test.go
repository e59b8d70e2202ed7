package treecheck

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the sums of generated files instead of comparing them")

// The inputs and outputs of sqlc, and the file that holds the sums of both.
const (
	sqlcDir    = "internal/store/"
	sqlcConfig = sqlcDir + "sqlc.yaml"
	sqlcSum    = sqlcDir + "queries/sqlc.sum"
)

// isInput and isOutput say which files sqlc reads and writes.
func isInput(f file) bool {
	dir := path.Dir(f.path) + "/"
	return f.path == sqlcConfig || path.Ext(f.path) == ".sql" && (dir == sqlcDir+"sql/" || dir == sqlcDir+"migrations/")
}

func isOutput(f file) bool {
	return path.Dir(f.path)+"/" == sqlcDir+"queries/" && path.Ext(f.path) == ".go" && f.isGenerated()
}

// TestGeneratedQueries holds that the sums in queries/sqlc.sum are those of what
// sqlc read and of what it wrote: neither was changed without the other. sqlc
// itself is not needed. After a change, run
//
//	go generate ./internal/store/queries
//
// which runs sqlc and then this test with -update.
func TestGeneratedQueries(t *testing.T) {
	var sums strings.Builder
	inputs, outputs := 0, 0
	for _, f := range files(t, ".sql", ".go", ".yaml") {
		if in, out := isInput(f), isOutput(f); in || out {
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(f.text), strings.TrimPrefix(f.path, sqlcDir))
			if in {
				inputs++
			} else {
				outputs++
			}
		}
	}
	if inputs < 3 || outputs < 3 {
		t.Fatalf("%d inputs and %d outputs of sqlc are found", inputs, outputs)
	}
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, filepath.FromSlash(sqlcSum))
	if *update {
		if err := os.WriteFile(name, []byte(sums.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) == sums.String() {
		return
	}
	was, is := sumLines(string(kept)), sumLines(sums.String())
	for name := range is {
		if was[name] != is[name] {
			t.Errorf("%s%s changed since sqlc ran", sqlcDir, name)
		}
	}
	for name := range was {
		if is[name] == "" {
			t.Errorf("%s%s is gone since sqlc ran", sqlcDir, name)
		}
	}
	t.Errorf("%s is out of date: run go generate ./internal/store/queries", sqlcSum)
}

// sumLines returns the sums in text by the name of their file.
func sumLines(text string) map[string]string {
	sums := map[string]string{}
	for line := range strings.Lines(text) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		sums[name] = sum
	}
	return sums
}

var (
	queryName = regexp.MustCompile(`(?m)^-- name: (\w+) :\w+$`)
	argument  = regexp.MustCompile(`sqlc\.n?arg\(\w+\)|\$\d+`)
	embedding = regexp.MustCompile(`sqlc\\\.embed\\\((\w+)\\\)`) // in quoted text
	lineNote  = regexp.MustCompile(`(?m)^--.*$`)
	spaces    = regexp.MustCompile(`\s+`)
)

// TestQueriesAreGenerated holds, without sqlc and without its sums, that the text
// of each query stands in the generated code as it does in its file, but for the
// spelling of its arguments.
func TestQueriesAreGenerated(t *testing.T) {
	want := map[string]string{}
	for _, f := range files(t, ".sql") {
		if path.Dir(f.path)+"/" == sqlcDir+"sql/" {
			maps.Copy(want, queries(string(f.text)))
		}
	}
	got := map[string]string{}
	for _, s := range sources(t, func(s source) bool { return isOutput(s.file) }) {
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					maps.Copy(got, queries(text))
				}
			}
			return true
		})
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !asGenerated(want[name]).MatchString(got[name]) {
			t.Errorf("%s is generated as %q, and its file has %q", name, got[name], want[name])
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is generated from no file", name)
	}
}

var sqlcVersion = regexp.MustCompile(`sqlc(?:@| )(v[0-9.]+)`)

// TestGeneratorVersion holds that what sqlc wrote was written by the version that
// "go generate" runs.
func TestGeneratorVersion(t *testing.T) {
	versions := map[string][]string{}
	for _, f := range files(t, ".go") {
		if path.Dir(f.path)+"/" != sqlcDir+"queries/" {
			continue
		}
		version := sqlcVersion.FindSubmatch(f.text)
		if version == nil {
			t.Errorf("%s names no version of sqlc", f.path)
			continue
		}
		versions[string(version[1])] = append(versions[string(version[1])], f.path)
	}
	if len(versions) != 1 {
		t.Errorf("the versions of sqlc are %v", versions)
	}
}

// asGenerated returns the expression that query matches when it is generated: as it
// stands, but for the columns of the tables that it embeds.
func asGenerated(query string) *regexp.Regexp {
	columns := embedding.ReplaceAllString(regexp.QuoteMeta(query), `$1\.\w+(, $1\.\w+)*`)
	return regexp.MustCompile("^" + columns + "$")
}

// queries returns the queries in text by their names, without comments, names of
// arguments and line breaks.
func queries(text string) map[string]string {
	found := map[string]string{}
	heads := queryName.FindAllStringSubmatchIndex(text, -1)
	for i, head := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		body := lineNote.ReplaceAllString(text[head[1]:end], "")
		body = spaces.ReplaceAllString(argument.ReplaceAllString(body, "?"), " ")
		found[text[head[2]:head[3]]] = strings.TrimSuffix(strings.TrimSpace(body), ";")
	}
	return found
}
