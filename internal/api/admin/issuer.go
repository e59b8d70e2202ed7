package admin

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/lifecycle"
)

// A PlannedIssuer is an issuing CA to come.
type PlannedIssuer struct {
	ID         telamon.IssuerID `json:"id,omitempty"` // empty in a dry run
	Series     string           `json:"series"`
	CommonName string           `json:"common_name"`
	ActivateAt time.Time        `json:"activate_at"`
	NotAfter   time.Time        `json:"not_after"`
	Signed     bool             `json:"signed"`           // it has its certificate
	Cut        bool             `json:"cut,omitempty"`    // its root ends before it should
	Leaves     int              `json:"leaves,omitempty"` // the longest that it is made for, in days
}

func plannedOf(p lifecycle.Planned) PlannedIssuer {
	return PlannedIssuer{
		ID: p.ID, Series: p.Series, CommonName: p.CommonName, ActivateAt: p.ActivateAt, NotAfter: p.NotAfter, Signed: p.Signed, Cut: p.Cut,
		Leaves: int(p.Leaf / (24 * time.Hour)),
	}
}

// IssuerPlan is the body that asks for the next issuing CAs.
type IssuerPlan struct {
	Series string `json:"series,omitempty"` // "" is every series with a schedule
	Ahead  int    `json:"ahead"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// IssuerRotation is the body that asks for a switch.
type IssuerRotation struct {
	At        *time.Time `json:"at,omitempty"`
	Now       bool       `json:"now,omitempty"`
	EndTokens bool       `json:"end_tokens,omitempty"`
	DryRun    bool       `json:"dry_run,omitempty"`
}

// A Switch is a switch that will be, or was.
type Switch struct {
	Series    string           `json:"series"`
	Current   telamon.IssuerID `json:"current,omitempty"`
	Next      telamon.IssuerID `json:"next,omitempty"`
	NextName  string           `json:"next_name"`
	At        time.Time        `json:"at"`
	Now       bool             `json:"now"`
	EndTokens bool             `json:"end_tokens"`
}

// IssuerRetirement is the body that asks for the end of an issuing CA.
type IssuerRetirement struct {
	EndTokens   bool `json:"end_tokens,omitempty"`
	NoSuccessor bool `json:"no_successor,omitempty"`
	DryRun      bool `json:"dry_run,omitempty"`
}

// IssuerRevocation is the body that has a root revoke the certificate of an issuing CA.
type IssuerRevocation struct {
	RevocationReason
	DryRun bool `json:"dry_run,omitempty"`
}

// A RetiredIssuer is what the end of an issuing CA does.
type RetiredIssuer struct {
	Issuer     telamon.IssuerID     `json:"issuer"`
	CommonName string               `json:"common_name"`
	Was        telamon.IssuerStatus `json:"was"`
	SignsUntil *time.Time           `json:"signs_until,omitempty"`
}

func retiredOf(r lifecycle.Retirement) RetiredIssuer {
	return RetiredIssuer{Issuer: r.Issuer, CommonName: r.CommonName, Was: r.Was, SignsUntil: timeOf(r.SignsUntil)}
}

// IssuerImport is the body that brings certificates. All are judged before the first is
// imported.
type IssuerImport struct {
	Certificates []string `json:"certificates"` // PEM
	DryRun       bool     `json:"dry_run,omitempty"`
}

// maxImports is how many certificates one request may bring.
const maxImports = 1000

// NewCross is the body that has a root signed by another one, or brings such a
// certificate: then Certificate and SignerCertificate are given, and no signer.
type NewCross struct {
	Signer            telamon.IssuerID `json:"signer,omitempty"`
	Root              telamon.IssuerID `json:"root,omitempty"`
	Certificate       string           `json:"certificate,omitempty"`        // PEM
	SignerCertificate string           `json:"signer_certificate,omitempty"` // PEM
	NotAfter          *time.Time       `json:"not_after,omitempty"`
	DryRun            bool             `json:"dry_run,omitempty"`
}

// A Cross is a certificate of a root by another CA.
type Cross struct {
	ID          telamon.CrossID `json:"id,omitempty"`
	Subject     string          `json:"subject"`
	Signer      string          `json:"signer"`
	NotAfter    time.Time       `json:"not_after"`
	Active      bool            `json:"active"`
	Certificate string          `json:"certificate,omitempty"` // PEM
}

// UseCross is the body that chooses the chain of a root; empty is its own certificate.
type UseCross struct {
	Cross telamon.CrossID `json:"cross"`
}

// A SeriesSchedule says how a series is rotated. As a body, what is left out stays.
type SeriesSchedule struct {
	Series   string             `json:"series,omitempty"`
	Rotation telamon.Rotation   `json:"rotation,omitempty"`
	LeadDays int                `json:"lead_days,omitempty"`
	LeafDays *int               `json:"leaf_days,omitempty"` // 0: told by the services
	Active   telamon.IssuerID   `json:"active,omitempty"`    // not of a body
	Waiting  []telamon.IssuerID `json:"waiting,omitempty"`   // not of a body
	NextAt   *time.Time         `json:"next_at,omitempty"`   // not of a body: the next switch, planned or by the schedule
	DryRun   bool               `json:"dry_run,omitempty"`
}

func scheduleOf(s lifecycle.Series) SeriesSchedule {
	leaf := s.LeafDays
	return SeriesSchedule{
		Series: s.Name, Rotation: s.Rotation, LeadDays: s.LeadDays, LeafDays: &leaf, Active: s.Active, Waiting: s.Waiting, NextAt: timeOf(s.NextAt),
	}
}

func crossOf(c *lifecycle.CrossResult) Cross {
	out := Cross{ID: c.ID, Subject: c.Subject, Signer: c.Signer, NotAfter: c.NotAfter}
	if c.Certificate != nil {
		out.Certificate = pemOf(c.Certificate)
	}
	return out
}

// postRoute serves a pattern with a use case that takes a body.
func postRoute[In any](s *server, pattern string, do func(context.Context, *call, *In) (any, error)) {
	s.route(pattern, http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		in := new(In)
		if err := c.body(in); err != nil {
			return nil, err
		}
		return do(ctx, c, in)
	})
}

func (s *server) issuerRoutes() {
	s.route("GET /issuers/requests", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		requests, err := s.Life.Requests(ctx, c.actor)
		if err != nil {
			return nil, err
		}
		text, err := lifecycle.MarshalRequests(requests)
		return json.RawMessage(text), err
	})
	postRoute(s, "POST /issuers/plan", func(ctx context.Context, c *call, in *IssuerPlan) (any, error) {
		if err := c.approveUnless(ctx, in.DryRun, authz.IssuerPlan, "plan the next issuing CAs of "+in.Series); err != nil {
			return nil, err
		}
		planned, err := s.Life.Plan(ctx, c.actor, lifecycle.PlanRequest{Series: in.Series, Ahead: in.Ahead, DryRun: in.DryRun})
		if err != nil {
			return nil, err
		}
		list := List[PlannedIssuer]{Items: []PlannedIssuer{}}
		for _, p := range planned {
			list.Items = append(list.Items, plannedOf(p))
		}
		return list, nil
	})
	postRoute(s, "POST /issuers/import", func(ctx context.Context, c *call, in *IssuerImport) (any, error) {
		if err := c.may(authz.IssuerCreate); err != nil {
			return nil, err
		}
		if n := len(in.Certificates); n == 0 || n > maxImports {
			return nil, fault.New(fault.Invalid, "certificates", fmt.Sprintf("Give 1 to %d certificates.", maxImports))
		}
		list, err := s.importIssuers(ctx, c, in.Certificates, true)
		if err != nil || in.DryRun {
			return list, err
		}
		if err := c.approve(ctx, authz.IssuerCreate, fmt.Sprintf("import the certificates of %d issuing CAs", len(in.Certificates))); err != nil {
			return nil, err
		}
		return s.importIssuers(ctx, c, in.Certificates, false)
	})
	postRoute(s, "POST /issuers/{issuer}/retire", func(ctx context.Context, c *call, in *IssuerRetirement) (any, error) {
		issuer, err := id(c, "issuer", telamon.ParseIssuerID)
		if err != nil {
			return nil, err
		}
		if err := c.approveUnless(ctx, in.DryRun, authz.IssuerRetire, "retire the issuing CA "+issuer.String()); err != nil {
			return nil, err
		}
		r, err := s.Life.Retire(ctx, c.actor, lifecycle.RetireRequest{
			Issuer: issuer, EndTokens: in.EndTokens, NoSuccessor: in.NoSuccessor, DryRun: in.DryRun,
		})
		return made(r, err, retiredOf)
	})
	postRoute(s, "POST /issuers/{issuer}/revoke", func(ctx context.Context, c *call, in *IssuerRevocation) (any, error) {
		issuer, err := id(c, "issuer", telamon.ParseIssuerID)
		if err != nil {
			return nil, err
		}
		if err := c.approveUnless(ctx, in.DryRun, authz.IssuerRevoke, "revoke the issuing CA "+issuer.String()); err != nil {
			return nil, err
		}
		r, err := s.Life.Revoke(ctx, c.actor, lifecycle.RevokeRequest{
			Issuer: issuer, DryRun: in.DryRun, Revocation: telamon.Revocation{Reason: in.Reason, CompromisedAt: valueOf(in.CompromisedAt)},
		})
		return made(r, err, retiredOf)
	})
	s.seriesRoutes()
	s.crossRoutes()
}

// importIssuers imports certificates one after the other, or only judges them.
func (s *server) importIssuers(ctx context.Context, c *call, certificates []string, dry bool) (*List[PlannedIssuer], error) {
	list := &List[PlannedIssuer]{Items: []PlannedIssuer{}}
	for n, text := range certificates {
		p, err := s.Life.Import(ctx, c.actor, text, dry)
		if err != nil {
			f := *fault.From(err)
			f.Detail = fmt.Sprintf("Certificate %d of %d: %s", n+1, len(certificates), f.Detail)
			return nil, &f
		}
		list.Items = append(list.Items, plannedOf(*p))
	}
	return list, nil
}

func (s *server) seriesRoutes() {
	s.route("GET /series", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		series, err := s.Life.Schedules(ctx, c.actor)
		if err != nil {
			return nil, err
		}
		list := List[SeriesSchedule]{Items: []SeriesSchedule{}}
		for _, one := range series {
			list.Items = append(list.Items, scheduleOf(one))
		}
		return list, nil
	})
	postRoute(s, "POST /series/{series}/rotate", func(ctx context.Context, c *call, in *IssuerRotation) (any, error) {
		if err := c.approveUnless(ctx, in.DryRun, authz.IssuerActivate, "exchange the issuing CA of "+c.r.PathValue("series")); err != nil {
			return nil, err
		}
		r, err := s.Life.Rotate(ctx, c.actor, lifecycle.RotateRequest{
			Series: c.r.PathValue("series"), At: valueOf(in.At), Now: in.Now, EndTokens: in.EndTokens, DryRun: in.DryRun,
		})
		return made(r, err, func(r lifecycle.Rotation) Switch { return Switch(r) })
	})
	postRoute(s, "POST /series/{series}/schedule", func(ctx context.Context, c *call, in *SeriesSchedule) (any, error) {
		if err := c.approveUnless(ctx, in.DryRun, authz.IssuerSchedule, "change how "+c.r.PathValue("series")+" is rotated"); err != nil {
			return nil, err
		}
		series, err := s.Life.SetSchedule(ctx, c.actor, c.r.PathValue("series"), func(series *telamon.Series) {
			if in.Rotation != "" {
				series.Rotation = in.Rotation
			}
			if in.LeadDays != 0 {
				series.LeadDays = in.LeadDays
			}
			if in.LeafDays != nil {
				series.LeafDays = *in.LeafDays
			}
		}, in.DryRun)
		return made(&series, err, func(v telamon.Series) SeriesSchedule { return scheduleOf(lifecycle.Series{Series: v}) })
	})
}

func (s *server) crossRoutes() {
	postRoute(s, "POST /issuers/cross", func(ctx context.Context, c *call, in *NewCross) (any, error) {
		if err := c.approveUnless(ctx, in.DryRun, authz.IssuerCrossSign, "cross-sign the root "+in.Root.String()); err != nil {
			return nil, err
		}
		if in.SignerCertificate != "" {
			out, err := s.Life.ImportCross(ctx, c.actor, in.Root, in.Certificate, in.SignerCertificate, in.DryRun)
			return made(out, err, func(r lifecycle.CrossResult) Cross { return crossOf(&r) })
		}
		out, err := s.Life.CrossSign(ctx, c.actor, lifecycle.CrossRequest{
			Signer: in.Signer, Root: in.Root, Certificate: in.Certificate, NotAfter: valueOf(in.NotAfter), DryRun: in.DryRun,
		})
		return made(out, err, func(r lifecycle.CrossResult) Cross { return crossOf(&r) })
	})
	s.route("PUT /issuers/{issuer}/chain", http.StatusNoContent, func(ctx context.Context, c *call) (any, error) {
		issuer, err := id(c, "issuer", telamon.ParseIssuerID)
		if err != nil {
			return nil, err
		}
		var in UseCross
		if err := c.body(&in); err != nil {
			return nil, err
		}
		if err := c.approve(ctx, authz.IssuerCrossSign, "show another chain of "+issuer.String()); err != nil {
			return nil, err
		}
		return nil, s.Life.UseChain(ctx, c.actor, issuer, in.Cross)
	})
	s.route("GET /issuers/{issuer}/chains", http.StatusOK, func(ctx context.Context, c *call) (any, error) {
		if err := c.may(authz.IssuerRead); err != nil {
			return nil, err
		}
		issuer, err := id(c, "issuer", telamon.ParseIssuerID)
		if err != nil {
			return nil, err
		}
		return s.chains(issuer)
	})
}

// A Chain is one way from an issuer to a trust anchor.
type Chain struct {
	Through telamon.CrossID `json:"through,omitempty"` // the cross certificate; empty: the root's own
	Active  bool            `json:"active"`            // what trustchain answers
	Anchor  string          `json:"anchor"`
	PEM     string          `json:"pem"` // the issuer first, the anchor last
}

// chains returns every chain of an issuer.
func (s *server) chains(issuer telamon.IssuerID) (any, error) {
	found, err := s.Issuance.Chains(issuer)
	if err != nil {
		return nil, err
	}
	list := List[Chain]{Items: []Chain{}}
	for _, one := range found {
		list.Items = append(list.Items, Chain{
			Through: one.Through, Active: one.Active, Anchor: one.Certificates[len(one.Certificates)-1].Subject.String(), PEM: pemOfAll(one.Certificates),
		})
	}
	return list, nil
}

func pemOfAll(certs []*x509.Certificate) string {
	var text string
	for _, cert := range certs {
		text += pemOf(cert)
	}
	return text
}
