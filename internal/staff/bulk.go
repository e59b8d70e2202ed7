package staff

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

const (
	// countStep is how many certificates are read at a time to be counted.
	countStep = 10_000
	// nameStep is the same if the bytes of each of them are read.
	nameStep = 1_000
	// revokeStep is how many are revoked in one transaction.
	revokeStep = 250
	// sampleSize is how many certificates a plan shows.
	sampleSize = 20
)

// PlanRevocation begins to count what a filter selects: certificates that are neither
// revoked nor expired. Nothing is revoked until BeginRevocation. The count goes on in the
// background; see BulkRevocation. It reports Invalid for a filter that is wrong or empty.
func (s *Staff) PlanRevocation(ctx context.Context, actor telamon.Actor, filter telamon.RevocationFilter, rev Revocation) (*telamon.BulkRevocation, error) {
	if err := authz.Check(actor, authz.BulkPlan, filter.Account); err != nil {
		return nil, err
	}
	if err := checkFilter(&filter); err != nil {
		return nil, err
	}
	if err := s.check(&rev); err != nil {
		return nil, err
	}
	return s.plan(ctx, actor, filter, rev)
}

func (s *Staff) plan(ctx context.Context, actor telamon.Actor, filter telamon.RevocationFilter, rev Revocation) (*telamon.BulkRevocation, error) {
	b := &telamon.BulkRevocation{
		ID: telamon.NewBulkID(), Filter: filter, Reason: rev.Reason, CompromisedAt: rev.CompromisedAt, RequestedBy: actor.Subject(),
	}
	if err := s.store.CreateBulk(ctx, actor, b); err != nil {
		return nil, err
	}
	s.wakeJobs()
	return b, nil
}

// planSiblings plans to revoke whatever else was issued for the key of a certificate.
func (s *Staff) planSiblings(ctx context.Context, actor telamon.Actor, cert *telamon.Certificate, rev Revocation) (*telamon.BulkRevocation, error) {
	return s.plan(ctx, actor, telamon.RevocationFilter{Key: hex.EncodeToString(cert.SPKIHash[:])}, rev)
}

// checkFilter returns what is wrong with a filter, and writes its texts in one way.
func checkFilter(f *telamon.RevocationFilter) error {
	if f.IsEmpty() {
		return invalid("filter", "selects every certificate: give at least one member")
	}
	if f.Key != "" {
		hash, ok := f.KeyHash()
		if !ok {
			return invalid("filter.key", "is not the SHA-256 of a SubjectPublicKeyInfo in hexadecimal")
		}
		f.Key = hex.EncodeToString(hash[:])
	}
	if f.Domain != "" {
		name, err := dnsname.Parse(f.Domain)
		if err != nil {
			return invalid("filter.domain", err.Error())
		}
		f.Domain = name.String()
		if f.Tree && name.IsWildcard() {
			return invalid("filter.domain", "is a wildcard: for all below a domain, give the domain")
		}
	} else if f.Tree {
		return invalid("filter.tree", "is for a domain")
	}
	if f.From != nil && f.Until != nil && f.Until.Before(*f.From) {
		return invalid("filter.until", "is before from")
	}
	return nil
}

// BeginRevocation lets a planned bulk revocation revoke what it has counted, in the
// background. It reports NotFound, and Conflict with wrong_state unless it is planned.
func (s *Staff) BeginRevocation(ctx context.Context, actor telamon.Actor, id telamon.BulkID) (telamon.BulkRevocation, error) {
	if err := authz.Check(actor, authz.BulkExecute, ""); err != nil {
		return telamon.BulkRevocation{}, err
	}
	if err := s.store.BeginBulk(ctx, actor, id); err != nil {
		return telamon.BulkRevocation{}, err
	}
	s.wakeJobs()
	return s.store.Bulk(ctx, id)
}

// BulkRevocation returns a bulk revocation as it is now. It reports NotFound.
func (s *Staff) BulkRevocation(ctx context.Context, actor telamon.Actor, id telamon.BulkID) (telamon.BulkRevocation, error) {
	if err := authz.Check(actor, authz.BulkRead, ""); err != nil {
		return telamon.BulkRevocation{}, err
	}
	return s.store.Bulk(ctx, id)
}

// BulkRevocations lists bulk revocations.
func (s *Staff) BulkRevocations(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.BulkRevocation, error) {
	if err := authz.Check(actor, authz.BulkRead, ""); err != nil {
		return nil, err
	}
	return s.store.Bulks(ctx, page)
}

// runBulk does the job of a bulk revocation: it counts or revokes step by step until the
// state is over. Each step is written once, whoever does it, so that a process which
// dies leaves nothing half done, and another one goes on where it was.
func (s *Staff) runBulk(ctx context.Context, job store.Job) (again time.Time, err error) {
	id, err := telamon.ParseBulkID(job.Key)
	if err != nil {
		return time.Time{}, err
	}
	var last pass
	for ctx.Err() == nil {
		b, err := s.store.Bulk(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		switch b.State {
		case telamon.BulkCounting:
			err = s.count(ctx, &b)
		case telamon.BulkRevoking:
			again, err = s.revoke(ctx, &b, &last)
		default:
			return time.Time{}, nil
		}
		if err != nil || !again.IsZero() {
			return again, err
		}
	}
	return time.Time{}, ctx.Err()
}

func (s *Staff) count(ctx context.Context, b *telamon.BulkRevocation) error {
	size := countStep
	if b.Filter.Domain != "" {
		size = nameStep
	}
	step, err := s.scan(ctx, b, size)
	if err != nil {
		return err
	}
	sample := b.Sample
	for _, f := range step.Found {
		if len(sample) == sampleSize {
			break
		}
		sample = append(sample, telamon.BulkSample{
			Serial: f.Serial.String(), Account: f.Account, Issuer: f.Issuer, IssuedAt: f.AcceptedAt, NotAfter: f.NotAfter,
		})
	}
	return s.store.CountBulk(ctx, b, step, sample)
}

// A pass is what this process knows of how a revocation goes through the last hours.
type pass struct {
	begun bool
	early bool // certificates may have appeared behind it
}

// revoke reads a step of a revocation and revokes what it found, some in each
// transaction. It returns when it must go on if that is later.
func (s *Staff) revoke(ctx context.Context, b *telamon.BulkRevocation, p *pass) (again time.Time, err error) {
	late, settled := store.LateBulk(b)
	if !p.begun { // somebody else may have read behind late, and nobody knows when
		p.begun, p.early = true, bytes.Compare(b.Cursor[:], late[:]) > 0
	}
	p.early = p.early || s.clock.Now().Before(settled)
	size := countStep
	if b.Filter.Domain != "" {
		size = nameStep
	}
	step, err := s.scan(ctx, b, size)
	if err != nil {
		return again, err
	}
	if step.Done && p.early {
		step.Done, step.Next = false, late
		*p = pass{begun: true}
		if s.clock.Now().Before(settled) {
			again = settled
		}
	}
	for len(step.Found) > revokeStep {
		part := store.Step{Found: step.Found[:revokeStep], Next: step.Found[revokeStep-1].Serial, Examined: revokeStep}
		if err := s.store.RevokeBulk(ctx, system, b, &part); err != nil {
			return time.Time{}, err
		}
		b.Cursor, step.Found = part.Next, step.Found[revokeStep:]
		step.Examined -= revokeStep
	}
	if err := s.store.RevokeBulk(ctx, system, b, step); err != nil {
		return time.Time{}, err
	}
	return again, nil
}

// system does what was begun by somebody.
var system = telamon.Actor{Kind: telamon.ActorSystem}

// scan reads a step, with the names of certificates if the filter asks for them.
func (s *Staff) scan(ctx context.Context, b *telamon.BulkRevocation, size int) (*store.Step, error) {
	step, err := s.store.ScanBulk(ctx, b, size)
	if err != nil || b.Filter.Domain == "" {
		return step, err
	}
	found := step.Found[:0]
	for _, f := range step.Found {
		blob, err := s.store.CertificateBlob(ctx, &telamon.Certificate{Serial: f.Serial, NotAfter: f.NotAfter})
		if fault.Is(err, fault.NotFound) { // dropped meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if names(blob.DER, b.Filter.Domain, b.Filter.Tree) {
			found = append(found, f)
		}
	}
	step.Found = found
	return step, nil
}

// names reports whether a certificate names the domain, as an alternative name or as its
// common name, or with tree a name below it.
func names(der []byte, domain string, tree bool) bool {
	if !bytes.Contains(bytes.ToLower(der), []byte(domain)) { // most do not, and parsing is dear
		return false
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	for _, name := range append(cert.DNSNames, cert.Subject.CommonName) {
		name = strings.ToLower(name)
		if name == domain || tree && strings.HasSuffix(name, "."+domain) {
			return true
		}
	}
	return false
}
