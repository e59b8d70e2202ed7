package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestConfigHidesPasswords encodes configurations as "config print" does.
func TestConfigHidesPasswords(t *testing.T) {
	tests := []struct{ name, database, kept string }{
		{"a URL", "postgres://telamon:s3cret@db.test:5432/ca?sslmode=disable", "db.test:5432/ca"},
		{"a URL with the password in its query", "postgresql://db.test/ca?user=telamon&password=s3cret", "user=telamon"},
		{"a URL with the password of a key", "postgres://db.test/ca?sslpassword=s3cret", "db.test/ca"},
		{"a URL that cannot be read", "postgres://telamon:s3cret@db.test:port/ca", "hidden"},
		{"keywords", "host=db.test password=s3cret dbname=ca", "dbname=ca"},
		{"keywords with blanks", "host=db.test password = s3cret dbname=ca", "dbname=ca"},
		{"a quoted password", `host=db.test password='my \' s3cret' dbname=ca`, "dbname=ca"},
		{"a quote that does not end", `dbname=ca password='my s3cret`, "dbname=ca"},
		{"the embedded database", "sqlite:/var/lib/password=x/ca.db", "sqlite:/var/lib/password=x/ca.db"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Database, cfg.Keys.KEK = tt.database, "s3cret"
			var text bytes.Buffer
			if err := yaml.NewEncoder(&text).Encode(cfg); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "s3cret") {
				t.Errorf("the printed configuration shows the password:\n%s", text.String())
			}
			if !strings.Contains(text.String(), tt.kept) || !strings.Contains(text.String(), "listen:") {
				t.Errorf("the printed configuration lacks %q or another field:\n%s", tt.kept, text.String())
			}
		})
	}
}
