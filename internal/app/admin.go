package app

import (
	"errors"
	"strings"

	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/web"
)

// adminBody is the largest body of a request to the admin API: lists of certificates to
// import are the longest.
const adminBody = 4 << 20

// AdminAPI returns the admin API, which is served on the socket and, if it has a name, over
// TLS.
func (a *App) AdminAPI() *admin.API {
	return admin.New(admin.Config{
		IAM: a.IAM, Signing: a.Signing, SignIn: a.SignIn, RA: a.RA, Life: a.Life, Staff: a.Staff, Commerce: a.Commerce, Store: a.Store, Issuance: a.Issuance,
		CRLs: a.Publisher, Clock: a.Clock, Log: a.Log, Verifier: a.verifier,
		VerifierKey: a.verifierKey, Ready: a.ready, Version: Version(), Operators: a.operators,
	})
}

// adminFaces returns the face of the admin API for machines, none if it has no name.
func (s *Server) adminFaces(instrument web.Instrument) []*web.Face {
	a := s.app
	if len(a.Config.Names.Admin) == 0 {
		return nil
	}
	limits := a.Config.Limits
	instrument.Face, instrument.MaxBody = "machines", adminBody
	machines := s.admin.Machines(admin.MachineFace{
		Addresses:   web.NewLimiter(a.Clock, limits.AddressRate, limits.AddressBurst),
		Credentials: web.NewLimiter(a.Clock, limits.CredentialRate, limits.CredentialBurst),
		Accounts:    s.accounts,
	})
	return []*web.Face{{
		Name: "machines", Hosts: a.Config.Names.Admin, Handler: instrument.Wrap(machines), Certificate: s.certificate.get,
		AsksClientCert: true, Misdirected: instrument.Wrap(s.admin.Misdirected()),
	}}
}

// adminProblems reports what is wrong with the names of the admin API: its clients are asked
// for certificates, which browsers at the portal must not be, and its paths are not those of
// another API.
func (c *Config) adminProblems() (problems []error) {
	taken := map[string]bool{}
	for _, names := range [][]string{c.Names.Atlas, c.Names.Portal} {
		for _, name := range names {
			taken[strings.ToLower(name)] = true
		}
	}
	for _, name := range c.Names.Admin {
		if name == "" || taken[strings.ToLower(name)] {
			problems = append(problems, errors.New("names.admin: "+name+" is empty, there twice or the name of another face"))
		}
		taken[strings.ToLower(name)] = true
	}
	return problems
}
