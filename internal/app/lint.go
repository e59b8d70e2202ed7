package app

import (
	"context"
	"log/slog"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/lint"
)

// linter returns the linter of certificates, and warns of each lint that strict
// certificates are no longer judged by.
func (c *LintConfig) linter(ctx context.Context, log *slog.Logger) (*lint.Linter, error) {
	for _, name := range c.Ignore {
		strict := slices.ContainsFunc(telamon.Profiles, func(p telamon.Profile) bool { return p.Strict() && lint.Judges(p, name) })
		if strict {
			log.WarnContext(ctx, "strict TLS certificates are not judged by a lint that lint.ignore names", "lint", name)
		}
	}
	return lint.New(lint.Config{Ignore: c.Ignore, Log: log})
}
