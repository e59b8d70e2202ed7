package invariant

import (
	"context"
	"crypto/sha256"
	"crypto/x509"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// users checks what users authenticate by: that it is of a user of its account, that the
// audit log has its making once, and of a certificate its first use if there was one.
func (c *checker) users(ctx context.Context) {
	c.t.Helper()
	owners := map[telamon.UserID]*telamon.User{}
	for i := range c.directory.Users {
		owners[c.directory.Users[i].ID] = &c.directory.Users[i]
	}
	made := c.objects(ctx, "api_token.create")
	for _, token := range c.directory.APITokens {
		if owner := owners[token.User]; owner == nil || owner.Account != token.Account || owner.State == telamon.Deleted {
			c.t.Errorf("API token %s of account %s is of user %+v", token.ID, token.Account, owner)
		}
		if made[token.ID.String()] != 1 {
			c.t.Errorf("API token %s has %d audit events of its making", token.ID, made[token.ID.String()])
		}
	}
	issued, used := c.objects(ctx, "client_certificate.issue"), c.objects(ctx, "client_certificate.use")
	for _, cert := range c.directory.ClientCerts {
		if cert.User == "" {
			continue
		}
		owner := owners[cert.User]
		if owner == nil || owner.Account != cert.Account || owner.State == telamon.Deleted && cert.DeletedAt.IsZero() || len(cert.Credentials) > 0 {
			c.t.Errorf("certificate %s of account %s, %+v, is of user %+v", cert.ID, cert.Account, cert, owner)
		}
		if first := used[cert.ID.String()]; issued[cert.ID.String()] != 1 || first > 1 || (first == 1) == cert.FirstUsedAt.IsZero() {
			c.t.Errorf("certificate %s, used first at %s, has %d audit events of its issuance and %d of its first use",
				cert.ID, cert.FirstUsedAt, issued[cert.ID.String()], first)
		}
		c.userCert(ctx, &cert)
	}
}

// userCert checks that a user's certificate is what its record says, and stands under a
// chain that verifies for clients.
func (c *checker) userCert(ctx context.Context, cert *telamon.ClientCert) {
	c.t.Helper()
	full, err := c.db.ClientCert(ctx, cert.Account, cert.ID)
	if err != nil {
		c.t.Errorf("read certificate %s: %v", cert.ID, err)
		return
	}
	signed, chain := full.Certificate, c.chains[cert.Issuer]
	serial, _ := telamon.SerialFromInt(signed.SerialNumber)
	if cert.Fingerprint != sha256.Sum256(signed.Raw) || cert.Serial != serial || !cert.NotBefore.Equal(signed.NotBefore) ||
		!cert.NotAfter.Equal(signed.NotAfter) || cert.Name == "" || !cert.DeletedAt.IsZero() && cert.State != telamon.Revoked {
		c.t.Errorf("certificate %s is not what its record says: %+v", cert.ID, cert)
	}
	if len(chain) == 0 {
		c.t.Errorf("certificate %s has no issuer", cert.ID)
		return
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for i, ca := range chain {
		if i == len(chain)-1 {
			roots.AddCert(ca)
		} else {
			between.AddCert(ca)
		}
	}
	_, err = signed.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: signed.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		c.t.Errorf("certificate %s does not verify: %v", cert.ID, err)
	}
}

// objects returns how many events of an action that was done there are of each object.
func (c *checker) objects(ctx context.Context, action string) map[string]int {
	c.t.Helper()
	counts := map[string]int{}
	filter := store.AuditFilter{Action: action, Result: "ok"}
	for more := true; more; more = filter.After != "" {
		page, err := c.db.AuditEvents(ctx, filter)
		if err != nil {
			c.t.Fatalf("read the audit log: %v", err)
		}
		for _, event := range page.Events {
			counts[event.Object]++
		}
		filter.After = page.Next
	}
	return counts
}
