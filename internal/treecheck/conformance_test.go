package treecheck

import (
	"go/ast"
	"regexp"
	"strconv"
	"testing"
)

// conformanceChecks is how many conformance checks digicert-one.md has, in Section 12.
const conformanceChecks = 16

var conformanceName = regexp.MustCompile(`^TestConformance([0-9]{2})[A-Z]`)

// TestConformance holds that each of them has a test that bears its number.
func TestConformance(t *testing.T) {
	tested := map[int]bool{}
	for _, s := range sources(t, func(s source) bool { return s.isTest() }) {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if m := conformanceName.FindStringSubmatch(f.Name.Name); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				if n < 1 || n > conformanceChecks {
					t.Errorf("%s has the number of no check", f.Name.Name)
				}
				tested[n] = true
			}
		}
	}
	for n := 1; n <= conformanceChecks; n++ {
		if !tested[n] {
			t.Errorf("no test is named TestConformance%02d and what it checks", n)
		}
	}
}
