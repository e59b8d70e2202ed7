package treecheck

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// behindRoutes are the faces and the use cases: all that a request can reach before the
// engines. Engines make CA keys and those of responders, and nothing else.
var behindRoutes = []string{"internal/api", "internal/portal", "internal/status", "internal/ra", "internal/iam"}

// keyMakers are functions and methods that make a private key, or write one so that it
// could leave the platform.
var keyMakers = []string{
	"GenerateKey", "GenerateMultiPrimeKey", "NewKeyFromSeed", "NewPrivateKey",
	"MarshalPKCS8PrivateKey", "MarshalPKCS1PrivateKey", "MarshalECPrivateKey", "EncryptPEMBlock",
}

// keysOfUsers is the one file that makes keys for others: for client certificates of the
// private hierarchy by which users reach the platform's own API, if they ask for it
// (digicert-one.md, Section 6.4, Portal issue). No subscriber's key is among them.
const keysOfUsers = "internal/iam/pkcs12.go"

// TestRequirement83NoServerKeys holds that nothing behind a route makes or returns a
// key pair of a subscriber: they make their keys themselves (BR 6.1.1.3).
func TestRequirement83NoServerKeys(t *testing.T) {
	routes := 0
	served := func(s source) bool {
		return s.path != keysOfUsers && !strings.HasSuffix(s.path, "_test.go") && slices.ContainsFunc(behindRoutes, within(s.path)) && !slices.ContainsFunc(testOnly, within(s.path))
	}
	for _, s := range sources(t, served) {
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if slices.Contains(keyMakers, n.Sel.Name) {
					t.Errorf("%s:%d: %s makes or writes a private key, behind a route", s.path, s.line(n.Pos()), n.Sel.Name)
				}
			case *ast.ImportSpec:
				if strings.Contains(n.Path.Value, "pkcs12") {
					t.Errorf("%s:%d: imports %s, which writes private keys", s.path, s.line(n.Pos()), n.Path.Value)
				}
			case *ast.BasicLit: // a path of a table of routes
				if strings.HasPrefix(n.Value, `"/certificates`) || strings.HasPrefix(n.Value, `"POST /`) {
					routes++
				}
			}
			return true
		})
	}
	if routes < 10 {
		t.Errorf("only %d routes were seen, so this proves nothing", routes)
	}
}
