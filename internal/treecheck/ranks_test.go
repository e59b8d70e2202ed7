package treecheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ranks is the package map. A package imports only packages of a lower rank,
// never of its own one. Names are relative to the module; its root is ".".
var ranks = map[string]int{
	// The words in which everything else speaks; no I/O.
	"internal/fault":   0,
	"internal/dnsname": 0,
	"internal/rules":   0,
	".":                1,
	"internal/field":   1,

	// The network as strangers make it, and the world that tests and the playground
	// validate in.
	"internal/egress":   0,
	"internal/resolver": 0,
	"internal/world":    0,

	// A client of the wire, which must not know the server's insides.
	"internal/bench": 0,

	// These hold no package's code, only tests or requirements.
	"internal/treecheck": 0,
	"internal/trials":    0,

	// Engines that are pure.
	"internal/authz":    2,
	"internal/audit":    2,
	"internal/policy":   2,
	"internal/tbs":      2,
	"internal/keycheck": 2,
	"internal/password": 2,
	"internal/ocsp":     2,

	// Custody and plumbing. The generated queries belong to the store alone.
	"internal/store/queries": 2,
	"internal/keystore":      3,
	"internal/lint":          3,
	"internal/crl":           3,
	"internal/dcv":           3,
	"internal/openid":        3,
	"internal/store":         3,
	"internal/web":           3,

	// Engines over custody.
	"internal/issuance":    4,
	"internal/ct":          4,
	"internal/directory":   4,
	"internal/jobs":        4,
	"internal/notify":      4,
	"internal/perspective": 4,
	"internal/signer":      4,

	// Use cases: the actor first, no HTTP, no SQL.
	"internal/ra":        5,
	"internal/commerce":  5,
	"internal/iam":       5,
	"internal/signin":    5,
	"internal/backup":    5,
	"internal/publish":   5,
	"internal/staff":     5,
	"internal/vetting":   5,
	"internal/responder": 5,
	"internal/signing":   5,

	"internal/lifecycle": 5,

	// What goes on by itself beside the requests.
	"internal/witness":   5,
	"internal/retention": 5,

	// What pages look like, and what they have in common.
	"internal/portal/ui":   5,
	"internal/portal/page": 6,

	// Dialects and other faces. None of them calls another.
	"internal/api/atlas":       6,
	"internal/api/digicertone": 6,
	"internal/api/admin":       6,
	"internal/status":          6,

	// The portal: pages by area, and all of them.
	"internal/portal/access":   7,
	"internal/portal/certs":    7,
	"internal/portal/clients":  7,
	"internal/portal/domains":  7,
	"internal/portal/holdings": 7,
	"internal/portal/members":  7,
	"internal/portal/operator": 7,
	"internal/portal/accounts": 7,
	"internal/portal/vetting":  7,
	"internal/portal":          8,

	// The program.
	"internal/app":        9,
	"internal/playground": 10,
	"internal/doctor":     10,
	"cmd/telamon":         11,
}

// planned are the packages of the map that may be absent: they belong to features
// that are still to come. A package leaves the list with its first commit.
var planned = []string{}

// testOnly are the packages, with those below them, that only tests import. They
// may import any other.
var testOnly = []string{"internal/testkit", "internal/api/atlas/atlastest"}

// reserved says which packages alone may import others, by a prefix of their
// path: nothing but the store touches SQL, and only faces speak HTTP.
var reserved = []struct {
	imported []string
	by       []string
}{
	{
		[]string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"},
		[]string{"internal/store", "internal/store/queries"},
	},
	{
		[]string{module + "/internal/store/queries"},
		[]string{"internal/store"},
	},
	{
		[]string{"net/http"},
		[]string{
			"internal/web", "internal/api/atlas", "internal/api/digicertone", "internal/api/admin", "internal/status", "internal/portal", "internal/portal/page", "internal/portal/access", "internal/portal/certs",
			"internal/portal/clients", "internal/portal/domains", "internal/portal/holdings", "internal/portal/members", "internal/portal/operator", "internal/portal/accounts", "internal/portal/vetting",
			"internal/ct", "internal/dcv", "internal/openid", "internal/perspective", "internal/notify", "internal/witness", "internal/doctor", "internal/bench", "internal/publish", "internal/world", "internal/app", "internal/playground",
			"cmd/telamon",
		},
	},
}

// A listed is what "go list" says of a package.
type listed struct {
	ImportPath string
	Imports    []string // of files that are not tests
}

// name returns the package's name in the table of ranks.
func (p listed) name() string { return inModule(p.ImportPath) }

// inModule returns path relative to the module, or "" if it is not in it.
func inModule(path string) string {
	if path == module {
		return "."
	}
	rel, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	return rel
}

// list returns the packages of the module.
func list(t *testing.T) []listed {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
	return packages
}

// within returns a function that says whether path is that of a package or of one
// below it.
func within(path string) func(string) bool {
	return func(above string) bool { return path == above || strings.HasPrefix(path, above+"/") }
}

// forTests says whether only tests may import the named package.
func forTests(name string) bool { return slices.ContainsFunc(testOnly, within(name)) }

// misplaced returns what is wrong with the imports of p.
func misplaced(p listed) []string {
	name := p.name()
	if forTests(name) {
		return nil
	}
	rank, ok := ranks[name]
	if !ok {
		return []string{name + " has no rank; give it one in the table, and a line in the design"}
	}
	var wrong []string
	for _, path := range p.Imports {
		imported := inModule(path)
		switch other, ranked := ranks[imported]; {
		case imported == "":
		case forTests(imported):
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which is for tests only", name, imported))
		case !ranked:
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which has no rank", name, imported))
		case other >= rank:
			wrong = append(wrong, fmt.Sprintf("%s (rank %d) imports %s (rank %d); imports point to lower ranks", name, rank, imported, other))
		}
		for _, r := range reserved {
			if slices.ContainsFunc(r.imported, within(path)) && !slices.Contains(r.by, name) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which only %q may", name, path, r.by))
			}
		}
	}
	return wrong
}

func TestRanks(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		for _, problem := range misplaced(p) {
			t.Error(problem)
		}
	}
	for name := range ranks {
		exists := slices.ContainsFunc(packages, func(p listed) bool { return p.name() == name })
		if !exists && !slices.Contains(planned, name) {
			t.Errorf("%s has a rank, and neither exists nor is planned", name)
		}
	}
	for _, name := range planned {
		if _, ok := ranks[name]; !ok {
			t.Errorf("%s is planned without a rank", name)
		}
	}
}

func TestMisplaced(t *testing.T) {
	tests := []struct {
		name, pkg string
		imports   []string
		wrong     int
	}{
		{"downwards", "internal/ra", []string{"internal/store", "internal/fault", "."}, 0},
		{"upwards", "internal/store", []string{"internal/ra"}, 1},
		{"sideways", "internal/ra", []string{"internal/iam"}, 1},
		{"a test kit", "internal/store", []string{"internal/testkit/dbtest"}, 1},
		{"from a test kit", "internal/testkit/dbtest", []string{"internal/store"}, 0},
		{"an unknown package", "internal/util", nil, 1},
		{"of an unknown package", "internal/ra", []string{"internal/util"}, 1},
		{"the store's queries", "internal/directory", []string{"internal/store/queries"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := listed{ImportPath: module + "/" + tt.pkg}
			for _, imported := range tt.imports {
				p.Imports = append(p.Imports, strings.TrimSuffix(module+"/"+imported, "/."))
			}
			if got := misplaced(p); len(got) != tt.wrong {
				t.Errorf("%s importing %q is found wrong %d times, want %d: %q", tt.pkg, tt.imports, len(got), tt.wrong, got)
			}
		})
	}
	t.Run("SQL in a use case", func(t *testing.T) {
		p := listed{ImportPath: module + "/internal/ra", Imports: []string{"database/sql", "github.com/jackc/pgx/v5/stdlib", "net/http/httptest"}}
		if got := misplaced(p); len(got) != 3 {
			t.Errorf("found %q, want three problems", got)
		}
	})
}
