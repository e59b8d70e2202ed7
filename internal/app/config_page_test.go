package app_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon/internal/app"
)

var update = flag.Bool("update", false, "write docs/CONFIGURATION.md")

// TestConfigurationPage checks that docs/CONFIGURATION.md is what the comments of
// the configuration's fields say.
func TestConfigurationPage(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	page := &configPage{structs: map[string]*ast.StructType{}}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if s, ok := spec.Type.(*ast.StructType); ok {
				page.structs[spec.Name.Name] = s
			}
		}
		return true
	})
	page.text.WriteString("# Configuration\n\n" +
		"One YAML file, `/etc/telamon/telamon.yaml` unless `-config` says otherwise. An unknown key is an error that\n" +
		"names its line. Where an environment variable is named, it wins over the file. `telamon config check` says\n" +
		"everything that is wrong, `telamon config print` shows the whole with its defaults. This page is made from the\n" +
		"comments of `internal/app/config.go` (`go test ./internal/app -run TestConfigurationPage -update`).\n\n" +
		"| key | environment | default | meaning |\n|---|---|---|---|\n")
	page.fields("Config", "", reflect.ValueOf(app.DefaultConfig()))
	path := filepath.Join("..", "..", "docs", "CONFIGURATION.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != page.text.String() {
		t.Error("docs/CONFIGURATION.md is not what config.go says: go test ./internal/app -run TestConfigurationPage -update")
	}
}

type configPage struct {
	structs map[string]*ast.StructType
	text    strings.Builder
}

// fields writes a row for each field of a struct, and of the structs in it.
func (p *configPage) fields(name, prefix string, values reflect.Value) {
	for _, field := range p.structs[name].Fields.List {
		comment := strings.Join(strings.Fields(field.Doc.Text()), " ")
		for _, ident := range field.Names {
			found, _ := values.Type().FieldByName(ident.Name)
			value := values.FieldByName(ident.Name)
			key := prefix + found.Tag.Get("yaml")
			if kind, ok := field.Type.(*ast.Ident); ok && p.structs[kind.Name] != nil {
				fmt.Fprintf(&p.text, "| **`%s`** | | | %s |\n", key, comment)
				p.fields(kind.Name, key+".", value)
				continue
			}
			if found.Tag.Get("yaml") == "-" {
				key = "(environment only)"
			} else {
				key = "`" + key + "`"
			}
			environment := ""
			if name := found.Tag.Get("env"); name != "" {
				environment = "`" + name + "`"
			}
			fmt.Fprintf(&p.text, "| %s | %s | %s | %s |\n", key, environment, defaultOf(value), comment)
		}
	}
}

// defaultOf returns a default as it is written in YAML, or "" for none.
func defaultOf(value reflect.Value) string {
	if value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0 {
		return ""
	}
	text, err := yaml.MarshalWithOptions(value.Interface(), yaml.Flow(true))
	if err != nil {
		return err.Error()
	}
	return "`" + strings.TrimSpace(string(text)) + "`"
}
