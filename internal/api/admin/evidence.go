package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// CertificateEvidence is how the names of a certificate were validated (BR 5.4.1).
type CertificateEvidence struct {
	Serial   string            `json:"serial"`
	Account  telamon.AccountID `json:"account"`
	IssuedAt time.Time         `json:"issued_at"`
	NotAfter time.Time         `json:"not_after"`
	Status   string            `json:"status"`
	Names    []NameEvidence    `json:"names"` // none if the service demands no validation
}

// NameEvidence is how one name was validated, and what CAA said.
type NameEvidence struct {
	Name       string            `json:"name"`
	Validation *Validation       `json:"validation,omitempty"`
	CAA        *telamon.CAACheck `json:"caa,omitempty"`
}

// A Validation is the record that covers a name.
type Validation struct {
	ID       telamon.VerificationID `json:"id"`
	Claim    telamon.ClaimID        `json:"claim"`
	Domain   string                 `json:"domain"` // what was claimed
	ADN      string                 `json:"adn"`    // where control was shown
	Method   telamon.Method         `json:"method"`
	Rule     string                 `json:"rule"` // BR section
	Coverage telamon.Coverage       `json:"coverage"`
	At       time.Time              `json:"at"`
	TokenAt  time.Time              `json:"token_at"`
	Evidence telamon.Evidence       `json:"evidence"`
}

func (s *server) evidenceRoutes() {
	s.route("GET /certificates/{serial}/evidence", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		serial, ours, err := telamon.ParseSerial(c.r.PathValue("serial"))
		if err != nil || !ours {
			return nil, fault.New(fault.NotFound, "certificate_not_found", "There is no such certificate.")
		}
		found, err := s.RA.CertificateEvidence(ctx, c.actor, serial)
		if err != nil {
			return nil, err
		}
		records := map[telamon.VerificationID]*Validation{}
		for _, v := range found.Verifications {
			records[v.ID] = &Validation{
				ID: v.ID, Claim: v.Claim, Domain: v.Name, ADN: v.ADN, Method: v.Method, Rule: v.Method.Rule(v.Kind), Coverage: v.Coverage,
				At: v.At, TokenAt: v.TokenAt, Evidence: v.Evidence,
			}
		}
		out := CertificateEvidence{
			Serial: serial.String(), Account: found.Account, IssuedAt: found.Certificate.AcceptedAt, NotAfter: found.Certificate.NotAfter,
			Status: string(found.Certificate.Status), Names: make([]NameEvidence, len(found.Names)),
		}
		for i, n := range found.Names {
			out.Names[i] = NameEvidence{Name: n.Name, Validation: records[n.Verification], CAA: n.CAA}
		}
		return out, nil
	})
}
