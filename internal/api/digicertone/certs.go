package digicertone

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// certsPath is that of the client authentication certificates (digicert-one.md, Section 6.4).
const certsPath = "/account/api/v1/client-auth-certificate"

// downloadPath is that of the one answer which is not JSON, whatever Accept says.
const downloadPath = certsPath + "/{id}/p12"

func (a *API) certRoutes() {
	a.route("POST "+certsPath, factorAny, a.issueCert)
	a.route("GET "+certsPath, factorAny, a.certs)
	a.route("GET "+certsPath+"/{id}", factorAny, a.cert)
	a.route("PUT "+certsPath+"/{id}/enable", factorAny, a.enableCert)
	a.route("DELETE "+certsPath+"/{id}", factorAny, a.deleteCert)
	a.route("POST "+certsPath+"/generate", factorAny, a.generateCert)
	a.route("GET "+downloadPath, factorAny, a.downloadCert)
}

// wireCert is a client authentication certificate. The PEMs are in the answers to POST
// alone.
type wireCert struct {
	ID           string `json:"id"`
	UserID       string `json:"user_id"`
	Name         string `json:"name"`
	CommonName   string `json:"common_name"`
	Certificate  string `json:"x509_cert,omitempty"`
	CA           string `json:"ca_cert,omitempty"`
	EndDate      string `json:"end_date"`
	StartDate    string `json:"start_date"`
	Enabled      bool   `json:"enabled"`
	SerialNumber string `json:"serial_number"`
	PublicKey    string `json:"public_key"`
}

// generatedCert is a certificate whose key was made here. The last two members are shown
// once.
type generatedCert struct {
	wireCert
	Password      string `json:"password"`
	DownloadToken string `json:"download_token"`
}

// certOf renders a certificate. The serial number is that of the integer, so that it does
// not begin with 0.
func certOf(cert telamon.ClientCert) wireCert {
	return wireCert{
		ID: uuidOf(cert.ID), UserID: uuidOf(cert.User), Name: cert.Name, CommonName: cert.Certificate.Subject.CommonName,
		EndDate: formatTime(cert.NotAfter), StartDate: formatTime(cert.NotBefore), Enabled: cert.State == telamon.Active,
		SerialNumber: fmt.Sprintf("%X", cert.Serial.Int()),
		PublicKey:    base64.StdEncoding.EncodeToString(cert.Certificate.RawSubjectPublicKeyInfo),
	}
}

// issuedOf renders a certificate that was just issued.
func issuedOf(issued *iam.IssuedUserCert) wireCert {
	out := certOf(issued.ClientCert)
	out.Certificate, out.CA = pemOf(issued.Certificate.Raw), pemOf(issued.CA.Raw)
	return out
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// A member is a member of a request that is to be a string. What is none is kept as a text
// that no rule accepts, so that members are refused in the order of their checks and not
// of their decoding.
type member string

// noString is no name, no date and no CSR.
const noString member = "\x00"

// UnmarshalJSON reads any value.
func (m *member) UnmarshalJSON(b []byte) error {
	var text string
	if *m = noString; json.Unmarshal(b, &text) == nil {
		*m = member(text)
	}
	return nil
}

// newCert is the body that asks for a certificate by a CSR.
type newCert struct {
	CSR  member  `json:"csr"`
	Name member  `json:"name"`
	Exp  *member `json:"exp"`
	User *string `json:"user_id"`
}

// issueCert serves POST /client-auth-certificate.
func (a *API) issueCert(c *call) error {
	var in newCert
	if err := c.decode(&in); err != nil {
		return err
	}
	user, err := userMember(in.User)
	if err != nil {
		return err
	}
	issued, err := a.iam.IssueUserCert(c.r.Context(), c.actor, iam.UserCertRequest{
		User: user, CSR: string(in.CSR), Name: string(in.Name), End: (*string)(in.Exp),
	})
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusCreated, issuedOf(issued))
}

// userMember returns the user that a request is about, empty for the caller.
func userMember(text *string) (telamon.UserID, error) {
	if text == nil {
		return "", nil
	}
	return memberID("user_id", *text, telamon.UserIDFromBytes)
}

// certs serves GET /client-auth-certificate.
func (a *API) certs(c *call) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	user, err := userParameter(query)
	if err != nil {
		return err
	}
	list, err := a.iam.UserCerts(c.r.Context(), c.actor, user)
	if err != nil {
		return err
	}
	out := make([]wireCert, len(list))
	for i, cert := range list {
		out[i] = certOf(cert)
	}
	return writeArray(c, out)
}

// cert serves GET /client-auth-certificate/{id}.
func (a *API) cert(c *call) error {
	id, err := pathID(c, telamon.ClientCertIDFromBytes)
	if err != nil {
		return err
	}
	cert, err := a.iam.UserCert(c.r.Context(), c.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, certOf(cert))
}

// enableCert serves PUT /client-auth-certificate/{id}/enable, which also disables.
func (a *API) enableCert(c *call) error {
	id, err := pathID(c, telamon.ClientCertIDFromBytes)
	if err != nil {
		return err
	}
	cert, err := a.iam.UserCert(c.r.Context(), c.actor, id)
	if err != nil {
		return err
	}
	if err := authz.CheckUser(c.actor, authz.ClientCertificateEnable, cert.Account, cert.User); err != nil {
		return err
	}
	enabled, err := c.decodeEnabled()
	if err != nil {
		return err
	}
	change := a.iam.DisableUserCert
	if enabled {
		change = a.iam.EnableUserCert
	}
	if cert, err = change(c.r.Context(), c.actor, id); err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, certOf(cert))
}

// deleteCert serves DELETE /client-auth-certificate/{id}.
func (a *API) deleteCert(c *call) error {
	id, err := pathID(c, telamon.ClientCertIDFromBytes)
	if err != nil {
		return err
	}
	if err := a.iam.DeleteUserCert(c.r.Context(), c.actor, id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// newGeneratedCert is the body that asks for a certificate with its key.
type newGeneratedCert struct {
	Name       member  `json:"name"`
	EndDate    *member `json:"end_date"`
	Encryption string  `json:"encryption"`
	Hash       string  `json:"signature_hash"`
	User       *string `json:"user_id"`
}

// generateCert serves POST /client-auth-certificate/generate.
func (a *API) generateCert(c *call) error {
	var in newGeneratedCert
	if err := c.decode(&in); err != nil {
		return err
	}
	user, err := userMember(in.User)
	if err != nil {
		return err
	}
	made, err := a.iam.GenerateUserCert(c.r.Context(), c.actor, iam.GeneratedCertRequest{
		User: user, Name: string(in.Name), End: (*string)(in.EndDate), Encryption: in.Encryption, Hash: in.Hash,
	})
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusCreated, generatedCert{
		wireCert: issuedOf(&made.IssuedUserCert), Password: made.Password.Reveal(), DownloadToken: made.Download.Reveal(),
	})
}

// The name and type of the file of a certificate and its key (digicert-one.md, Section 6.4).
const (
	p12Name = "Certificate_pkcs12.p12"
	p12Type = "application/x-pkcs12"
)

// downloadCert serves GET /client-auth-certificate/{id}/p12. A HEAD would lose the file,
// which is given once.
func (a *API) downloadCert(c *call) error {
	if c.r.Method != http.MethodGet {
		return fault.New(fault.Malformed, codeMethod, http.MethodGet)
	}
	id, err := pathID(c, telamon.ClientCertIDFromBytes)
	if err != nil {
		return err
	}
	query, err := c.query()
	if err != nil {
		return err
	}
	token, err := parameter(query, "token")
	if err != nil {
		return err
	}
	if token == "" {
		return badRequest("token", "is required")
	}
	file, err := a.iam.DownloadPKCS12(c.r.Context(), c.actor, id, token)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", p12Type)
	h.Set("Content-Disposition", `attachment; filename="`+p12Name+`"`)
	h.Set("Content-Length", strconv.Itoa(len(file)))
	h.Set("X-Content-Type-Options", "nosniff")
	c.w.Write(file) // a client that has gone away is not our error
	return nil
}
