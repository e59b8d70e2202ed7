package atlas

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
)

// issue serves POST /certificates. The certificate can be retrieved when 201 is
// answered, because many clients ask for it once and at once. With the header
// "mode: domain-validation" the request is only checked.
func (a *API) issue(c *call) error {
	req, err := decodeCertificateRequest(c.body)
	if err != nil {
		return err
	}
	if strings.EqualFold(c.r.Header.Get("Mode"), "domain-validation") {
		if err := a.ra.Check(c.r.Context(), c.actor, req); err != nil {
			return err
		}
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	serial, err := a.ra.Issue(c.r.Context(), c.actor, req)
	if err != nil {
		return err
	}
	writeCreated(c.w, serial)
	return nil
}

// rekey serves POST /certificates/{sn}/rekey; its answer is that of issue.
func (a *API) rekey(c *call) error {
	req, err := decodeRekey(c.body)
	if err != nil {
		return err
	}
	old, err := serialOf(c.r)
	if err != nil {
		return err
	}
	serial, err := a.ra.Rekey(c.r.Context(), c.actor, old, req)
	if err != nil {
		return err
	}
	writeCreated(c.w, serial)
	return nil
}

// writeCreated answers 201 and nothing else but where the certificate is: without
// scheme and host, which clients put in front by themselves.
func writeCreated(w http.ResponseWriter, serial telamon.Serial) {
	w.Header().Set("Location", base+"/certificates/"+serial.String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
}

// certificateBody is the answer to GET /certificates/{sn}.
type certificateBody struct {
	Certificate string `json:"certificate"` // one PEM block and one newline
	Status      string `json:"status"`      // ISSUED or REVOKED; clients know no other word
	UpdatedAt   int64  `json:"updated_at"`  // Unix seconds of the last change of status
}

// certificate serves GET /certificates/{sn}.
func (a *API) certificate(c *call) error {
	serial, err := serialOf(c.r)
	if err != nil {
		return err
	}
	cert, der, err := a.ra.Certificate(c.r.Context(), c.actor, serial)
	if err != nil {
		return err
	}
	body := certificateBody{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		UpdatedAt:   cert.UpdatedAt.Unix(),
	}
	switch cert.Status {
	case telamon.StatusIssued:
		body.Status = "ISSUED"
	case telamon.StatusRevoked:
		body.Status = "REVOKED"
	default:
		return fmt.Errorf("certificate %s is of the unknown status %q", serial, cert.Status)
	}
	return writeJSON(c.w, body)
}

// revoke serves PATCH /certificates/{sn}.
func (a *API) revoke(c *call) error {
	rev, err := decodeRevocation(c.body)
	if err != nil {
		return err
	}
	return a.revokeFor(c, rev)
}

// revokeUnspecified serves DELETE /certificates/{sn}, the older way to revoke.
func (a *API) revokeUnspecified(c *call) error {
	return a.revokeFor(c, ra.Revocation{Reason: telamon.ReasonUnspecified})
}

func (a *API) revokeFor(c *call, rev ra.Revocation) error {
	serial, err := serialOf(c.r)
	if err != nil {
		return err
	}
	if err := a.ra.Revoke(c.r.Context(), c.actor, serial, rev); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// serialOf returns the serial that the path names, in any of the spellings that
// clients give it. It reports Invalid for what is no serial, and NotFound for one
// that the platform cannot have given.
func serialOf(r *http.Request) (telamon.Serial, error) {
	serial, ours, err := telamon.ParseSerial(r.PathValue("sn"))
	if err != nil {
		return telamon.Serial{}, fault.New(fault.Invalid, "invalid_serial", "invalid serial number length")
	}
	if !ours {
		return telamon.Serial{}, fault.New(fault.NotFound, "certificate_not_found", "Not found")
	}
	return serial, nil
}
