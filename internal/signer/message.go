package signer

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// An operation is the name of one of the keystore's operations on the wire.
type operation string

const (
	opGenerate        operation = "generate"
	opDescribe        operation = "describe"
	opBind            operation = "bind"
	opRequest         operation = "request_certificate"
	opSelfSign        operation = "self_sign"
	opSignCertificate operation = "sign_certificate"
	opSignCRL         operation = "sign_crl"
	opSignOCSP        operation = "sign_ocsp"
	opSignHash        operation = "sign_hash"
	opRetire          operation = "retire"
	opDestroy         operation = "destroy"
	opNames           operation = "names"
	opCheckKey        operation = "check_key"
	opJournal         operation = "journal"
	opHealth          operation = "health"
)

// repetition says when an operation may be asked for again whose answer was lost.
type repetition int

const (
	repeatAny    repetition = iota // whenever: it then does nothing that it has not done
	repeatUnsent                   // if it was not sent: done twice it fails, or does harm
	repeatNever                    // its content, or its answer, was partly read
)

// repeat returns when an operation may be asked for again. A certificate may be
// signed again: the bytes hold its serial number, and the lost signature is lost.
func (o operation) repeat() repetition {
	switch o {
	case opGenerate, opBind, opDestroy:
		return repeatUnsent
	case opSignCRL, opJournal:
		return repeatNever
	}
	return repeatAny
}

// answerTime is how long the signer may take for an answer, or for its next frame. A
// device makes RSA keys in its own time.
func (o operation) answerTime() time.Duration {
	switch o {
	case opGenerate:
		return 5 * time.Minute
	case opSignCRL, opJournal, opDestroy:
		return 30 * time.Second
	}
	return 10 * time.Second
}

// limit returns how long the body of a request may be.
func (o operation) limit() int64 {
	if o == opSignCRL {
		return maxStream
	}
	return maxBody
}

// answerLimit returns how long the body of an answer may be.
func (o operation) answerLimit() int64 {
	if o == opJournal {
		return maxStream
	}
	return maxBody
}

// request is the header of a request. Its body is what is to be signed, or the
// certificate of a purpose that has one.
type request struct {
	Operation operation          `json:"operation"`
	Name      string             `json:"name,omitempty"`
	KeyType   tbs.KeyType        `json:"key_type,omitempty"`
	Role      telamon.IssuerRole `json:"role,omitempty"`
	EKUFamily telamon.EKUFamily  `json:"eku_family,omitempty"`
	Account   telamon.AccountID  `json:"account,omitempty"` // the owner of a key pair
	KeyPair   telamon.KeyPairID  `json:"key_pair,omitempty"`
	Algorithm string             `json:"algorithm,omitempty"` // of a hash's signature: see tbs.SignatureNamed
	Hash      string             `json:"hash,omitempty"`
}

// owner returns the owner of the key pair that a request is for.
func (r *request) owner() keystore.Owner {
	return keystore.Owner{Account: r.Account, KeyPair: r.KeyPair}
}

// response is the header of a response. Its body is the signature, the public key that
// was made, the names or the journal.
type response struct {
	Failure   failureName `json:"failure,omitempty"` // of the error; "" is none
	Text      string      `json:"text,omitempty"`
	Algorithm []byte      `json:"algorithm,omitempty"` // DER of the AlgorithmIdentifier of an OCSP response
	Key       *keyText    `json:"key,omitempty"`
}

// keyText is what is known of a key.
type keyText struct {
	Public      []byte             `json:"public"` // SubjectPublicKeyInfo
	Role        telamon.IssuerRole `json:"role,omitempty"`
	EKUFamily   telamon.EKUFamily  `json:"eku_family,omitempty"`
	Certificate []byte             `json:"certificate,omitempty"`
	Account     telamon.AccountID  `json:"account,omitempty"`
	KeyPair     telamon.KeyPairID  `json:"key_pair,omitempty"`
	Retired     bool               `json:"retired,omitempty"`
	Last        int64              `json:"last,omitempty"` // Unix milliseconds of the last record of the journal
	Reference   string             `json:"reference,omitempty"`
}

func newKeyText(k keystore.InspectedKey) (*keyText, error) {
	public, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return nil, err
	}
	text := &keyText{
		Public: public, Role: k.Purpose.Role, EKUFamily: k.Purpose.EKUFamily, Account: k.Purpose.Owner.Account,
		KeyPair: k.Purpose.Owner.KeyPair, Retired: k.Purpose.Retired, Reference: k.Reference,
	}
	if k.Purpose.Certificate != nil {
		text.Certificate = k.Purpose.Certificate.Raw
	}
	if !k.Last.IsZero() {
		text.Last = k.Last.UnixMilli()
	}
	return text, nil
}

// parse returns the key that the text describes.
func (k *keyText) parse(name string) (keystore.InspectedKey, error) {
	key := keystore.InspectedKey{
		Name: name, Reference: k.Reference, Purpose: keystore.Purpose{
			Role: k.Role, EKUFamily: k.EKUFamily, Owner: keystore.Owner{Account: k.Account, KeyPair: k.KeyPair}, Retired: k.Retired,
		},
	}
	var err error
	if key.Public, err = x509.ParsePKIXPublicKey(k.Public); err != nil {
		return key, fmt.Errorf("key %s: read the public key: %w", name, err)
	}
	if len(k.Certificate) > 0 {
		if key.Purpose.Certificate, err = x509.ParseCertificate(k.Certificate); err != nil {
			return key, fmt.Errorf("key %s: read the certificate: %w", name, err)
		}
	}
	if k.Last != 0 {
		key.Last = time.UnixMilli(k.Last).UTC()
	}
	return key, nil
}

// A failureName names an error that both ends know.
type failureName string

// failures are the errors that callers tell apart. Any other one is failedOtherwise.
var failures = []struct {
	name failureName
	err  error
}{
	{"no_key", keystore.ErrNoKey},
	{"exists", keystore.ErrExists},
	{"purpose", keystore.ErrPurpose},
	{"refused", errRefused},
}

const failedOtherwise failureName = "failed"

// errRefused is what the server answers to what it cannot read.
var errRefused = errors.New("the signer refuses the message")

// respond returns the response's header for an error, nil for none.
func respond(err error) response {
	if err == nil {
		return response{}
	}
	r := response{Failure: failedOtherwise, Text: err.Error()}
	for _, c := range failures {
		if errors.Is(err, c.err) {
			r.Failure = c.name
			break
		}
	}
	r.Text = r.Text[:min(len(r.Text), maxText)]
	return r
}

// maxText is how much of an error's text is sent.
const maxText = 4 << 10

// A remoteError is an error of the other end.
type remoteError struct {
	text string
	kind error // one of failures, nil for another
}

func (e *remoteError) Error() string { return "signer: " + e.text }

func (e *remoteError) Unwrap() error { return e.kind }

// error returns the error that the response holds.
func (r *response) error() error {
	if r.Failure == "" {
		return nil
	}
	for _, c := range failures {
		if c.name == r.Failure {
			return &remoteError{r.Text, c.err}
		}
	}
	return &remoteError{text: r.Text}
}

// decodeHeader reads the JSON of a header.
func decodeHeader(content []byte, header any) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(header); err != nil {
		return errHeader
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errHeader
	}
	return nil
}

// purpose returns the purpose that a request to bind a key holds.
func (r *request) purpose(certificate []byte) (keystore.Purpose, error) {
	if len(certificate) == 0 {
		return keystore.Purpose{Role: r.Role, EKUFamily: r.EKUFamily, Owner: r.owner()}, nil
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return keystore.Purpose{}, fmt.Errorf("the certificate of the purpose cannot be read: %w", errRefused)
	}
	return keystore.Purpose{Role: r.Role, EKUFamily: r.EKUFamily, Owner: r.owner(), Certificate: parsed}, nil
}
