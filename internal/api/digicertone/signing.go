package digicertone

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// The routes of Software Trust in the order in which signing clients call them
// (digicert-one.md, Section 8). What their answers hold beyond what those clients read is
// that of a captured answer, as far as the platform knows it.

const (
	certificatesPath = "/signingmanager/api/v1/certificates"
	keyPairsPath     = "/signingmanager/api/v1/keypairs"
)

func (a *API) signingRoutes() {
	a.route("GET "+certificatesPath, factorAny, a.signingCerts)
	a.route("GET "+keyPairsPath, factorAny, a.keyPairs)
	a.route("GET "+keyPairsPath+"/{id}", factorAny, a.keyPair)
	a.route("POST "+keyPairsPath+"/{id}/sign", a.protected, a.signHash)
}

// named is an object by its ID and name.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// aliased is named with the word that Software Trust has for it.
type aliased struct {
	ID    string `json:"id"`
	Alias string `json:"alias"`
}

// signingCert is the certificate of a key pair. Its certificates are base64 of DER in one
// line. Its ID is its serial number.
type signingCert struct {
	ID          string      `json:"id"`
	Alias       string      `json:"alias"`
	Cert        string      `json:"cert"`
	Fingerprint string      `json:"certificate_fingerprint"` // base64 of SHA-256
	Status      string      `json:"certificate_status"`
	Account     named       `json:"account"`
	KeyPair     aliased     `json:"keypair"`
	Default     bool        `json:"default_cert"`
	CreatedOn   string      `json:"created_on"`
	Chain       []chainCert `json:"chain"`
	ValidFrom   string      `json:"valid_from"`
	ValidTo     string      `json:"valid_to"`
}

// chainCert is one of the certificates above, the issuing CA's first.
type chainCert struct {
	Type string `json:"cert_type"`
	Blob string `json:"blob"`
}

// The statuses of certificates.
const (
	certActive  = "ACTIVE"
	certExpired = "EXPIRED"
	certRevoked = "REVOKED"
)

// certStatuses are what lists of certificates can be filtered by.
var certStatuses = map[string]store.CertificateStatus{
	certActive: store.CertificateActive, certExpired: store.CertificateEnded, certRevoked: store.CertificateGone, "": store.CertificateAny,
}

// keyPairOnWire is a key pair.
type keyPairOnWire struct {
	ID           string        `json:"id"`
	Alias        string        `json:"alias"`
	KeySize      int           `json:"key_size"` // in bits
	KeyAlg       string        `json:"key_alg"`  // "RSA" or "ECDSA": clients make the names of signature algorithms of it
	Curve        string        `json:"curve,omitempty"`
	KeyType      string        `json:"key_type"`
	PublicKey    string        `json:"public_key"` // base64 of the DER of SubjectPublicKeyInfo
	Certificates []signingCert `json:"certificates"`
	Account      named         `json:"account"`
	CreatedOn    string        `json:"created_on"`
	KeyStatus    string        `json:"key_status"`
	Active       int           `json:"number_of_active_certificates"`
	Signable     bool          `json:"is_signable_by_me"`
}

// What is the same for all key pairs, and their statuses; but for the first two, which
// were seen, they are our choice.
const (
	keyProduction = "PRODUCTION"
	keyOnline     = "ONLINE"
	keyDisabled   = "DISABLED"
	keyRevoked    = "REVOKED"
)

// keyPairList is a part of a list of key pairs, and how long the whole is.
type keyPairList struct {
	pairs                []telamon.KeyPair
	account              named
	total, limit, offset int64
}

// listKeyPairs returns the part of the list of the actor's key pairs that the query asks
// for. The filter has what the route adds.
func (a *API) listKeyPairs(c *call, p *parameters, f store.KeyPairFilter) (*keyPairList, error) {
	f.Name = p.text("alias")
	limit, offset, err := page(p.query, defaultLimit)
	p.note(err)
	if p.err != nil {
		return nil, p.err
	}
	f.Limit, f.Offset = limit, offset
	list := &keyPairList{limit: limit, offset: offset}
	if list.pairs, list.total, err = a.signing.KeyPairs(c.r.Context(), c.actor, c.actor.Account, f); err != nil {
		return nil, err
	}
	list.account, err = a.ownAccount(c)
	return list, err
}

// ownAccount names the actor's account.
func (a *API) ownAccount(c *call) (named, error) {
	account, err := a.signing.Account(c.r.Context(), c.actor)
	return named{uuidOf(account.ID), account.Name}, err
}

// signingCerts serves GET /signingmanager/api/v1/certificates.
func (a *API) signingCerts(c *call) error {
	if err := c.may(authz.KeyPairRead); err != nil {
		return err
	}
	query, err := c.query()
	if err != nil {
		return err
	}
	p := &parameters{query: query}
	f := store.KeyPairFilter{Status: certStatuses[p.oneOf("certificate_status", []string{certActive, certExpired, certRevoked})]}
	if id := p.get("id"); id != "" {
		serial, err := memberID("id", id, func(b [16]byte) telamon.Serial { return b })
		p.note(err)
		f.Serial = &serial
	}
	list, err := a.listKeyPairs(c, p, f)
	if err != nil {
		return err
	}
	items := make([]signingCert, len(list.pairs))
	for i := range list.pairs {
		if items[i], err = a.signingCertOf(&list.pairs[i], list.account); err != nil {
			return err
		}
	}
	return writeEnvelope(c, items, list.total, list.limit, list.offset)
}

// keyPairs serves GET /signingmanager/api/v1/keypairs.
func (a *API) keyPairs(c *call) error {
	if err := c.may(authz.KeyPairRead); err != nil {
		return err
	}
	query, err := c.query()
	if err != nil {
		return err
	}
	list, err := a.listKeyPairs(c, &parameters{query: query}, store.KeyPairFilter{})
	if err != nil {
		return err
	}
	items := make([]keyPairOnWire, len(list.pairs))
	for i := range list.pairs {
		if items[i], err = a.keyPairOnWire(c, &list.pairs[i], list.account); err != nil {
			return err
		}
	}
	return writeEnvelope(c, items, list.total, list.limit, list.offset)
}

// keyPair serves GET /signingmanager/api/v1/keypairs/{id}.
func (a *API) keyPair(c *call) error {
	id, err := pathID(c, telamon.KeyPairIDFromBytes)
	if err != nil {
		return err
	}
	k, err := a.signing.KeyPair(c.r.Context(), c.actor, c.actor.Account, id)
	if err != nil {
		return err
	}
	account, err := a.ownAccount(c)
	if err != nil {
		return err
	}
	shown, err := a.keyPairOnWire(c, &k, account)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, shown)
}

func (a *API) keyPairOnWire(c *call, k *telamon.KeyPair, account named) (keyPairOnWire, error) {
	shown := keyPairOnWire{
		ID: uuidOf(k.ID), Alias: k.Name, KeyType: keyProduction, PublicKey: base64.StdEncoding.EncodeToString(k.SPKI),
		Certificates: []signingCert{}, Account: account, CreatedOn: formatTime(k.CreatedAt), KeyStatus: keyStatusOf(k.State),
		Signable: k.State == telamon.Active && authz.Check(c.actor, authz.KeyPairSign, k.Account) == nil,
	}
	public, err := x509.ParsePKIXPublicKey(k.SPKI)
	if err != nil {
		return shown, err
	}
	switch key := public.(type) {
	case *rsa.PublicKey:
		shown.KeyAlg, shown.KeySize = "RSA", key.N.BitLen()
	case *ecdsa.PublicKey:
		shown.KeyAlg, shown.KeySize, shown.Curve = "ECDSA", key.Params().BitSize, key.Params().Name
	}
	if k.Certificate == nil {
		return shown, nil
	}
	cert, err := a.signingCertOf(k, account)
	shown.Certificates = append(shown.Certificates, cert)
	if cert.Status == certActive {
		shown.Active = 1
	}
	return shown, err
}

func keyStatusOf(s telamon.State) string {
	switch s {
	case telamon.Active:
		return keyOnline
	case telamon.Revoked:
		return keyRevoked
	}
	return keyDisabled
}

func (a *API) signingCertOf(k *telamon.KeyPair, account named) (signingCert, error) {
	fingerprint := sha256.Sum256(k.Certificate.Raw)
	cert := signingCert{
		ID: formatUUID(k.Serial), Alias: k.Name, Cert: base64.StdEncoding.EncodeToString(k.Certificate.Raw),
		Fingerprint: base64.StdEncoding.EncodeToString(fingerprint[:]), Status: certActive, Account: account,
		KeyPair: aliased{uuidOf(k.ID), k.Name}, Default: true, CreatedOn: formatTime(k.CreatedAt),
		ValidFrom: formatTime(k.Certificate.NotBefore), ValidTo: formatTime(k.Certificate.NotAfter),
	}
	switch {
	case k.Revocation != nil:
		cert.Status = certRevoked
	case a.clock.Now().After(k.Certificate.NotAfter):
		cert.Status = certExpired
	}
	chain, err := a.signing.Chain(k)
	for i, above := range chain {
		kind := "intermediate"
		if i == len(chain)-1 {
			kind = "root"
		}
		cert.Chain = append(cert.Chain, chainCert{kind, base64.StdEncoding.EncodeToString(above.Raw)})
	}
	return cert, err
}

// signRequest asks for a signature. Clients send back the account that GET gave them, which
// is an object; others its ID.
type signRequest struct {
	Account   json.RawMessage `json:"account"`
	Algorithm *string         `json:"sig_alg"`
	Hash      *string         `json:"hash"`
}

// signature is the answer to it.
type signature struct {
	ID        string `json:"id"` // of the entry in the audit log
	Signature string `json:"signature"`
}

// signHash serves POST /signingmanager/api/v1/keypairs/{id}/sign.
func (a *API) signHash(c *call) error {
	if err := c.may(authz.KeyPairSign); err != nil {
		return err
	}
	id, err := pathID(c, telamon.KeyPairIDFromBytes)
	if err != nil {
		return err
	}
	var in signRequest
	var account telamon.AccountID
	var digest []byte
	if err = c.decode(&in); err == nil {
		account, digest, err = in.parse(c.actor.Account)
	}
	if err != nil { // which is told of a key pair that is there
		_, absent := a.signing.KeyPair(c.r.Context(), c.actor, c.actor.Account, id)
		return cmp.Or(absent, err)
	}
	signed, err := a.signing.Sign(c.r.Context(), c.actor, account, id, *in.Algorithm, digest)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, signature{uuidOf(signed.ID), base64.StdEncoding.EncodeToString(signed.Octets)})
}

// parse returns the account, which is own if none is given, and the digest. It reports
// Malformed for what is missing or cannot be read.
func (r *signRequest) parse(own telamon.AccountID) (telamon.AccountID, []byte, error) {
	var wrong []fault.Field
	account, ok := accountOf(r.Account, own)
	if !ok {
		wrong = append(wrong, fault.Field{Path: "account", Problem: "has to be an account's UUID, or an object with it as id"})
	}
	if r.Algorithm == nil {
		wrong = append(wrong, fault.Field{Path: "sig_alg", Problem: "is required"})
	}
	var digest []byte
	if r.Hash == nil {
		wrong = append(wrong, fault.Field{Path: "hash", Problem: "is required"})
	} else {
		var err error
		if digest, err = base64.StdEncoding.Strict().DecodeString(*r.Hash); err != nil {
			wrong = append(wrong, fault.Field{Path: "hash", Problem: "has to be base64"})
		}
	}
	if len(wrong) > 0 {
		return "", nil, &fault.Fault{Kind: fault.Malformed, Code: "bad_request", Detail: "The request cannot be read.", Fields: wrong}
	}
	return account, digest, nil
}

// accountOf reads an account of a request. It returns false for what is none.
func accountOf(value json.RawMessage, own telamon.AccountID) (telamon.AccountID, bool) {
	if len(value) == 0 || string(value) == "null" {
		return own, true
	}
	var id string
	if json.Unmarshal(value, &id) != nil {
		var object struct {
			ID *string `json:"id"`
		}
		if json.Unmarshal(value, &object) != nil || object.ID == nil {
			return "", false
		}
		id = *object.ID
	}
	b, ok := parseUUID(id)
	return telamon.AccountIDFromBytes(b), ok
}
