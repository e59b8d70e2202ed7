package app_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestIgnoredLints has the start warn of lints that strict TLS does without, and refuse
// names that no lint has.
func TestIgnoredLints(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	w.cfg.Lint.Ignore = []string{"e_sub_cert_aia_missing"}
	w.open()
	if got := w.log.String(); !strings.Contains(got, "e_sub_cert_aia_missing") {
		t.Errorf("the start does not warn: %s", got)
	}
	w.cfg.Lint.Ignore = []string{"e_no_such_lint"}
	if err := w.cfg.Check(); err == nil || !strings.Contains(err.Error(), "lint.ignore") {
		t.Errorf("Check reports %v, want lint.ignore", err)
	}
}

// ctLogs are two logs, of which nothing is asked.
var ctLogs = []app.CTLogConfig{
	{URL: "https://log.example/", Operator: "A", Key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdmmgWyuPIFOhAg+wcudGLVVZEXFQkUNCDma8Obt4VyBiHWQY5ShCLdPsUmD+FHCHWpIOIVzrj7reqJjUnBBHcA=="},
	{URL: "https://other.example/", Operator: "B", Key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEM1QCHXtFppUVqzQL+T1AYzrGaoJTvcnNJNlaaDhjeZzCxPfASSilsZn3CbkuK6tbsAwKduM+HdnTmSN8IpPA6Q=="},
}

// TestTransparencyStart has the configurations of logs that a server does not start on.
func TestTransparencyStart(t *testing.T) {
	w := install(t, dbtest.SQLite(t))
	open := func(series string, logs []app.CTLogConfig) error {
		cfg := w.cfg
		cfg.CT.Series, cfg.CT.Logs = []string{series}, logs
		if err := cfg.Check(); err != nil {
			return err
		}
		a, err := app.Open(t.Context(), cfg, w.clock, slog.New(slog.DiscardHandler), new(slog.LevelVar))
		if err == nil {
			err = a.Close()
		}
		return err
	}
	for _, tt := range []struct {
		series string
		logs   []app.CTLogConfig
		says   string
	}{
		{"tls-ec", ctLogs, ""},
		{"tls-ec", ctLogs[:1], "ct: there are 1 logs for 2 timestamps"},
		{"tls-ec", []app.CTLogConfig{ctLogs[0], {URL: "https://other.example/", Operator: "B", Key: "?"}}, "no base64"},
		{"signing-rsa", ctLogs, "signs no TLS certificates"},
		{"strict-tls-ec", ctLogs, "ct.series: strict-tls-ec"},
	} {
		err := open(tt.series, tt.logs)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("with %d logs of %s the start reports %v, want %q", len(tt.logs), tt.series, err, tt.says)
		}
	}
}

// TestRequirement95DatedRows has tables of dated rules with rows that are missing or
// overlap: the server does not start on them.
func TestRequirement95DatedRows(t *testing.T) {
	good, err := os.ReadFile("../rules/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := install(t, dbtest.SQLite(t))
	w.cfg.Validation.RulesFile = filepath.Join(t.TempDir(), "rules.yaml")
	for _, tt := range []struct {
		name, old, new, says string
	}{
		{"as it is", "", "", ""},
		{"a row is missing", "  - {from: 2020-09-01, days: 398}\n  - {from: 2026-03-15, days: 200}\n  - {from: 2027-03-15, days: 100}\n  - {from: 2029-03-15, days: 47}\n", "  []\n", "max_validity_days"},
		{"a table is missing", "mpic_min_regions: 2", "", "mpic_min_regions"},
		{"rows overlap", "{from: 2027-03-15, days: 100}", "{from: 2026-03-15, days: 100}", "max_validity_days: row 3 does not start after row 2"},
		{"rows are out of order", "{from: 2026-06-15, n: 4}", "{from: 2026-03-01, n: 4}", "mpic_min_remotes: row 3 does not start after row 2"},
		{"a day that is none", "{from: 2018-03-01, days: 825}", "{from: 2018-02-30, days: 825}", "identity_reuse_days"},
		{"a table that is unknown", "token_lifetime_days: 30", "token_lifetime_days: 30\nwhois_until: 2025-07-14", "whois_until"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(good), tt.old, tt.new, 1)
			if tt.old != "" && text == string(good) {
				t.Fatalf("the rules do not hold %q", tt.old)
			}
			if err := os.WriteFile(w.cfg.Validation.RulesFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			check := w.cfg.Check()
			a, open := app.Open(t.Context(), w.cfg, w.clock, slog.New(slog.DiscardHandler), new(slog.LevelVar))
			if open == nil {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}
			for what, err := range map[string]error{"Check": check, "Open": open} {
				if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s reports %v, want %q", what, err, tt.says)
				}
			}
		})
	}
}
