package treecheck

import (
	"go/ast"
	"regexp"
	"strconv"
	"testing"
)

// numbered are the requirements each of which has a test that bears its number: those of
// the operation of the CA.
var numbered = []int{
	78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 98, 102, 103, 104,
}

var requirementName = regexp.MustCompile(`^TestRequirement([0-9]+)[A-Z]`)

// TestRequirements holds that none of those tests goes missing.
func TestRequirements(t *testing.T) {
	tested := numbersOf(t, requirementName)
	for _, n := range numbered {
		if !tested[n] {
			t.Errorf("no test is named TestRequirement%d and what it requires", n)
		}
	}
}

// numbersOf returns the numbers that names of test functions bear in the first group of the
// expression.
func numbersOf(t *testing.T, name *regexp.Regexp) map[int]bool {
	t.Helper()
	numbers := map[int]bool{}
	for _, s := range sources(t, func(s source) bool { return s.isTest() }) {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if m := name.FindStringSubmatch(f.Name.Name); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				numbers[n] = true
			}
		}
	}
	return numbers
}
