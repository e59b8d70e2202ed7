package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain puts the program into the path of the tests that run it as a process: it is
// the test binary under another name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"telamon-signer": main})
}
