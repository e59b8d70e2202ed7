package treecheck

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// outgoing are the files that open connections to others, and who says where they lead.
// Whatever customers can choose goes through internal/egress, which dials public
// addresses only, so that nobody has the server make requests for them (SSRF): providers
// by package openid, and hosts under validation, which package dcv reaches by the dialer
// that it is given.
var outgoing = map[string]string{
	"internal/egress/dialer.go":         "dials what customers choose, if it is public",
	"internal/openid/openid.go":         "customers: the issuer of their provider, by internal/egress",
	"internal/resolver/client.go":       "the configuration: resolvers",
	"internal/ct/ct.go":                 "the configuration: logs",
	"internal/witness/witness.go":       "the configuration: webhook and witness of checkpoints",
	"internal/publish/bucket.go":        "the configuration: the bucket of CRLs",
	"internal/perspective/client.go":    "the configuration: remote perspectives",
	"internal/notify/smtp.go":           "the configuration: the mail server",
	"internal/app/serve.go":             "the configuration: is a server on the admin socket",
	"internal/backup/restore.go":        "the command: is a server on the admin socket",
	"internal/api/admin/client.go":      "the command: the admin socket",
	"internal/doctor/published.go":      "the command: what is examined",
	"internal/bench/client.go":          "the command: what is measured",
	"internal/bench/crl.go":             "the command: what is measured",
	"internal/playground/mainjob.go":    "the playground itself",
	"internal/playground/playground.go": "the playground itself",
	"cmd/telamon/published.go":          "the command: what is examined",
}

// dials are what opens connections, by package: types that are made and functions.
var dials = map[string][]string{
	"net/http":   {"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm"},
	"net":        {"Dialer", "Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix", "DialIP"},
	"crypto/tls": {"Dial", "DialWithDialer", "Dialer"},
	"net/smtp":   {"Dial", "SendMail", "NewClient"},
}

// TestOutgoing finds every file that can open a connection, and holds that it is known who
// says where to.
func TestOutgoing(t *testing.T) {
	found := map[string]bool{}
	for _, dir := range []string{"internal", "cmd"} {
		root := filepath.Join("..", "..", dir)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := filepath.ToSlash(strings.TrimPrefix(path, filepath.Join("..", "..")+string(filepath.Separator)))
			switch {
			case entry.IsDir() && (entry.Name() == "testkit" || entry.Name() == "atlastest" || entry.Name() == "world" || entry.Name() == "testdata"):
				return fs.SkipDir // of tests and of the playground's world
			case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			if opensConnections(file) {
				found[name] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d files were found, so this proves nothing", len(found))
	}
	for name := range found {
		if outgoing[name] == "" {
			t.Errorf("%s opens connections: say in outgoing who says where to, and go through internal/egress if a customer does", name)
		}
	}
	for name := range outgoing {
		if !found[name] {
			t.Errorf("%s opens no connections: take it from outgoing", name)
		}
	}
}

// opensConnections reports whether a file names something of dials.
func opensConnections(file *ast.File) bool {
	imported := map[string]string{} // by the name in the file
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = path
	}
	opens := false
	ast.Inspect(file, func(n ast.Node) bool {
		made := n
		switch n := n.(type) {
		case *ast.CompositeLit:
			made = n.Type
		case *ast.CallExpr:
			made = n.Fun
			if id, ok := made.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 {
				made = n.Args[0]
			}
		case *ast.SelectorExpr:
			if !strings.HasPrefix(n.Sel.Name, "Default") {
				return true
			}
		default:
			return true
		}
		if s, ok := made.(*ast.SelectorExpr); ok {
			if pkg, ok := s.X.(*ast.Ident); ok && slices.Contains(dials[imported[pkg.Name]], s.Sel.Name) {
				opens = true
			}
		}
		return true
	})
	return opens
}
