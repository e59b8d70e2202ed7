package keystore

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A Purpose says what a key may sign. It is sealed with the key.
type Purpose struct {
	Role        telamon.IssuerRole
	EKUFamily   telamon.EKUFamily // of the leaves of an issuing CA
	Certificate *x509.Certificate // the CA's or the responder's own
	Owner       Owner             // of a key pair, which has no certificate here
	Retired     bool              // a CA signs status only, others nothing
}

// An Owner is whose key pair a key is. The key signs for nobody else.
type Owner struct {
	Account telamon.AccountID
	KeyPair telamon.KeyPairID
}

// isSet reports whether the purpose is one: a key's first is its last.
func (p *Purpose) isSet() bool { return p.Role != "" }

// clockTolerance is how far the clock may stand behind the last signature: more
// than the clocks of replicas differ by and than a time server sets a clock back.
const clockTolerance = 5 * time.Minute

// keyFile is the plain text of a key's file.
type keyFile struct {
	PKCS8       []byte             `json:"pkcs8,omitempty"`
	Reference   string             `json:"reference,omitempty"` // to the key on a device, in place of pkcs8
	Public      []byte             `json:"public,omitempty"`    // SubjectPublicKeyInfo of that key
	Role        telamon.IssuerRole `json:"role,omitempty"`
	EKUFamily   telamon.EKUFamily  `json:"eku_family,omitempty"`
	Certificate []byte             `json:"certificate,omitempty"`
	Account     telamon.AccountID  `json:"account,omitempty"`
	KeyPair     telamon.KeyPairID  `json:"key_pair,omitempty"`
	Retired     bool               `json:"retired,omitempty"`
}

func (k *key) marshal() ([]byte, error) {
	f := keyFile{
		Role: k.purpose.Role, EKUFamily: k.purpose.EKUFamily, Account: k.purpose.Owner.Account, KeyPair: k.purpose.Owner.KeyPair,
		Retired: k.purpose.Retired,
	}
	if err := f.privateHalf(k.signer); err != nil {
		return nil, err
	}
	if k.purpose.Certificate != nil {
		f.Certificate = k.purpose.Certificate.Raw
	}
	return json.Marshal(&f)
}

func parseKey(name string, plain []byte, device Device) (*key, error) {
	var f keyFile
	if err := json.Unmarshal(plain, &f); err != nil {
		return nil, errKeyFile
	}
	signer, err := f.signer(device)
	if err != nil {
		return nil, err
	}
	k := &key{name: name, signer: signer, purpose: Purpose{
		Role: f.Role, EKUFamily: f.EKUFamily, Owner: Owner{f.Account, f.KeyPair}, Retired: f.Retired,
	}}
	if len(f.Certificate) > 0 {
		if k.purpose.Certificate, err = x509.ParseCertificate(f.Certificate); err != nil {
			return nil, fmt.Errorf("read the CA certificate: %w", err)
		}
	}
	return k, nil
}

// Bind gives a key its purpose, once and for good: the certificate, of a CA or of
// an OCSP responder, must be of this very key and of the role: a root's is by itself,
// and an issuing CA's has the extended key usages of its family. A key pair has its
// owner instead. When it returns nil, that is durable.
func (ks *Keystore) Bind(name string, purpose Purpose) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	k, err := ks.key(name)
	if err != nil {
		return err
	}
	problem := purpose.misfit()
	switch {
	case k.purpose.isSet():
		problem = "it has a purpose"
	case problem == "" && purpose.Certificate != nil && !sameKey(k.signer.Public(), purpose.Certificate.PublicKey):
		problem = "the certificate is of another key"
	}
	if problem != "" {
		return fmt.Errorf("bind key %s: %s: %w", name, problem, ErrPurpose)
	}
	old := k.purpose
	k.purpose = purpose
	if err := ks.saveKey(k); err != nil {
		k.purpose = old
		return err
	}
	return nil
}

// misfit returns why the certificate, or the owner, is not one of the role, or "".
func (p *Purpose) misfit() string {
	cert := p.Certificate
	switch {
	case p.Role == telamon.RoleKeyPair:
		if cert != nil || p.EKUFamily != "" || p.Owner.Account == "" || p.Owner.KeyPair == "" {
			return "a key pair has an owner and nothing else"
		}
		return ""
	case p.Owner != Owner{}:
		return "only a key pair has an owner"
	case p.Role != telamon.RoleRoot && p.Role != telamon.RoleIssuing && p.Role != telamon.RoleResponder:
		return fmt.Sprintf("unknown role %q", p.Role)
	case cert == nil || cert.IsCA != (p.Role != telamon.RoleResponder):
		return "it is not the certificate of a " + string(p.Role)
	case p.Role == telamon.RoleResponder && !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}):
		return "the certificate is of no OCSP responder"
	case p.Role == telamon.RoleRoot && !bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return "the certificate of a root is by another CA"
	case p.Role == telamon.RoleIssuing && p.EKUFamily != telamon.EKUAny:
		return p.misfitsFamily()
	}
	return ""
}

// misfitsFamily returns why the certificate's extended key usages are not those of the
// family, or "".
func (p *Purpose) misfitsFamily() string {
	facts, err := tbs.Inspect(p.Certificate.RawTBSCertificate)
	if err != nil {
		return err.Error()
	}
	has, want := texts(facts.ExtKeyUsage), texts(p.EKUFamily.OIDs())
	if !slices.Equal(has, want) {
		return fmt.Sprintf("the certificate has the extended key usages %q, and the family %q has %q", has, p.EKUFamily, want)
	}
	return ""
}

// texts returns identifiers in dotted form and in order.
func texts(ids []x509.OID) []string {
	var dotted []string
	for _, id := range ids {
		dotted = append(dotted, id.String())
	}
	slices.Sort(dotted)
	return dotted
}

// Retire ends a CA key's signing of certificates for good, but for that of its OCSP
// responder, and the key of a responder or a key pair altogether. A key that is retired stays as it is.
func (ks *Keystore) Retire(name string) error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	k, err := ks.key(name)
	if err != nil {
		return err
	}
	if k.purpose.Retired {
		return nil
	}
	k.purpose.Retired = true
	if err := ks.saveKey(k); err != nil {
		k.purpose.Retired = false
		return err
	}
	return nil
}

// SelfSign signs a root's own certificate with a key that has no purpose yet.
func (ks *Keystore) SelfSign(name string, tbsDER []byte) ([]byte, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	facts, err := tbs.Inspect(tbsDER)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", name, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", name, err)
	}
	if k.purpose.isSet() || !facts.IsCA || !bytes.Equal(facts.Issuer, facts.Subject) || !bytes.Equal(facts.SPKI, spki) {
		return nil, fmt.Errorf("sign with %s: not this key's own root certificate: %w", name, ErrPurpose)
	}
	return ks.sign(k, facts, tbsDER)
}

// SignCertificate signs a tbsCertificate and returns the signature. It refuses,
// with ErrPurpose, what is not within the key's purpose: another issuer name, a CA
// from an issuing CA or a leaf from a root, an extended key usage outside the
// family, a validity beyond the CA's, an algorithm of another key, a serial number
// of another form, a retired key, and a clock behind the last signature.
//
// The certificate of an OCSP responder is within the purpose of every issuing CA,
// also of a retired one: its only extended key usage is OCSPSigning, and it has
// id-pkix-ocsp-nocheck (RFC 6960, Section 4.2.2.2).
func (ks *Keystore) SignCertificate(name string, tbsDER []byte) ([]byte, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	facts, err := tbs.Inspect(tbsDER)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", name, err)
	}
	if problem := k.purpose.refuses(facts); problem != "" {
		return nil, fmt.Errorf("sign with %s: %s: %w", name, problem, ErrPurpose)
	}
	return ks.sign(k, facts, tbsDER)
}

// sign journals and signs. The caller holds ks.mu for reading and has checked
// the purpose.
func (ks *Keystore) sign(k *key, facts *tbs.Facts, tbsDER []byte) ([]byte, error) {
	serial, ok := telamon.SerialFromInt(facts.Serial)
	if !ok {
		return nil, fmt.Errorf("sign with %s: the serial number is of another form: %w", k.name, ErrPurpose)
	}
	algorithm, err := tbs.SignatureFor(k.signer.Public(), facts.Signature.Name(), facts.Signature.HashName())
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w: %w", k.name, err, ErrPurpose)
	}
	now := ks.clock.Now()
	if err := k.advance(now.UnixMilli()); err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k.name, err)
	}
	if err := ks.record(k, Record{At: now, Serial: serial, Hash: sha256.Sum256(tbsDER)}); err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k.name, err)
	}
	signature, err := algorithm.Sign(k.signer, tbsDER)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k.name, err)
	}
	return signature, nil
}

// advance moves the time of the last signature on, and refuses a clock that went
// back: validity and revocation would no longer be what they say.
func (k *key) advance(now int64) error {
	k.clockMu.Lock()
	defer k.clockMu.Unlock()
	if now < k.last-clockTolerance.Milliseconds() {
		return fmt.Errorf("the clock is %d ms behind the last signature: %w", k.last-now, ErrPurpose)
	}
	k.last = max(k.last, now)
	return nil
}

// refuses returns why the purpose does not allow a certificate, or "".
func (p *Purpose) refuses(f *tbs.Facts) string {
	ca := p.Certificate
	switch {
	case p.Role == telamon.RoleResponder || p.Role == telamon.RoleKeyPair:
		return "a " + string(p.Role) + " signs no certificates"
	case ca == nil:
		return "the key has no purpose yet"
	case p.Retired && !isResponder(f):
		return "the key is retired"
	case !bytes.Equal(f.Issuer, ca.RawSubject):
		return "the issuer's name is not the CA's"
	case f.NotBefore.Before(ca.NotBefore), f.NotAfter.After(ca.NotAfter):
		return "the validity exceeds the CA's"
	case p.Role == telamon.RoleRoot && (!f.IsCA || f.MaxPathLen < 0 || f.MaxPathLen > 1):
		return "a root signs only issuing CAs with a path length of 0, and other roots with one of 1"
	case p.Role == telamon.RoleIssuing && f.IsCA:
		return "an issuing CA signs no CAs"
	case p.Role == telamon.RoleIssuing && f.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "a leaf signs neither certificates nor CRLs"
	}
	if p.Role == telamon.RoleIssuing && !isResponder(f) {
		for _, id := range f.ExtKeyUsage {
			if !p.EKUFamily.Allows(id) {
				return "extended key usage " + id.String() + " is outside the family " + string(p.EKUFamily)
			}
		}
	}
	return ""
}

// isResponder reports whether a certificate is one of an OCSP responder and of
// nothing else.
func isResponder(f *tbs.Facts) bool {
	return f.OCSPNoCheck && !f.IsCA && len(f.ExtKeyUsage) == 1 && f.ExtKeyUsage[0].String() == telamon.OCSPSigning &&
		f.KeyUsage == x509.KeyUsageDigitalSignature
}
