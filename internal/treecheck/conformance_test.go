package treecheck

import (
	"regexp"
	"testing"
)

// conformanceChecks is how many conformance checks digicert-one.md has, in Section 12.
const conformanceChecks = 16

var conformanceName = regexp.MustCompile(`^TestConformance([0-9]{2})[A-Z]`)

// TestConformance holds that each of them has a test that bears its number, and that no
// test has another one.
func TestConformance(t *testing.T) {
	tested := numbersOf(t, conformanceName)
	for n := 1; n <= conformanceChecks; n++ {
		if !tested[n] {
			t.Errorf("no test is named TestConformance%02d and what it checks", n)
		}
		delete(tested, n)
	}
	for n := range tested {
		t.Errorf("a test is named TestConformance%02d, the number of no check", n)
	}
}
