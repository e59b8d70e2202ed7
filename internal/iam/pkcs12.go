package iam

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

const (
	// madeKeyBits is the RSA modulus of keys that are made here, that of the tutorial
	// (digicert-one.md, Section 10).
	madeKeyBits = 2048
	// downloadLife is for how long a PKCS #12 file waits (digicert-one.md, Section 6.4).
	downloadLife = 10 * time.Minute
	// p12Password is how many letters and digits a file's password has: 71 bits
	// (digicert-one.md, Section 6.4).
	p12Password = 12
	// keyMakingLimit is how long a request waits for its turn to make a key.
	keyMakingLimit = 10 * time.Second
)

// keysAtOnce is how many keys are made at a time, each of which takes a processor for a
// tenth of a second: half of the processors serve others meanwhile.
func keysAtOnce() int64 { return int64(max(1, runtime.NumCPU()/2)) }

// The encryptions of PKCS #12 files (digicert-one.md, Section 6.4).
const (
	encryptionAES  = "AES"
	encryption3DES = "3DES"
)

// p12Encoders write files by them: PBES2 with AES-256-CBC and a MAC of SHA-256, and
// pbeWithSHA1And3-KeyTripleDES-CBC for both bags with a MAC of SHA-1. The latter is for
// clients that know nothing else; RC2, which some of them write, opens nowhere today.
var p12Encoders = map[string]*pkcs12.Encoder{encryptionAES: pkcs12.Modern2023, encryption3DES: pkcs12.LegacyDES}

// A GeneratedCertRequest asks for a client certificate of a user whose key is made here.
type GeneratedCertRequest struct {
	User       telamon.UserID // empty: the actor
	Name       string         // the subject's common name too
	End        *string        // as in a UserCertRequest
	Encryption string         // of the file: "AES" or "3DES"; "": AES
	Hash       string         // of the certificate's signature: "SHA-256", "SHA-384" or "SHA-512"; "": SHA-256
}

// A GeneratedUserCert is a client certificate that was just issued for a key made here.
type GeneratedUserCert struct {
	IssuedUserCert
	Password Secret // of the PKCS #12 file; nobody can learn it again
	Download Secret // fetches the file, once
}

// GenerateUserCert makes an RSA key and issues a client certificate for it. Key and
// certificate can be fetched once, within ten minutes, as a PKCS #12 file; the platform
// keeps neither the key nor the password, and cannot open the file by what it keeps.
//
// It reports Invalid with invalid_name, invalid_end, invalid_encryption or
// invalid_signature_hash; Conflict with name_taken; NotFound if the account has no such
// user; and Unavailable, with keys_busy if too many keys are being made.
func (s *IAM) GenerateUserCert(ctx context.Context, actor telamon.Actor, req GeneratedCertRequest) (*GeneratedUserCert, error) {
	user, err := s.certOwner(ctx, actor, authz.ClientCertificateIssue, req.User)
	if err != nil {
		return nil, err
	}
	name, end, err := s.nameAndEnd(ctx, user, req.Name, "end_date", req.End)
	if err != nil {
		return nil, err
	}
	spec, encoder, err := generatedCert(name, end, req)
	if err != nil {
		return nil, err
	}
	private, err := s.makeKey(ctx)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	if spec.key, err = tbs.NewPublicKey(spki); err != nil {
		return nil, err
	}
	issued, err := s.signUserCert(ctx, user, spec)
	if err != nil {
		return nil, err
	}
	made := &GeneratedUserCert{IssuedUserCert: *issued, Password: newP12Password(), Download: newDownload()}
	file, err := encoder.Encode(private, issued.Certificate, []*x509.Certificate{issued.CA}, made.Password.Reveal())
	if err != nil {
		return nil, fmt.Errorf("write the PKCS #12 file of %s: %w", issued.ID, err)
	}
	waiting, err := sealDownload(issued.ID, made.Download.Reveal(), file)
	if err != nil {
		return nil, err
	}
	if err := s.store.CreateUserCert(ctx, actor, &made.ClientCert, waiting); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeClientCert, made.ID.String())
	return made, nil
}

// generatedCert returns what the certificate is to be, but for its key, and what writes
// its file.
func generatedCert(name string, end time.Time, req GeneratedCertRequest) (userCert, *pkcs12.Encoder, error) {
	c := userCert{name: name, subject: []telamon.Attribute{attribute(oidCommonName, name)}, notAfter: end, hash: req.Hash}
	if bound, _ := tbs.UpperBound(oidCommonName); utf8.RuneCountInString(name) > bound {
		return c, nil, invalid("invalid_name", "name", fmt.Sprintf("must not be longer than %d characters: it is the certificate's common name", bound))
	}
	if req.Encryption == "" {
		req.Encryption = encryptionAES
	}
	encoder := p12Encoders[req.Encryption]
	if encoder == nil {
		return c, nil, invalid("invalid_encryption", "encryption", "is none of "+encryptionAES+", "+encryption3DES)
	}
	if c.hash == "" {
		c.hash = hashSHA256
	}
	if !slices.Contains(userCertHashes, c.hash) {
		return c, nil, invalid("invalid_signature_hash", "signature_hash", "is none of "+strings.Join(userCertHashes, ", "))
	}
	return c, encoder, nil
}

// makeKey makes an RSA key when it is the request's turn.
func (s *IAM) makeKey(ctx context.Context) (*rsa.PrivateKey, error) {
	waiting, cancel := context.WithTimeout(ctx, keyMakingLimit)
	defer cancel()
	if err := s.keyMaking.Acquire(waiting, 1); err != nil {
		return nil, &fault.Fault{
			Kind: fault.Unavailable, Code: "keys_busy", Detail: "Too many keys are being made. Retry later.",
			RetryAfter: keyMakingLimit, Cause: err,
		}
	}
	defer s.keyMaking.Release(1)
	key, err := rsa.GenerateKey(rand.Reader, madeKeyBits)
	if err != nil {
		return nil, fmt.Errorf("make an RSA key: %w", err)
	}
	return key, nil
}

// newP12Password returns letters and digits, each as likely as any other.
func newP12Password() Secret {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	text := make([]byte, p12Password)
	for i := range text {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		text[i] = alphabet[n.Int64()]
	}
	password := string(text)
	return Secret{&password}
}

// newDownload returns the value by which a file is fetched.
func newDownload() Secret {
	raw := make([]byte, 32)
	rand.Read(raw) // does not fail (crypto/rand)
	text := base64.RawURLEncoding.EncodeToString(raw)
	return Secret{&text}
}

// sealDownload encrypts a file under a key that only the value knows which fetches it. The
// certificate's ID is authenticated with it.
func sealDownload(id telamon.ClientCertID, value string, file []byte) (*store.Download, error) {
	hash, aead, err := downloadKeys(value)
	if err != nil {
		return nil, err
	}
	return &store.Download{Hash: hash, Sealed: aead.Seal(nil, nil, file, []byte(id)), Life: downloadLife}, nil
}

// downloadKeys derives from the value that fetches a file what the file is found by and
// what opens it; neither tells the other.
func downloadKeys(value string) (hash [32]byte, aead cipher.AEAD, err error) {
	derive := func(label string) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(value), nil, "telamon pkcs12 download "+label, 32)
	}
	found, err := derive("lookup")
	if err != nil {
		return hash, nil, fmt.Errorf("derive the hash of a download: %w", err)
	}
	key, err := derive("key")
	if err != nil {
		return hash, nil, fmt.Errorf("derive the key of a download: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return hash, nil, fmt.Errorf("prepare a download's cipher: %w", err)
	}
	aead, err = cipher.NewGCMWithRandomNonce(block)
	return [32]byte(found), aead, err
}

// DownloadPKCS12 returns the PKCS #12 file of a client certificate whose key was made
// here, to the first who asks with the value that fetches it. It reports NotFound, without
// telling why, and Denied.
func (s *IAM) DownloadPKCS12(ctx context.Context, actor telamon.Actor, id telamon.ClientCertID, value string) ([]byte, error) {
	if _, err := s.userCertFor(ctx, actor, authz.ClientCertificateDownload, id); err != nil {
		return nil, err
	}
	hash, aead, err := downloadKeys(value)
	if err != nil {
		return nil, err
	}
	sealed, err := s.store.TakeDownload(ctx, actor, actor.Account, id, hash)
	if err != nil {
		return nil, err
	}
	file, err := aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("open the PKCS #12 file of %s: %w", id, err)
	}
	return file, nil
}
