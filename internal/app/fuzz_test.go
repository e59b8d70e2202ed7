package app_test

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/telamon-ca/telamon/internal/app"
)

// FuzzParseConfig reads files that an operator may have mangled. What is read is
// good or has its problems named, and what "config print" shows of it is a
// configuration again: the same one, unless it hides a secret.
func FuzzParseConfig(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := app.ParseConfig(text)
		if err != nil {
			return
		}
		problems := cfg.Check()
		printed, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatalf("%+v cannot be printed: %v", cfg, err)
		}
		if !strings.HasPrefix(cfg.Database, "sqlite:") {
			return
		}
		again, err := app.ParseConfig(printed)
		if err != nil {
			t.Fatalf("what is printed cannot be read: %v\n%s", err, printed)
		}
		if (problems == nil) != (again.Check() == nil) {
			t.Errorf("read anew, %v becomes %v:\n%s", problems, again.Check(), printed)
		}
		if problems != nil {
			return // lines that are empty but for spaces do not survive the library
		}
		twice, err := yaml.Marshal(again)
		if err != nil || string(twice) != string(printed) {
			t.Errorf("printed as\n%s\nand then as\n%s\n%v", printed, twice, err)
		}
	})
}
