package app

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/digicertone"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/web"
)

// defaultDigiCertONE has the rates that are documented for CertCentral: none are for
// DigiCert ONE (digicert-one.md, Section 2.5).
func defaultDigiCertONE() DigiCertONEConfig {
	return DigiCertONEConfig{
		Burst:     RateConfig{Requests: 100, Window: 5 * time.Second},
		Sustained: RateConfig{Requests: 1000, Window: 5 * time.Minute},

		AllowCertSelfIssue: true, // digicert-one.md, Section 13, A25
	}
}

// limiters returns one limiter for each bound.
func (c DigiCertONEConfig) limiters(clock telamon.Clock) []*web.Limiter {
	var all []*web.Limiter
	for _, r := range []RateConfig{c.Burst, c.Sustained} {
		all = append(all, web.NewLimiter(clock, float64(r.Requests)/r.Window.Seconds(), r.Requests))
	}
	return all
}

// digicertONEProblems reports what is wrong with the names and settings of the faces of
// DigiCert ONE.
func (c *Config) digicertONEProblems() (problems []error) {
	problem := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	taken := map[string]bool{}
	for _, name := range slices.Concat(c.Names.Atlas, c.Names.Portal, c.Names.Admin) {
		taken[strings.ToLower(name)] = true
	}
	for _, base := range c.Names.DigiCertONE {
		derived := digicertone.ClientAuthPrefix + base
		if name, err := dnsname.Parse(derived); err != nil || string(name) != derived {
			problem("names.digicert_one", "%q is no host name in lower case to which %s can be prepended", base, digicertone.ClientAuthPrefix)
		}
		if taken[base] || taken[derived] {
			problem("names.digicert_one", "%s or %s is there already", base, derived)
		}
		taken[base], taken[derived] = true, true
	}
	for field, r := range map[string]RateConfig{"burst": c.DigiCertONE.Burst, "sustained": c.DigiCertONE.Sustained} {
		if r.Requests < 1 || r.Window <= 0 {
			problem("digicert_one."+field, "requests and window must be positive")
		}
	}
	return problems
}

// digicertONENames returns the base names and those on which clients are asked for
// certificates.
func (c *NamesConfig) digicertONENames() (bases, derived []string) {
	for _, base := range c.DigiCertONE {
		derived = append(derived, digicertone.ClientAuthPrefix+base)
	}
	return c.DigiCertONE, derived
}

// all returns every name that the server's own certificate is for.
func (c *NamesConfig) all() []string {
	bases, derived := c.digicertONENames()
	return slices.Concat(c.Atlas, c.Portal, c.Admin, bases, derived)
}

// coveredBy reports which name of DigiCert ONE a certificate is not for: clients make one
// name of a pair from the other, and find out late.
func (c *NamesConfig) coveredBy(cert *x509.Certificate) error {
	bases, derived := c.digicertONENames()
	for _, name := range slices.Concat(bases, derived) {
		if err := cert.VerifyHostname(name); err != nil {
			return fmt.Errorf("names.digicert_one: %w", err)
		}
	}
	return nil
}

// digicertONEFaces returns the two faces of DigiCert ONE, none if it has no name.
func (s *Server) digicertONEFaces(instrument web.Instrument) []*web.Face {
	a := s.app
	bases, derived := a.Config.Names.digicertONENames()
	if len(bases) == 0 {
		return nil
	}
	cfg := a.Config.DigiCertONE
	api := digicertone.New(digicertone.Config{
		IAM: a.IAM, Signing: a.Signing, Clock: a.Clock, Log: a.Log, MaxBody: a.Config.Limits.BodyBytes, SigningNeedsBoth: cfg.SigningNeedsBoth,
		Callers: cfg.limiters(a.Clock), Strangers: cfg.limiters(a.Clock), Accounts: s.accounts,
	})
	face := func(name string, hosts []string, asks bool) *web.Face {
		instrument.Face = name
		return &web.Face{
			Name: name, Hosts: hosts, Handler: instrument.Wrap(api.Face(asks)), Certificate: s.certificate.get,
			AsksClientCert: asks, Misdirected: instrument.Wrap(api.Misdirected()),
		}
	}
	return []*web.Face{face("digicert_one", bases, false), face("digicert_one_clientauth", derived, true)}
}
