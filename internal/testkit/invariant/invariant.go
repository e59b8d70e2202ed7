// Package invariant checks what must hold of every database, whatever a test did
// to it. It reads the ledger through the store as anybody else does, and mocks
// nothing.
package invariant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// Check reports as errors of t what does not hold of db:
//
//   - no serial number was given twice;
//   - each certificate is what its ledger entry says, stands under a chain that
//     verifies, and names its own CRL and issuer;
//   - each was accepted under a policy version that is kept;
//   - each has one audit event of its issuance, and each such event its certificate;
//     each revocation has one too;
//   - the counters and listings agree with the ledger, and so do the draws from the
//     quota of services that never changed;
//   - the counts of claims agree with their pages, each verified claim has its
//     verification, and so has each name of a certificate that demands one;
//   - what accounts are shown of the audit log is of events there, and whole;
//   - API tokens and client certificates of users are of users of their account and have
//     one audit event of their making; such a certificate is what its record says, stands
//     under a chain that verifies for clients, and has one event of its first use if it
//     was used.
//
// It must be called while nothing is written, and not after certificates were
// dropped for their age. Like every listing it makes claims pending that have expired.
func Check(t testing.TB, db *store.DB) {
	t.Helper()
	ctx := context.Background() // that of a test has ended in its cleanup
	c := &checker{t: t, db: db, certs: map[telamon.Serial]*telamon.Certificate{}, chains: map[telamon.IssuerID][]*x509.Certificate{}}
	var err error
	if c.directory, err = db.LoadDirectory(ctx); err != nil {
		t.Fatalf("read the directory: %v", err)
	}
	c.findChains()
	for _, pair := range c.directory.Pairs {
		c.pair(ctx, pair)
	}
	for _, cert := range c.certs {
		if cert.RekeyOf != nil && (c.certs[*cert.RekeyOf] == nil || c.certs[*cert.RekeyOf].Pair != cert.Pair) {
			t.Errorf("certificate %s is a rekey of %s, which its pair has not", cert.Serial, cert.RekeyOf)
		}
	}
	for _, identity := range c.directory.Identities {
		c.claims(ctx, identity.ID)
	}
	c.events(ctx)
	c.activities(ctx)
	c.users(ctx)
	c.quota(ctx)
}

type checker struct {
	t         testing.TB
	db        *store.DB
	directory *store.Directory
	certs     map[telamon.Serial]*telamon.Certificate
	chains    map[telamon.IssuerID][]*x509.Certificate // from each issuer up to its root
	versions  []string                                 // of policies that are kept
}

func (c *checker) findChains() {
	byID := map[telamon.IssuerID]*telamon.Issuer{}
	for i := range c.directory.Issuers {
		byID[c.directory.Issuers[i].ID] = &c.directory.Issuers[i]
	}
	for id := range byID {
		for issuer := byID[id]; issuer != nil; issuer = byID[issuer.Parent] {
			c.chains[id] = append(c.chains[id], issuer.Certificate)
		}
	}
}

// The bounds of listings of all times, and the size of their pages.
var (
	begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

const perPage = 1000

// pair checks the certificates of a pair.
func (c *checker) pair(ctx context.Context, pair telamon.Pair) {
	c.t.Helper()
	var issued, revoked int64
	for page := int64(1); ; page++ {
		rows, total, err := c.db.ListCertificates(ctx, store.Issued, pair.ID, begin, end, page, perPage)
		if err != nil {
			c.t.Fatalf("list the certificates of pair %d: %v", pair.ID, err)
		}
		for _, row := range rows {
			cert, err := c.db.Certificate(ctx, pair.ID, row.Serial)
			if err != nil {
				c.t.Fatalf("certificate %s is listed: %v", row.Serial, err)
			}
			if c.certs[row.Serial] != nil {
				c.t.Errorf("serial number %s was given twice", row.Serial)
			}
			c.certs[row.Serial] = cert
			c.certificate(ctx, cert)
			issued++
			if cert.Status == telamon.StatusRevoked {
				revoked++
			}
		}
		if len(rows) == 0 {
			c.equal("listed", pair.ID, total, issued)
			break
		}
	}
	for what, count := range map[string]struct {
		want int64
		read func() (int64, error)
	}{
		"counted as issued":  {issued, func() (int64, error) { return c.db.IssuedTotal(ctx, pair.ID) }},
		"counted as revoked": {revoked, func() (int64, error) { return c.db.RevokedTotal(ctx, pair.ID) }},
		"listed as revoked":  {revoked, func() (int64, error) { return c.total(ctx, store.Revoked, pair.ID) }},
		"listed as expiring": {issued, func() (int64, error) { return c.total(ctx, store.Expiring, pair.ID) }},
	} {
		n, err := count.read()
		if err != nil {
			c.t.Fatalf("what is %s: %v", what, err)
		}
		c.equal(what, pair.ID, n, count.want)
	}
}

func (c *checker) equal(what string, pair telamon.PairID, got, want int64) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("of pair %d, %d certificates are %s, but the ledger has %d", pair, got, what, want)
	}
}

func (c *checker) total(ctx context.Context, l store.Listing, pair telamon.PairID) (int64, error) {
	_, total, err := c.db.ListCertificates(ctx, l, pair, begin, end, 1, 1)
	return total, err
}

// certificate compares a ledger entry with what was signed.
func (c *checker) certificate(ctx context.Context, cert *telamon.Certificate) {
	c.t.Helper()
	blob, err := c.db.CertificateBlob(ctx, cert)
	if err != nil {
		c.t.Errorf("certificate %s has no bytes: %v", cert.Serial, err)
		return
	}
	if !json.Valid(blob.Request) {
		c.t.Errorf("the request of certificate %s is kept as %q", cert.Serial, blob.Request)
	}
	signed, err := x509.ParseCertificate(blob.DER)
	if err != nil {
		c.t.Errorf("certificate %s cannot be read: %v", cert.Serial, err)
		return
	}
	if serial, ok := telamon.SerialFromInt(signed.SerialNumber); !ok || serial != cert.Serial {
		c.t.Errorf("certificate %s holds the serial number %X", cert.Serial, signed.SerialNumber)
	}
	if !signed.NotBefore.Equal(cert.NotBefore) || !signed.NotAfter.Equal(cert.NotAfter) {
		c.t.Errorf("certificate %s is from %s to %s, but its entry says %s to %s",
			cert.Serial, signed.NotBefore, signed.NotAfter, cert.NotBefore, cert.NotAfter)
	}
	if sha256.Sum256(signed.RawSubjectPublicKeyInfo) != cert.SPKIHash {
		c.t.Errorf("certificate %s is for another key than its entry says", cert.Serial)
	}
	if (cert.Status == telamon.StatusRevoked) != (cert.Revocation != nil) {
		c.t.Errorf("certificate %s is %s, and its revocation is %v", cert.Serial, cert.Status, cert.Revocation)
	}
	c.issuedBy(cert, signed)
	c.evidence(ctx, cert, signed)
	c.policyOf(ctx, cert)
}

// issuedBy checks the chain and the URLs, which name the issuer and the CRL shard.
func (c *checker) issuedBy(cert *telamon.Certificate, signed *x509.Certificate) {
	c.t.Helper()
	chain := c.chains[cert.Issuer]
	if len(chain) < 2 {
		c.t.Errorf("certificate %s is of issuer %s, whose chain has %d certificates", cert.Serial, cert.Issuer, len(chain))
		return
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, ca := range chain[:len(chain)-1] {
		between.AddCert(ca)
	}
	_, err := signed.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: cert.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil || !bytes.Equal(signed.RawIssuer, chain[0].RawSubject) {
		c.t.Errorf("the chain of certificate %s does not verify: %v", cert.Serial, err)
	}
	crl := "/crl/" + cert.Issuer.String() + "/" + strconv.Itoa(cert.CRLShard) + ".crl"
	if urls := signed.CRLDistributionPoints; len(urls) != 1 || !strings.HasSuffix(urls[0], crl) {
		c.t.Errorf("certificate %s names the CRLs %q, want one at %s", cert.Serial, urls, crl)
	}
	ca := "/ca/" + cert.Issuer.String() + ".cer"
	if urls := signed.IssuingCertificateURL; len(urls) != 1 || !strings.HasSuffix(urls[0], ca) {
		c.t.Errorf("certificate %s names the issuers %q, want one at %s", cert.Serial, urls, ca)
	}
}

func (c *checker) policyOf(ctx context.Context, cert *telamon.Certificate) {
	c.t.Helper()
	if slices.Contains(c.versions, cert.PolicyVersion) {
		return
	}
	model, err := c.db.PolicyVersion(ctx, cert.PolicyVersion)
	if err != nil || !json.Valid(model) {
		c.t.Errorf("the policy %q of certificate %s is kept as %q, %v", cert.PolicyVersion, cert.Serial, model, err)
		return
	}
	c.versions = append(c.versions, cert.PolicyVersion)
}

// events compares the audit log with the ledger.
func (c *checker) events(ctx context.Context) {
	c.t.Helper()
	accounts := map[telamon.PairID]telamon.AccountID{}
	for _, pair := range c.directory.Pairs {
		accounts[pair.ID] = pair.Account
	}
	issued, revoked := map[telamon.Serial]int{}, map[telamon.Serial]int{}
	for _, kind := range []struct {
		action authz.Action
		seen   map[telamon.Serial]int
	}{{authz.CertificateIssue, issued}, {authz.CertificateRekey, issued}, {authz.CertificateRevoke, revoked}} {
		filter := store.AuditFilter{Action: string(kind.action), Result: "ok"}
		for more := true; more; more = filter.After != "" {
			page, err := c.db.AuditEvents(ctx, filter)
			if err != nil || len(page.Unreadable) > 0 {
				c.t.Fatalf("read the audit log: %v, %d events unreadable", err, len(page.Unreadable))
			}
			for _, event := range page.Events {
				serial, _, err := telamon.ParseSerial(event.Object)
				cert := c.certs[serial]
				if err != nil || cert == nil || event.Account != accounts[cert.Pair] {
					c.t.Errorf("the audit log has %s of %s by account %s, which has no such certificate", event.Action, event.Object, event.Account)
				}
				kind.seen[serial]++
			}
			filter.After = page.Next
		}
	}
	for serial, cert := range c.certs {
		if issued[serial] != 1 {
			c.t.Errorf("certificate %s has %d audit events of its issuance", serial, issued[serial])
		}
		if (revoked[serial] > 0) != (cert.Status == telamon.StatusRevoked) {
			c.t.Errorf("certificate %s is %s and has %d audit events of revocations", serial, cert.Status, revoked[serial])
		}
	}
}

// quota compares what was drawn from the lots with the ledger.
func (c *checker) quota(ctx context.Context) {
	c.t.Helper()
	metered := map[telamon.ServiceID]bool{}
	for _, service := range c.directory.Services {
		metered[service.ID] = !service.Unlimited && service.Version == 1
	}
	issued := map[telamon.SubscriptionID]int64{}
	for _, pair := range c.directory.Pairs {
		for _, cert := range c.certs {
			if cert.Pair == pair.ID {
				issued[pair.Subscription]++
			}
		}
	}
	for _, sub := range c.directory.Subscriptions {
		if !metered[sub.Service] {
			continue
		}
		lots, err := c.db.Lots(ctx, sub.Account, sub.ID)
		if err != nil {
			c.t.Fatalf("read the quota of %s: %v", sub.ID, err)
		}
		var used int64
		for _, lot := range lots {
			used += lot.Used
		}
		if used != issued[sub.ID] {
			c.t.Errorf("subscription %s has drawn %d certificates of quota, but the ledger has %d", sub.ID, used, issued[sub.ID])
		}
	}
}
