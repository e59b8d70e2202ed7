package iam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// Reasons why a user's certificate is refused, beside those of logins.
const (
	certificateOfNoUser    reason = "certificate_of_no_user" // one for credentials
	certificateDeleted     reason = "certificate_deleted"
	certificateNotYetValid reason = "certificate_not_yet_valid"
	certificateChain       reason = "certificate_chain"  // its issuing CA did not sign it
	certificateUsage       reason = "certificate_usage"  // it is not for authenticating clients
	certificateIssuer      reason = "certificate_issuer" // its issuing CA is not good any more
)

// judgeUserCert judges the certificate that a client has shown to hold the key of.
func (s *IAM) judgeUserCert(ctx context.Context, der []byte) (judged, error) {
	refused := judged{evidence: evidence{standing: unusable}}
	fingerprint := sha256.Sum256(der)
	cert, err := s.directory.ClientCert(ctx, fingerprint)
	if fault.Is(err, fault.NotFound) {
		refused.why, refused.object = certificateUnknown, foreignName(der, fingerprint)
		return refused, nil
	}
	if err != nil {
		return judged{}, err
	}
	refused.object, refused.account = cert.ID.String(), cert.Account
	if refused.why = judgeRecord(cert); refused.why != "" {
		return refused, nil
	}
	if refused.why, err = s.judgeChain(ctx, cert, der); err != nil || refused.why != "" {
		return refused, err
	}
	owner, why, err := s.judgeOwner(ctx, cert.User)
	if err != nil {
		return judged{}, err
	}
	if refused.why = why; why != "" {
		return refused, nil
	}
	return judged{evidence: evidence{usable, owner.ID}, owner: owner, cert: cert}, nil
}

// judgeRecord returns why what is kept of a certificate refuses it, or "".
func judgeRecord(cert *telamon.ClientCert) reason {
	switch {
	case cert.User == "":
		return certificateOfNoUser
	case !cert.DeletedAt.IsZero():
		return certificateDeleted
	case cert.State == telamon.Revoked:
		return certificateRevoked
	case cert.State != telamon.Active:
		return certificateDisabled
	}
	return ""
}

// judgeChain returns why a certificate of ours, for what it says and for its issuing CA,
// is not good now, or "".
func (s *IAM) judgeChain(ctx context.Context, cert *telamon.ClientCert, der []byte) (reason, error) {
	issuer, err := s.directory.Issuer(ctx, cert.Issuer)
	if fault.Is(err, fault.NotFound) {
		return certificateIssuer, nil
	}
	if err != nil {
		return "", err
	}
	link := s.links.of(cert.Fingerprint)
	if link == nil {
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return "", fmt.Errorf("parse client certificate %s: %w", cert.ID, err)
		}
		link = &chainLink{notBefore: leaf.NotBefore, notAfter: leaf.NotAfter, why: checkChain(leaf, issuer.Certificate)}
		s.links.keep(cert.Fingerprint, link)
	}
	switch now := s.clock.Now(); {
	case link.why != "":
		return link.why, nil
	case now.Before(link.notBefore):
		return certificateNotYetValid, nil
	case passed(link.notAfter, now):
		return certificateExpired, nil
	case issuer.Revoked || passed(issuer.Certificate.NotAfter, now):
		return certificateIssuer, nil
	}
	return "", nil
}

// checkChain returns why a certificate of the platform is none of the issuing CA's for
// authenticating clients, whatever the time, or "".
func checkChain(leaf, issuer *x509.Certificate) reason {
	if !bytes.Equal(leaf.RawIssuer, issuer.RawSubject) || leaf.CheckSignatureFrom(issuer) != nil {
		return certificateChain
	}
	if leaf.IsCA || len(leaf.UnhandledCriticalExtensions) > 0 || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return certificateUsage
	}
	return ""
}

// passed reports whether a last second, which is valid itself (RFC 5280, Section
// 4.1.2.5), is over at t.
func passed(last, t time.Time) bool { return !t.Before(last.Add(time.Second)) }

// foreignName is what the audit log calls a certificate that is not the platform's: its
// serial number, or its SHA-256 if that can be none.
func foreignName(der []byte, fingerprint [32]byte) string {
	const maxSerial = 20 // octets (RFC 5280, Section 4.1.2.2)
	cert, err := x509.ParseCertificate(der)
	if err != nil || cert.SerialNumber.Sign() <= 0 || len(cert.SerialNumber.Bytes()) > maxSerial {
		return hex.EncodeToString(fingerprint[:])
	}
	return strings.ToUpper(hex.EncodeToString(cert.SerialNumber.Bytes()))
}

// A chainLink is what is certain of a certificate of ours and its issuing CA for ever.
type chainLink struct {
	notBefore, notAfter time.Time
	why                 reason // of checkChain
}

// maxLinksKept is how many certificates a chainLinks knows.
const maxLinksKept = 1 << 16

// chainLinks keeps links by the SHA-256 of the certificate, so that a signature is
// verified once and not at each request. When it is full it forgets all. The zero value
// is empty. It is safe for concurrent use.
type chainLinks struct {
	mu   sync.RWMutex
	kept map[[32]byte]*chainLink // guarded by mu
}

// of returns the link of a certificate, nil if it is not known.
func (l *chainLinks) of(fingerprint [32]byte) *chainLink {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.kept[fingerprint]
}

func (l *chainLinks) keep(fingerprint [32]byte, link *chainLink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil || len(l.kept) >= maxLinksKept {
		l.kept = map[[32]byte]*chainLink{}
	}
	l.kept[fingerprint] = link
}
