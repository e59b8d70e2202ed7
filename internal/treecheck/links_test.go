package treecheck

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestLinks holds that no document links to a file, a heading or a line that is
// not there. Links to other sites are not looked at.
func TestLinks(t *testing.T) {
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]document{}
	for _, f := range files(t, ".md") {
		documents[f.path] = read(string(f.text))
	}
	for name, doc := range documents {
		for _, l := range doc.links {
			if problem := dead(dir, documents, name, l.text); problem != "" {
				t.Errorf("%s:%d: %s: %s", name, l.number, l.text, problem)
			}
		}
	}
}

// dead returns what is wrong with a link in the named document, or "".
func dead(dir string, documents map[string]document, name, link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return "is no link"
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	target := name
	if u.Path != "" {
		target = path.Join(path.Dir(name), u.Path)
	}
	switch {
	case path.IsAbs(u.Path) || target == ".." || strings.HasPrefix(target, "../"):
		return "leaves the repository"
	case u.Path != "":
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(target))); err != nil {
			return "there is no such file"
		}
	}
	if u.Fragment == "" {
		return ""
	}
	if doc, ok := documents[target]; ok {
		if !slices.Contains(doc.anchors, u.Fragment) {
			return "there is no such heading"
		}
		return ""
	}
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(target)))
	if err != nil {
		return "has no headings"
	}
	number, ok := strings.CutPrefix(u.Fragment, "L")
	if n, err := strconv.Atoi(number); !ok || err != nil || n < 1 || n > strings.Count(string(text), "\n") {
		return "there is no such line"
	}
	return ""
}

// A document is what a Markdown file links to and what can be linked to in it.
type document struct {
	links   []line
	anchors []string
}

var (
	inlineLink    = regexp.MustCompile(`\]\(\s*<?([^\s)>]+)>?(?:\s+["'(][^)]*)?\)`)
	referenceLink = regexp.MustCompile(`^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)`)
	htmlLink      = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	htmlAnchor    = regexp.MustCompile(`\b(?:id|name)="([^"]+)"`)
	heading       = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$`)
	underline     = regexp.MustCompile(`^ {0,3}(?:=+|-+)\s*$`)
	fence         = regexp.MustCompile("^ {0,3}(```+|~~~+)")
	codeSpan      = regexp.MustCompile("`[^`]*`")
	linkText      = regexp.MustCompile(`!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])`)
)

// read finds the links and anchors of a Markdown text, outside of code.
func read(text string) document {
	var doc document
	seen := map[string]int{}
	addHeading := func(text string) {
		slug := slugOf(text)
		n := seen[slug]
		seen[slug]++
		if n > 0 {
			slug = fmt.Sprintf("%s-%d", slug, n)
		}
		doc.anchors = append(doc.anchors, slug)
	}
	open, before := "", ""
	for i, text := range strings.Split(text, "\n") {
		if mark := fence.FindStringSubmatch(text); mark != nil {
			switch {
			case open == "":
				open = mark[1]
			case strings.HasPrefix(mark[1], open):
				open = ""
			}
			before = ""
			continue
		}
		if open != "" {
			continue
		}
		switch h := heading.FindStringSubmatch(text); {
		case h != nil:
			addHeading(h[1])
		case underline.MatchString(text) && strings.TrimSpace(before) != "" && !strings.Contains(before, "|"):
			addHeading(strings.TrimSpace(before))
		}
		before = text
		plain := codeSpan.ReplaceAllString(text, "``")
		for _, expression := range []*regexp.Regexp{inlineLink, referenceLink, htmlLink} {
			for _, found := range expression.FindAllStringSubmatch(plain, -1) {
				doc.links = append(doc.links, line{i + 1, found[1]})
			}
		}
		for _, found := range htmlAnchor.FindAllStringSubmatch(plain, -1) {
			doc.anchors = append(doc.anchors, found[1])
		}
	}
	return doc
}

// slugOf returns the anchor that GitHub gives a heading: lower case, spaces as
// hyphens, and neither punctuation nor markup.
func slugOf(heading string) string {
	heading = linkText.ReplaceAllString(heading, "$1")
	var slug strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			slug.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			slug.WriteRune(r)
		}
	}
	return slug.String()
}

func TestDead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": "package a\n\nvar x int\n", "docs/B.md": ""} {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const b = `
# A first: the ` + "`telamon`" + ` way

Setext
------

## Twice
## Twice
## See [this](x.md), too

<a id="own"></a>

` + "```md\n# Not a heading\n[no link](nowhere.md)\n```\n" + `
Text ` + "`[no](link)`" + ` [a](../a.go "title") and ![b](<c.png>)

[ref]: d.md
`
	doc := read(b)
	var links []string
	for _, l := range doc.links {
		links = append(links, l.text)
	}
	if got := strings.Join(links, " "); got != "x.md ../a.go c.png d.md" {
		t.Errorf("the links are %s", got)
	}
	if got := strings.Join(doc.anchors, " "); got != "a-first-the-telamon-way setext twice twice-1 see-this-too own" {
		t.Errorf("the anchors are %s", got)
	}
	documents := map[string]document{"docs/B.md": doc}
	tests := []struct {
		link string
		dead bool
	}{
		{"../a.go", false},
		{"../a.go#L3", false},
		{"../a.go#L4", true},
		{"../a.go#x", true},
		{"..", false},
		{"../..", true},
		{"../../other", true},
		{"/a.go", true},
		{"c.md", true},
		{"#own", false},
		{"#none", true},
		{"B.md#twice-1", false},
		{"B.md#twice-2", true},
		{"https://example.com/none", false},
		{"mailto:ca@example.com", false},
	}
	for _, tt := range tests {
		if got := dead(dir, documents, "docs/B.md", tt.link); (got != "") != tt.dead {
			t.Errorf("%s is %q, want dead: %t", tt.link, got, tt.dead)
		}
	}
}
