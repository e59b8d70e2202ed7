package admin

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
)

// NewUserCertificate is the body that asks for a client certificate of a user.
type NewUserCertificate struct {
	Name   string     `json:"name"`
	CSR    string     `json:"csr"`               // PEM; of it the key and the subject are read
	EndsAt *time.Time `json:"ends_at,omitempty"` // the last second; without it a year from today
}

// An IssuedUserCertificate is a client certificate of a user that was just issued.
type IssuedUserCertificate struct {
	ClientCertificate
	IssuerCertificate string `json:"issuer_certificate"` // PEM
}

func (s *server) userCertificateRoutes() {
	const all = "/accounts/{account}/users/{user}/client-certificates"
	accountPostRoute(s, "POST "+all, func(ctx context.Context, c *call, account telamon.AccountID, in *NewUserCertificate) (any, error) {
		user, err := id(c, "user", telamon.ParseUserID)
		if err != nil {
			return nil, err
		}
		end, err := endOf(in.EndsAt)
		if err != nil {
			return nil, err
		}
		req := iam.UserCertRequest{Account: account, User: user, CSR: in.CSR, Name: in.Name}
		if !end.IsZero() {
			text := end.UTC().Format(time.RFC3339)
			req.End = &text
		}
		issued, err := s.IAM.IssueUserCert(ctx, c.actor, req)
		return made(issued, err, func(i iam.IssuedUserCert) IssuedUserCertificate {
			return IssuedUserCertificate{ClientCertificate: clientCertificateOf(i.ClientCert), IssuerCertificate: pemOf(i.CA)}
		})
	})
}
