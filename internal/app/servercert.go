package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // the policy of server certificates
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// serverCertificate is the certificate that the TLS listener shows. It comes from
// files, or is issued by the platform to itself on its ordinary path, so that it
// stands in the ledger like every other, and is renewed after two thirds of its
// life. Its key never leaves memory.
type serverCertificate struct {
	app     *App
	current atomic.Pointer[tls.Certificate]
}

func newServerCertificate(ctx context.Context, a *App) (*serverCertificate, error) {
	s := &serverCertificate{app: a}
	return s, s.refresh(ctx)
}

// get is a tls.Config's GetCertificate.
func (s *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current.Load(), nil
}

// refresh reads the files anew, or has a new certificate issued if the present one
// is past two thirds of its life. The old one stays if that fails.
func (s *serverCertificate) refresh(ctx context.Context) error {
	if files := s.app.Config.TLS; files.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			return fmt.Errorf("read the server certificate: %w", err)
		}
		if err := s.app.Config.Names.coveredBy(cert.Leaf); err != nil {
			return fmt.Errorf("tls.cert_file: %w", err)
		}
		s.current.Store(&cert)
		return nil
	}
	if cert := s.current.Load(); cert != nil {
		life := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
		if s.app.Clock.Now().Before(cert.Leaf.NotBefore.Add(life * 2 / 3)) {
			return nil
		}
	}
	cert, err := s.issue(ctx)
	if err != nil {
		return fmt.Errorf("issue the server certificate: %w", err)
	}
	s.current.Store(cert)
	s.app.Log.InfoContext(ctx, "issued the server certificate", "names", s.app.Config.Names.all(), "not_after", cert.Leaf.NotAfter)
	return nil
}

func (s *serverCertificate) issue(ctx context.Context) (*tls.Certificate, error) {
	a := s.app
	actor, err := a.platformActor(ctx)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	req := &ra.CertificateRequest{PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))}
	for _, name := range a.Config.Names.all() {
		if _, err := netip.ParseAddr(name); err == nil {
			req.Policy.SAN.IPAddresses = append(req.Policy.SAN.IPAddresses, name)
		} else {
			req.Policy.SAN.DNSNames = append(req.Policy.SAN.DNSNames, name)
		}
	}
	// Some clients' logs show the common name, which has at most 64 characters
	// (RFC 5280, Appendix A.1).
	if name := a.Config.Names.Atlas[0]; len(name) <= 64 {
		req.Policy.Subject = map[string]string{"common_name": name}
	}
	serial, err := a.RA.Issue(ctx, actor, req)
	if err != nil {
		return nil, err
	}
	_, der, err := a.RA.Certificate(ctx, actor, serial)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	chain, err := a.Issuance.Chain(actor.Issuer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, chain[0].Raw}, PrivateKey: key, Leaf: leaf}, nil
}

//go:embed platform_policy.json
var platformPolicy []byte

// platformName names the account, service, identity and credential under which
// the platform issues certificates to itself.
const platformName = "telamon_platform"

// platformActor returns the platform as an actor that requests certificates for
// itself. It makes the account behind it at the first call of an installation.
func (a *App) platformActor(ctx context.Context) (telamon.Actor, error) {
	credential, err := a.platformCredential(ctx)
	if err != nil {
		return telamon.Actor{}, err
	}
	if err := a.Directory.Poll(ctx); err != nil { // another replica may just have made it
		return telamon.Actor{}, err
	}
	issuer, err := a.Directory.ActiveIssuer(ctx, credential.Pair)
	if err != nil {
		return telamon.Actor{}, err
	}
	return telamon.Actor{
		Kind: telamon.ActorSystem, Account: credential.Account, Credential: credential.ID, Pair: credential.Pair, Issuer: issuer.ID,
	}, nil
}

// platformLease is held by the replica that makes the platform's account. The others
// wait for it, which is no longer than platformLeaseLasts if it dies.
const (
	platformLease      = "platform"
	platformLeaseLasts = 30 * time.Second
	platformLeaseEvery = 100 * time.Millisecond
)

// platformCredential finds or makes the platform's own credential. Of replicas that
// start at once, one makes it.
func (a *App) platformCredential(ctx context.Context) (credential *telamon.Credential, err error) {
	if credential, err = a.findPlatformCredential(ctx); credential != nil || err != nil {
		return credential, err
	}
	ticker := time.NewTicker(platformLeaseEvery)
	defer ticker.Stop()
	for {
		held, err := a.Store.TakeLease(ctx, platformLease, platformLeaseLasts)
		if err != nil {
			return nil, err
		}
		if held {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
	defer func() { err = errors.Join(err, a.Store.DropLease(context.WithoutCancel(ctx), platformLease)) }()
	if err := a.Directory.Poll(ctx); err != nil {
		return nil, err
	}
	if credential, err = a.findPlatformCredential(ctx); credential != nil || err != nil {
		return credential, err
	}
	return a.makePlatformCredential(ctx)
}

// findPlatformCredential returns nil if there is none.
func (a *App) findPlatformCredential(ctx context.Context) (*telamon.Credential, error) {
	account, err := a.IAM.AccountNamed(ctx, System, platformName)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	existing, err := a.IAM.Credentials(ctx, System, account.ID, store.Page{Limit: 1})
	if err != nil || len(existing) == 0 {
		return nil, err
	}
	return &existing[0], nil
}

// makePlatformCredential makes the credential and what it needs, of which a call
// that failed may have made a part. Nobody learns its secret, and it is disabled: it
// gives the platform a pair and no login.
func (a *App) makePlatformCredential(ctx context.Context) (*telamon.Credential, error) {
	account, err := a.IAM.AccountNamed(ctx, System, platformName)
	if fault.Is(err, fault.NotFound) {
		var made *telamon.Account
		if made, err = a.IAM.CreateAccount(ctx, System, iam.NewAccount{Name: platformName}); err == nil {
			account = *made
		}
	}
	if err != nil {
		return nil, err
	}
	service, err := a.IAM.ServiceNamed(ctx, System, platformName)
	if fault.Is(err, fault.NotFound) {
		var made *telamon.Service
		made, err = a.IAM.CreateService(ctx, System, iam.ServiceSpec{
			Name: platformName, PolicyTemplate: platformPolicy, Series: SeriesTLSEC, Unlimited: true,
		})
		if err == nil {
			service = *made
		}
	}
	if err != nil {
		return nil, err
	}
	identity, err := a.ActiveIdentity(ctx, System, account.ID, platformName, map[string]string{"organization": "Telamon"})
	if err != nil {
		return nil, err
	}
	subscription, err := a.IAM.Subscribe(ctx, System, account.ID, service.ID)
	if err != nil {
		return nil, err
	}
	credential, _, err := a.IAM.CreateCredential(ctx, System, iam.CredentialSpec{
		Account: account.ID, Name: platformName, Subscription: subscription.ID, Identity: identity.ID,
	})
	if err != nil {
		return nil, err
	}
	return credential, a.IAM.DisableCredential(ctx, System, account.ID, credential.ID)
}

// ActiveIdentity makes an identity and moves it through vetting at once. It is for
// identities whose data the operator vouches for.
func (a *App) ActiveIdentity(ctx context.Context, actor telamon.Actor, account telamon.AccountID, name string, data map[string]string) (*telamon.Identity, error) {
	identity, err := a.IAM.CreateIdentity(ctx, actor, account, name, data)
	if err != nil {
		return nil, err
	}
	for _, state := range []telamon.IdentityState{telamon.IdentityQueued, telamon.IdentityProcessed, telamon.IdentityActive} {
		if err := a.IAM.MoveIdentity(ctx, actor, account, identity.ID, iam.IdentityMove{To: state}); err != nil {
			return nil, err
		}
	}
	return identity, nil
}

// renewEvery is how often the server certificate's age is looked at.
const renewEvery = time.Hour
