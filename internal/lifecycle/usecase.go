package lifecycle

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
)

// maxAhead is how many issuing CAs of a series can wait.
const maxAhead = 12

// A PlanRequest asks for the next issuing CAs.
type PlanRequest struct {
	Series string // "" is every series with a schedule
	Ahead  int    // how many are to wait, 1 to 12
	DryRun bool
}

// Plan makes issuing CAs until as many of each series wait as are asked for, at the
// instants of its schedule, and has them signed if their root is here. It returns all
// that wait then, those of a dry run without an ID.
//
// It reports Invalid with ahead, NotFound, and Conflict with no_schedule, no_root or
// root_ends.
func (l *Life) Plan(ctx context.Context, actor telamon.Actor, req PlanRequest) ([]Planned, error) {
	if err := authz.Check(actor, authz.IssuerPlan, ""); err != nil {
		return nil, err
	}
	if req.Ahead < 1 || req.Ahead > maxAhead {
		return nil, invalid("ahead", fmt.Sprintf("is not 1 to %d", maxAhead))
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	list := slices.SortedFunc(slices.Values(s.series), compareSeries)
	if req.Series != "" {
		one, err := s.named(req.Series)
		if err != nil {
			return nil, err
		}
		list = []telamon.Series{one}
	}
	var out []Planned
	for _, series := range list {
		planned, err := l.planSeries(ctx, actor, s, series, req)
		if err != nil {
			return nil, fmt.Errorf("plan series %s: %w", series.Name, err)
		}
		out = append(out, planned...)
	}
	return out, nil
}

// planSeries is Plan for one series.
func (l *Life) planSeries(ctx context.Context, actor telamon.Actor, s *state, series telamon.Series, req PlanRequest) ([]Planned, error) {
	var out []Planned
	line := s.line(series.ID)
	for _, k := range s.waiting(line) {
		p, err := l.describe(k, series)
		if err != nil {
			return nil, err
		}
		if k.plan != nil && !req.DryRun {
			if err := l.trySign(ctx, actor, &p); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	for len(out) < req.Ahead {
		at, ok := s.due(series, line)
		if !ok {
			if req.Series == "" {
				return out, nil
			}
			return nil, fault.New(fault.Conflict, "no_schedule", "The series has no schedule, or no issuing CA to follow: say when, by a rotation.")
		}
		p, root, err := l.successor(ctx, s, series, at)
		if err != nil {
			return nil, err
		}
		if !req.DryRun {
			if err := l.begin(ctx, actor, s, series, p, root); err != nil {
				return nil, err
			}
			if err := l.trySign(ctx, actor, p); err != nil {
				return nil, err
			}
		}
		out = append(out, *p)
		line = append(line, link{id: p.ID, at: at})
	}
	return out, nil
}

// trySign is sign for a plan that may wait, and notes in p what has become of it.
func (l *Life) trySign(ctx context.Context, actor telamon.Actor, p *Planned) error {
	err := l.signPlanned(ctx, actor, p)
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == "root_offline" {
		return nil
	}
	return err
}

// signPlanned is sign, and notes in p what has become of the plan.
func (l *Life) signPlanned(ctx context.Context, actor telamon.Actor, p *Planned) error {
	issuer, err := l.sign(ctx, actor, p.ID)
	if err == nil {
		p.Signed, p.ActivateAt, p.NotAfter = true, issuer.ActivateAt, issuer.Certificate.NotAfter
	}
	return err
}

// describe says what waits.
func (l *Life) describe(k link, series telamon.Series) (Planned, error) {
	p := Planned{ID: k.id, Series: series.Name, ActivateAt: k.at, Signed: k.issuer != nil}
	if k.issuer != nil {
		p.CommonName, p.NotAfter = k.issuer.Certificate.Subject.CommonName, k.issuer.Certificate.NotAfter
		return p, nil
	}
	request, err := requestOf(k.plan)
	if err != nil {
		return p, err
	}
	p.CommonName, p.NotAfter = request.CommonName, request.NotAfter
	return p, nil
}

// Requests returns what waits for the signature of a root.
func (l *Life) Requests(ctx context.Context, actor telamon.Actor) ([]issuance.CARequest, error) {
	if err := authz.Check(actor, authz.IssuerRead, ""); err != nil {
		return nil, err
	}
	plans, err := l.Store.IssuerPlans(ctx)
	if err != nil {
		return nil, err
	}
	requests := []issuance.CARequest{}
	for n := range plans {
		r, err := requestOf(&plans[n])
		if err != nil {
			return nil, err
		}
		requests = append(requests, *r)
	}
	return requests, nil
}

// Import takes a certificate in PEM that a root signed elsewhere for one of the requests.
// It changes nothing unless all of it is as it was asked for.
//
// It reports Invalid with ca_certificate and a field for each thing that is wrong, and
// Conflict with issuer_known if the certificate is that of an issuer.
func (l *Life) Import(ctx context.Context, actor telamon.Actor, text string, dry bool) (*Planned, error) {
	if err := authz.Check(actor, authz.IssuerCreate, ""); err != nil {
		return nil, err
	}
	cert, err := parseCertificate(text)
	if err != nil {
		return nil, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	for n := range s.plans {
		plan := &s.plans[n]
		public, err := l.Keys.Public(plan.KeyName)
		if err != nil {
			continue // another server made it; if it is the one, the refusal below says so
		}
		if sameKey(public, cert) {
			return l.importFor(ctx, actor, s, plan, cert, dry)
		}
	}
	for _, i := range s.issuers {
		if bytes.Equal(i.Certificate.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo) {
			return nil, errIssuerKnown()
		}
	}
	return nil, &fault.Fault{
		Kind: fault.Invalid, Code: "ca_certificate", Detail: "The certificate is not one that was asked for.",
		Fields: []fault.Field{{Path: "public_key", Problem: "is that of no planned issuing CA of this server's keystore"}},
	}
}

func sameKey(public any, cert *x509.Certificate) bool {
	spki, err := x509.MarshalPKIXPublicKey(public)
	return err == nil && bytes.Equal(spki, cert.RawSubjectPublicKeyInfo)
}

// importFor is Import once the plan is known.
func (l *Life) importFor(ctx context.Context, actor telamon.Actor, s *state, plan *store.IssuerPlan, cert *x509.Certificate, dry bool) (*Planned, error) {
	request, err := requestOf(plan)
	if err != nil {
		return nil, err
	}
	root, err := s.issuer(plan.Parent)
	if err != nil {
		return nil, err
	}
	if err := l.Issuance.CheckCA(ctx, root.Certificate, request, cert); err != nil {
		return nil, err
	}
	p := &Planned{ID: plan.ID, Series: request.Series, CommonName: request.CommonName, ActivateAt: plan.ActivateAt, NotAfter: cert.NotAfter, Signed: true}
	if dry {
		return p, nil
	}
	issuer, err := l.complete(ctx, actor, plan.ID, func(_ *telamon.Issuer, plan *store.IssuerPlan) error {
		return l.Issuance.AdoptCA(plan.KeyName, request.EKUFamily, cert)
	})
	if err != nil {
		return nil, err
	}
	if !issuer.Certificate.Equal(cert) {
		return nil, errIssuerKnown()
	}
	p.ActivateAt = issuer.ActivateAt
	return p, nil
}

// errIssuerKnown says that a key has its certificate.
func errIssuerKnown() error {
	return fault.New(fault.Conflict, "issuer_known", "The key is that of an issuer which has its certificate.")
}

// A RotateRequest asks for a switch of a series.
type RotateRequest struct {
	Series    string
	At        time.Time // zero: by the schedule
	Now       bool
	EndTokens bool // with Now: the tokens that are bound to the active one end
	DryRun    bool
}

// A Rotation is a switch that will be, or was.
type Rotation struct {
	Series        string
	Current, Next telamon.IssuerID // Next is empty in a dry run that would make one
	NextName      string
	At            time.Time
	Now           bool
	EndTokens     bool
}

// Rotate sets when the next issuing CA of a series starts, and makes one if none waits.
// When it returns nil and the switch is now, it has happened for this process; others
// follow within a second.
//
// It reports NotFound; Invalid with rotate_at; NotReady with root_offline or key_missing;
// Conflict with no_schedule, no_root, root_ends, issuer_planned or issuer_state.
func (l *Life) Rotate(ctx context.Context, actor telamon.Actor, req RotateRequest) (*Rotation, error) {
	if err := authz.Check(actor, authz.IssuerActivate, ""); err != nil {
		return nil, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	series, err := s.named(req.Series)
	if err != nil {
		return nil, err
	}
	switch {
	case req.Now && !req.At.IsZero(), req.EndTokens && !req.Now:
		return nil, invalid("rotate_at", "is either now, which alone can end tokens, or an instant")
	case !req.At.IsZero() && !req.At.After(s.now):
		return nil, invalid("rotate_at", "is not in the future")
	}
	req.At = req.At.Truncate(time.Millisecond) // as the store keeps it
	out := &Rotation{Series: series.Name, At: req.At, Now: req.Now, EndTokens: req.EndTokens}
	line := s.line(series.ID)
	if active := telamon.NewSuccession(s.issuers).Active(series.ID, s.now); active != nil {
		out.Current = active.ID
	}
	next, err := l.next(ctx, actor, s, series, line, req)
	if err != nil {
		return nil, err
	}
	out.Next, out.NextName = next.ID, next.CommonName
	if out.At.IsZero() {
		out.At = next.ActivateAt
	}
	if req.Now {
		out.At = s.now
	}
	if req.DryRun {
		return out, nil
	}
	return out, l.start(ctx, actor, series, next, req)
}

// next returns the issuing CA that is to start, made and signed if none waits. One that is
// to start now can sign here, and one that has its certificate comes before requests that
// wait for their root.
func (l *Life) next(ctx context.Context, actor telamon.Actor, s *state, series telamon.Series, line []link, req RotateRequest) (*Planned, error) {
	if waiting := s.waiting(line); len(waiting) > 0 {
		k := waiting[0]
		if req.Now {
			k = waiting[max(0, slices.IndexFunc(waiting, func(k link) bool { return k.issuer != nil }))]
			if _, err := l.Keys.Public(k.keyName()); err != nil {
				return nil, keyFault(err)
			}
		}
		p, err := l.describe(k, series)
		if err != nil {
			return nil, err
		}
		if k.issuer == nil && !req.DryRun {
			if err := l.signPlanned(ctx, actor, &p); err != nil {
				return nil, err
			}
		}
		return &p, nil
	}
	at := req.At
	if req.Now { // it starts when it is signed, which takes a moment
		at = s.now.Add(importDelay)
	}
	if at.IsZero() {
		var ok bool
		if at, ok = s.due(series, line); !ok {
			return nil, fault.New(fault.Conflict, "no_schedule", "The series has no schedule, or no issuing CA to follow: say when.")
		}
	}
	p, root, err := l.successor(ctx, s, series, at.Truncate(time.Millisecond))
	if err != nil || req.DryRun {
		return p, err
	}
	if err := l.begin(ctx, actor, s, series, p, root); err != nil {
		return nil, err
	}
	return p, l.signPlanned(ctx, actor, p)
}

// start sets or makes the switch to an issuing CA that has its certificate.
func (l *Life) start(ctx context.Context, actor telamon.Actor, series telamon.Series, next *Planned, req RotateRequest) error {
	var err error
	switch {
	case req.Now:
		err = l.Store.RotateNow(ctx, actor, series.ID, next.ID, req.EndTokens)
	case !req.At.IsZero() && !req.At.Equal(next.ActivateAt):
		err = l.Store.RescheduleIssuer(ctx, actor, series.ID, next.ID, req.At)
	}
	if err != nil {
		return err
	}
	l.changed(ctx, next.ID)
	return nil
}

// A RetireRequest asks for the end of an issuing CA.
type RetireRequest struct {
	Issuer    telamon.IssuerID
	EndTokens bool // the tokens that are bound to it end
	// NoSuccessor agrees to a series that issues nothing until somebody rotates it.
	NoSuccessor bool
	DryRun      bool
}

// A Retirement is what the end of an issuing CA does.
type Retirement struct {
	Issuer     telamon.IssuerID
	CommonName string
	Was        telamon.IssuerStatus
	SignsUntil time.Time // zero: it signs nothing more
}

// Retire ends an issuing CA now: a planned one never starts and its key is destroyed, an
// active one signs for its tokens to their end, unless they end too. Certificates that it
// issued stay as they are: revoking them, or the CA by its root, is for its caller.
//
// It reports NotFound, and Conflict with issuer_state or no_successor.
func (l *Life) Retire(ctx context.Context, actor telamon.Actor, req RetireRequest) (*Retirement, error) {
	if err := authz.Check(actor, authz.IssuerRetire, ""); err != nil {
		return nil, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	for n := range s.plans {
		if plan := &s.plans[n]; plan.ID == req.Issuer {
			return l.retirePlan(ctx, actor, plan, req.DryRun)
		}
	}
	issuer, err := s.issuer(req.Issuer)
	if err != nil {
		return nil, err
	}
	active := telamon.NewSuccession(s.issuers).Active(issuer.Series, s.now)
	out := &Retirement{Issuer: issuer.ID, CommonName: issuer.Certificate.Subject.CommonName, Was: issuer.Status}
	switch {
	case issuer.Role != telamon.RoleIssuing:
		return nil, fault.New(fault.Conflict, "issuer_state", "A root is not retired: it ends with its certificate.")
	case issuer == active && !req.NoSuccessor:
		return nil, fault.New(fault.Conflict, "no_successor", "It is the active one, and nothing would follow: rotate the series instead.")
	case issuer.Status == telamon.IssuerExpired, issuer.Status == telamon.IssuerRetired && !(req.EndTokens && issuer.MaySign(s.now)):
		return nil, fault.New(fault.Conflict, "issuer_state", "There is nothing to end: it has ended.")
	}
	if issuer.MaySign(s.now) && !req.EndTokens {
		out.SignsUntil = s.now.Add(telamon.TokenReach)
	}
	if req.DryRun {
		return out, nil
	}
	if err := l.Store.RetireIssuer(ctx, actor, issuer.Series, issuer.ID, req.EndTokens); err != nil {
		return nil, err
	}
	l.changed(ctx, issuer.ID)
	return out, nil
}

// retirePlan gives a plan up, and destroys its key if it is here.
func (l *Life) retirePlan(ctx context.Context, actor telamon.Actor, plan *store.IssuerPlan, dry bool) (*Retirement, error) {
	request, err := requestOf(plan)
	if err != nil {
		return nil, err
	}
	out := &Retirement{Issuer: plan.ID, CommonName: request.CommonName, Was: telamon.IssuerPlanned}
	if dry {
		return out, nil
	}
	return out, l.alone(ctx, func() error {
		if err := l.Store.DropIssuerPlan(ctx, actor, plan.ID); err != nil {
			return err
		}
		return l.destroy(plan.KeyName)
	})
}

// SetSchedule changes how a series is rotated. What is planned already stays.
//
// It reports Invalid with a field for each thing that is wrong, and NotFound.
func (l *Life) SetSchedule(ctx context.Context, actor telamon.Actor, name string, change func(*telamon.Series), dry bool) (telamon.Series, error) {
	if err := authz.Check(actor, authz.IssuerSchedule, ""); err != nil {
		return telamon.Series{}, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return telamon.Series{}, err
	}
	series, err := s.named(name)
	if err != nil {
		return telamon.Series{}, err
	}
	change(&series)
	rotations := []telamon.Rotation{telamon.RotateQuarterly, telamon.RotateYearly, telamon.RotateManually}
	switch {
	case !slices.Contains(rotations, series.Rotation):
		return series, invalid("rotation", "is none of quarterly, yearly, manual")
	case series.LeadDays < 1 || series.LeadDays > 400:
		return series, invalid("lead_days", "is not 1 to 400")
	case series.LeafDays < 0 || series.LeafDays > 36500:
		return series, invalid("leaf_days", "is not 0 to 36500")
	}
	if dry {
		return series, nil
	}
	if err := l.Store.SetSchedule(ctx, actor, series); err != nil {
		return series, err
	}
	l.changed(ctx, "")
	return series, nil
}

func invalid(path, problem string) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: path, Detail: path + ": " + problem, Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}

// maxPEM is the longest PEM text that is read, in bytes.
const maxPEM = 64 << 10

// parseCertificate reads the PEM of one certificate that stands alone.
func parseCertificate(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(strings.TrimSpace(text) + "\n"))
	if len(text) > maxPEM || block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 || len(block.Headers) > 0 ||
		!strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN ") {
		return nil, fault.New(fault.Malformed, "certificate_unreadable", "The text is not one certificate in PEM.")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, &fault.Fault{Kind: fault.Malformed, Code: "certificate_unreadable", Detail: "The certificate cannot be read.", Cause: err}
	}
	return cert, nil
}

// A Series is an issuer series and how it stands.
type Series struct {
	telamon.Series
	Active  telamon.IssuerID   // empty if it has none
	Waiting []telamon.IssuerID // in the order in which they start, those without a certificate too
	NextAt  time.Time          // the next switch, planned or by the schedule; zero if there is none
}

// Schedules returns every series, by name.
func (l *Life) Schedules(ctx context.Context, actor telamon.Actor) ([]Series, error) {
	if err := authz.Check(actor, authz.IssuerRead, ""); err != nil {
		return nil, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	var out []Series
	for _, series := range slices.SortedFunc(slices.Values(s.series), compareSeries) {
		one := Series{Series: series}
		line := s.line(series.ID)
		if active := telamon.NewSuccession(s.issuers).Active(series.ID, s.now); active != nil {
			one.Active = active.ID
		}
		for _, k := range s.waiting(line) {
			if one.Waiting = append(one.Waiting, k.id); one.NextAt.IsZero() {
				one.NextAt = k.at
			}
		}
		if at, ok := s.due(series, line); ok && one.NextAt.IsZero() {
			one.NextAt = at
		}
		out = append(out, one)
	}
	return out, nil
}

// A RevokeRequest asks a root to revoke the certificate of an issuing CA.
type RevokeRequest struct {
	Issuer telamon.IssuerID
	telamon.Revocation
	DryRun bool
}

// futureTolerance is how far a time of compromise may lie ahead of our clock.
const futureTolerance = 300 * time.Second

// Revoke has the root's next CRL name the certificate of an issuing CA: every certificate
// that it issued is refused by who looks at that CRL. Only a CA that is
// retired, and so starts no more, can be revoked.
//
// It reports NotFound; Invalid with revocation_reason, and with compromised_at for a
// time to come or before [telamon.FirstCompromise]; Conflict with issuer_state for a root
// or one that is active or planned, and with already_revoked.
func (l *Life) Revoke(ctx context.Context, actor telamon.Actor, req RevokeRequest) (*Retirement, error) {
	if err := authz.Check(actor, authz.IssuerRevoke, ""); err != nil {
		return nil, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	issuer, err := s.issuer(req.Issuer)
	if err != nil {
		return nil, err
	}
	reasons := []telamon.RevocationReason{
		telamon.ReasonKeyCompromise, telamon.ReasonSuperseded, telamon.ReasonCessationOfOperation, // BR 7.2.2 wants one of a CA
	}
	serial, ours := telamon.SerialFromInt(issuer.Certificate.SerialNumber)
	switch {
	case !slices.Contains(reasons, req.Reason):
		return nil, invalid("revocation_reason", "is none of keyCompromise, superseded, cessationOfOperation")
	case !req.CompromisedAt.IsZero() && (req.CompromisedAt.Before(telamon.FirstCompromise) || req.CompromisedAt.After(s.now.Add(futureTolerance))):
		return nil, invalid("compromised_at", "is before 2000 or in the future")
	case issuer.Role != telamon.RoleIssuing || !ours:
		return nil, fault.New(fault.Conflict, "issuer_state", "A root is not revoked: take it out of trust stores.")
	case issuer == telamon.NewSuccession(s.issuers).Active(issuer.Series, s.now):
		return nil, fault.New(fault.Conflict, "issuer_state", "It is the active one: rotate the series first.")
	case issuer.Status != telamon.IssuerRetired && issuer.Status != telamon.IssuerExpired:
		return nil, fault.New(fault.Conflict, "issuer_state", "It is not retired, and would start, or has not ended: retire it first.")
	}
	out := &Retirement{Issuer: issuer.ID, CommonName: issuer.Certificate.Subject.CommonName, Was: issuer.Status}
	if req.DryRun {
		return out, nil
	}
	return out, l.Store.RevokeCA(ctx, actor, store.RevokedCA{
		Issuer: issuer.ID, Parent: issuer.Parent, Serial: serial, NotAfter: issuer.Certificate.NotAfter,
	}, req.Revocation)
}
