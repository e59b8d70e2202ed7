// Package lint judges certificates before they are signed: it signs the very bytes
// that a CA is about to sign with a key that is thrown away, and runs the lints of
// zlint over the result that belong to the certificate's profile (BR 4.3.1.2).
//
// It is pure but for the keys that it makes, knows no accounts and no CA keys, and
// decides nothing that a policy decides. It trusts zlint to know the standards, and
// fails closed: a certificate that zlint cannot read, or a lint that panics, is a
// failure.
package lint

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/zmap/zcrypto/x509"
	_ "github.com/zmap/zlint/v3" // registers its lints
	"github.com/zmap/zlint/v3/lint"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// Config says how certificates are linted.
type Config struct {
	// Ignore are the names of lints that an operator takes out of every profile.
	Ignore []string
	// Log is told, at level debug, of warnings, which block nothing. Nil discards.
	Log *slog.Logger
}

// Linter lints tbsCertificates. It is safe for concurrent use.
type Linter struct {
	sets map[telamon.Profile][]*lint.CertificateLint
	keys throwaway
	log  *slog.Logger
}

// New returns a linter. It reports an error for a name that no lint has.
func New(cfg Config) (*Linter, error) {
	if err := Known(cfg.Ignore); err != nil {
		return nil, err
	}
	l := &Linter{sets: map[telamon.Profile][]*lint.CertificateLint{}, log: cfg.Log}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	for _, profile := range telamon.Profiles {
		l.sets[profile] = lintsOf(profile, cfg.Ignore)
	}
	return l, nil
}

// Known reports an error for the first of names that no lint has.
func Known(names []string) error {
	for _, name := range names {
		if lint.GlobalRegistry().CertificateLints().ByName(name) == nil {
			return fmt.Errorf("there is no lint %q", name)
		}
	}
	return nil
}

// Judges reports whether a lint judges certificates of the profile unless it is
// ignored.
func Judges(profile telamon.Profile, name string) bool {
	return slices.ContainsFunc(lintsOf(profile, nil), func(c *lint.CertificateLint) bool { return c.Name == name })
}

// noConfiguration is the configuration of lints: none of ours needs one.
var noConfiguration = lint.NewEmptyConfig()

// Check returns a field for each lint of the profile that the certificate fails, in
// the order of their names: the lint's name, and its source and what is wrong. Errors
// and what zlint calls fatal are failures; warnings and notices are not.
func (l *Linter) Check(ctx context.Context, profile telamon.Profile, tbsDER []byte) []fault.Field {
	lints := l.sets[profile]
	if len(lints) == 0 {
		return unreadable(fmt.Errorf("there is no profile %q", profile))
	}
	cert, err := l.certificate(tbsDER)
	if err != nil {
		return unreadable(err)
	}
	var failed []fault.Field
	for _, c := range lints {
		result := c.Execute(cert, noConfiguration)
		switch result.Status {
		case lint.Error, lint.Fatal:
			failed = append(failed, fault.Field{Path: c.Name, Problem: describe(c, result)})
		case lint.Warn:
			l.log.DebugContext(ctx, "a lint warns", "lint", c.Name, "profile", string(profile), "details", describe(c, result))
		}
	}
	return failed
}

// unreadable is the finding about bytes that cannot be linted.
func unreadable(err error) []fault.Field {
	return []fault.Field{{Path: "certificate", Problem: "cannot be linted: " + err.Error()}}
}

// describe names the source of a lint and what it found.
func describe(c *lint.CertificateLint, result *lint.LintResult) string {
	text := fmt.Sprintf("%s (%s): %s", c.Source, c.Citation, c.Description)
	if result.Details != "" {
		text += ": " + result.Details
	}
	return text
}

// certificate returns what zlint reads: the tbsCertificate with a signature by a key
// that no certificate is of.
func (l *Linter) certificate(tbsDER []byte) (*x509.Certificate, error) {
	facts, err := tbs.Inspect(tbsDER)
	if err != nil {
		return nil, err
	}
	signature, err := l.keys.sign(facts.Signature, tbsDER)
	if err != nil {
		return nil, err
	}
	der, err := tbs.Assemble(tbsDER, facts.Signature, signature)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// zlint tells roots by a signature that verifies, which only the real one does.
	cert.SelfSigned = facts.IsCA && bytes.Equal(facts.Issuer, facts.Subject)
	return cert, nil
}
