// Package lifecycle holds the life of issuing CAs: it plans the next ones ahead, has a
// root sign them or carries requests to a root that is kept elsewhere, tells people of
// switches, records them, and ends keys.
//
// It does not make a switch happen: who signs at an instant follows from the instants
// that stand in the store, on every replica by its own clock (see telamon.Succession).
// It signs with keys of the keystore through package issuance, and trusts the store.
package lifecycle

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

// Config names what the use cases are made of.
type Config struct {
	Store    *store.DB
	Issuance *issuance.Engine
	Keys     issuance.Keys
	Clock    telamon.Clock
	Log      *slog.Logger
	Rules    *rules.Table // the dated rules, for strict services
	// Changed is called after a change of issuers, before the use case returns: the
	// directory and the engine then know of it.
	Changed func(context.Context, ...store.Change)
	// Operators are the mailboxes that are told of switches and of requests that wait.
	Operators []string
	// WakeJobs is called when there are mails to send; may be nil.
	WakeJobs func()
}

// Life serves the use cases. It is safe for concurrent use.
type Life struct {
	Config
	signing sync.Mutex // see alone
}

// New returns the use cases.
func New(cfg Config) *Life {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Changed == nil {
		cfg.Changed = func(context.Context, ...store.Change) {}
	}
	if cfg.WakeJobs == nil {
		cfg.WakeJobs = func() {}
	}
	return &Life{Config: cfg}
}

// changed tells this process of a change at once.
func (l *Life) changed(ctx context.Context, id telamon.IssuerID) {
	l.Changed(ctx, store.Change{Kind: store.ChangeIssuer, Object: id.String()})
}

// state is what the store says of issuers, read once.
type state struct {
	now     time.Time
	issuers []*telamon.Issuer
	series  []telamon.Series
	plans   []store.IssuerPlan
	kinds   map[telamon.HierarchyID]telamon.HierarchyKind
}

func (l *Life) read(ctx context.Context) (*state, error) {
	plans, err := l.Store.IssuerPlans(ctx) // before issuers: what becomes one meanwhile is not missed
	if err != nil {
		return nil, err
	}
	issuers, series, err := l.Store.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	plans = slices.DeleteFunc(plans, func(p store.IssuerPlan) bool {
		return slices.ContainsFunc(issuers, func(i telamon.Issuer) bool { return i.ID == p.ID })
	})
	hierarchies, err := l.Store.Hierarchies(ctx)
	if err != nil {
		return nil, err
	}
	s := &state{now: l.Clock.Now(), series: series, plans: plans, kinds: map[telamon.HierarchyID]telamon.HierarchyKind{}}
	for _, h := range hierarchies {
		s.kinds[h.ID] = h.Kind
	}
	for i := range issuers {
		s.issuers = append(s.issuers, &issuers[i])
	}
	return s, nil
}

// issuer returns an issuer. It reports NotFound.
func (s *state) issuer(id telamon.IssuerID) (*telamon.Issuer, error) {
	for _, i := range s.issuers {
		if i.ID == id {
			return i, nil
		}
	}
	return nil, fault.New(fault.NotFound, "issuer_not_found", "There is no such issuer.")
}

// named returns the series of a name. It reports NotFound.
func (s *state) named(name string) (telamon.Series, error) {
	for _, one := range s.series {
		if one.Name == name {
			return one, nil
		}
	}
	return telamon.Series{}, fault.New(fault.NotFound, "series_not_found", "There is no such issuer series.")
}

// root returns the root that signs for a hierarchy: the newest that is valid.
func (s *state) root(id telamon.HierarchyID) (*telamon.Issuer, error) {
	var root *telamon.Issuer
	for _, i := range s.issuers {
		if i.Hierarchy == id && i.Role == telamon.RoleRoot && i.Status == telamon.IssuerActive && !s.now.After(i.Certificate.NotAfter) &&
			(root == nil || i.ActivateAt.After(root.ActivateAt)) {
			root = i
		}
	}
	if root == nil {
		return nil, fault.New(fault.Conflict, "no_root", "The hierarchy has no root that is valid.")
	}
	return root, nil
}

// A link is an issuing CA of a series that is, or will be, the active one.
type link struct {
	id     telamon.IssuerID
	at     time.Time
	issuer *telamon.Issuer   // nil: it has no certificate yet
	plan   *store.IssuerPlan // nil: it has one
}

func (k link) keyName() string {
	if k.issuer != nil {
		return k.issuer.KeyName
	}
	return k.plan.KeyName
}

// line returns the issuing CA that is active in a series now, if there is one, and those
// that follow, in the order in which they start.
func (s *state) line(series telamon.SeriesID) []link {
	active := telamon.NewSuccession(s.issuers).Active(series, s.now)
	var line []link
	for _, i := range s.issuers {
		if i.Series == series && (i == active || i.Status == telamon.IssuerPlanned && i.ActivateAt.After(s.now)) {
			line = append(line, link{i.ID, i.ActivateAt, i, nil})
		}
	}
	for n := range s.plans {
		if p := &s.plans[n]; p.Series == series {
			line = append(line, link{p.ID, p.ActivateAt, nil, p})
		}
	}
	slices.SortFunc(line, func(a, b link) int { return a.at.Compare(b.at) })
	return line
}

// waiting returns those of a line that have not started.
func (s *state) waiting(line []link) []link {
	return slices.DeleteFunc(slices.Clone(line), func(k link) bool { return k.plan == nil && !k.at.After(s.now) })
}

// day is the day of the Baseline Requirements.
const day = rules.Day

// What leaves live for if no service says more, by the kind of the hierarchy: mTLS
// certificates of package iam five years, and a day for their making.
var usualLeaf = map[telamon.HierarchyKind]time.Duration{
	telamon.HierarchyClientAuth: 1828 * day,
	telamon.HierarchyTLS:        398 * day,
	telamon.HierarchySigning:    1096 * day,
}

// margin is how long an issuing CA lives after the last certificate that it can have
// signed (DESIGN.md, Section 7).
const margin = 90 * day

// longestLeaf returns for how long certificates of a series live at most that are
// issued from an instant on: what the series says, or else the longest of its services
// and what is usual. Strict services go by the dated rules.
func (l *Life) longestLeaf(ctx context.Context, s *state, series telamon.Series, from time.Time) (time.Duration, error) {
	if series.LeafDays > 0 {
		return time.Duration(series.LeafDays) * day, nil
	}
	kind := s.kinds[series.Hierarchy]
	longest := usualLeaf[kind]
	if kind == telamon.HierarchyStrictTLS {
		longest = l.Rules.MaxValidity(from)
	}
	page := store.Page{Limit: 1000}
	for {
		services, err := l.Store.Services(ctx, page)
		if err != nil {
			return 0, err
		}
		for _, service := range services {
			page.After = service.ID.String()
			if service.Series != series.ID {
				continue
			}
			model, err := policy.ParseModel(service.PolicyTemplate)
			if err != nil {
				return 0, fmt.Errorf("read the policy of service %s: %w", service.Name, err)
			}
			leaf := time.Duration(min(model.Validity.SecondsMax, maxLeafSeconds)) * time.Second
			if service.StrictContent {
				leaf = min(leaf, l.Rules.MaxValidity(from))
			}
			longest = max(longest, leaf)
		}
		if len(services) < page.Limit {
			return longest, nil
		}
	}
}

// maxLeafSeconds bounds what a policy says: no certificate of ours lives for a century.
const maxLeafSeconds = 100 * 366 * 24 * 60 * 60

// A Planned is an issuing CA to come.
type Planned struct {
	ID         telamon.IssuerID // empty in a dry run
	Series     string
	CommonName string
	ActivateAt time.Time
	NotAfter   time.Time
	Leaf       time.Duration // the longest that it is made for
	Cut        bool          // its root ends before it should
	Signed     bool          // it has its certificate
}

// successor says which issuing CA follows the last one of a line at an instant.
func (l *Life) successor(ctx context.Context, s *state, series telamon.Series, at time.Time) (*Planned, *telamon.Issuer, error) {
	root, err := s.root(series.Hierarchy)
	if err != nil {
		return nil, nil, err
	}
	retire, scheduled := NextSwitch(series.Rotation, at)
	if !scheduled {
		retire = at.AddDate(1, 0, 0)
	}
	leaf, err := l.longestLeaf(ctx, s, series, at)
	if err != nil {
		return nil, nil, err
	}
	p := &Planned{
		Series: series.Name, CommonName: s.unusedName(series.Name, at), ActivateAt: at, Leaf: leaf,
		NotAfter: retire.Add(leaf + margin).Truncate(time.Second),
	}
	if end := root.Certificate.NotAfter; p.NotAfter.After(end) {
		p.NotAfter, p.Cut = end, true
	}
	if !p.NotAfter.After(retire) {
		return nil, nil, fault.New(fault.Conflict, "root_ends", "The root ends before the next issuing CA would hand over: make a new hierarchy.")
	}
	return p, root, nil
}

// unusedName returns the common name of an issuing CA that starts at an instant.
func (s *state) unusedName(series string, at time.Time) string {
	name := "Telamon " + series + " " + at.Format("2006-01")
	taken := func(name string) bool {
		return slices.ContainsFunc(s.issuers, func(i *telamon.Issuer) bool { return i.Certificate.Subject.CommonName == name }) ||
			slices.ContainsFunc(s.plans, func(p store.IssuerPlan) bool { return strings.Contains(string(p.Request), `"`+name+`"`) })
	}
	if !taken(name) {
		return name
	}
	for n := 2; ; n++ {
		if next := fmt.Sprintf("%s-%d", name, n); !taken(next) {
			return next
		}
	}
}

// begin makes the key of an issuing CA and writes its plan. What a failure leaves is a
// key that nothing refers to.
func (l *Life) begin(ctx context.Context, actor telamon.Actor, s *state, series telamon.Series, p *Planned, root *telamon.Issuer) error {
	id := telamon.NewIssuerID()
	text := id.String()
	plan := store.IssuerPlan{
		ID: id, Series: series.ID, Parent: root.ID, ActivateAt: p.ActivateAt,
		KeyName: series.Name + "-" + p.ActivateAt.Format("200601") + "-" + text[len(text)-6:],
	}
	request, err := l.Issuance.RequestCA(issuance.NewCA{
		ID: id, Root: root, Hierarchy: s.kinds[series.Hierarchy], Series: series, KeyName: plan.KeyName, CommonName: p.CommonName,
		NotAfter: p.NotAfter,
	})
	if err != nil {
		return fmt.Errorf("make the key of the next issuing CA of %s: %w", series.Name, err)
	}
	if plan.Request, err = json.Marshal(request); err != nil {
		return fmt.Errorf("keep the request of %s: %w", series.Name, err)
	}
	if err := l.Store.PlanIssuer(ctx, actor, plan); err != nil {
		return err
	}
	if p.Cut {
		l.Log.WarnContext(ctx, "an issuing CA ends with its root, earlier than its longest certificate wants", "series", series.Name, "not_after", p.NotAfter)
	}
	p.ID = id
	s.plans = append(s.plans, plan)
	return nil
}

// importDelay is how soon an issuing CA starts whose certificate came after its instant.
const importDelay = 10 * time.Minute

// A root signs a plan once: who has it sign holds this lease.
const (
	signLease  = "ca-signing"
	leaseTries = 12
	leaseRetry = 250 * time.Millisecond
)

// alone runs f while nobody else, of this process or another one, has a root sign or
// gives a plan up. It reports NotReady with signing_busy if another one does for long.
func (l *Life) alone(ctx context.Context, f func() error) error {
	l.signing.Lock()
	defer l.signing.Unlock()
	for n := 0; ; n++ {
		held, err := l.Store.TakeLease(ctx, signLease, leaseLasts)
		if err != nil {
			return err
		}
		if held {
			break
		}
		if n == leaseTries {
			return fault.New(fault.NotReady, "signing_busy", "Another server has a root sign, or died while it did. Try again in a minute.")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaseRetry):
		}
	}
	defer l.Store.DropLease(context.WithoutCancel(ctx), signLease) // it ends by itself too
	return f()
}

// complete makes a plan an issuer with its certificate, and returns the issuer, also if
// somebody else was first. A key that was bound before, by a process that then died,
// keeps what it was bound to.
func (l *Life) complete(ctx context.Context, actor telamon.Actor, id telamon.IssuerID, sign func(root *telamon.Issuer, plan *store.IssuerPlan) error) (*telamon.Issuer, error) {
	var issuer *telamon.Issuer
	err := l.alone(ctx, func() error {
		s, err := l.read(ctx) // what was read before may be over
		if err != nil {
			return err
		}
		if issuer, err = s.issuer(id); err == nil {
			return nil
		}
		n := slices.IndexFunc(s.plans, func(p store.IssuerPlan) bool { return p.ID == id })
		if n < 0 {
			return fault.New(fault.Conflict, "plan_not_found", "The issuing CA is not planned any more.")
		}
		issuer, err = l.completeAlone(ctx, actor, s, &s.plans[n], sign)
		return err
	})
	return issuer, err
}

// completeAlone is complete for a plan that is there.
func (l *Life) completeAlone(ctx context.Context, actor telamon.Actor, s *state, plan *store.IssuerPlan, sign func(root *telamon.Issuer, plan *store.IssuerPlan) error) (*telamon.Issuer, error) {
	root, err := s.issuer(plan.Parent)
	if err != nil {
		return nil, err
	}
	cert, err := l.boundOr(plan.KeyName, func() error { return sign(root, plan) })
	if err != nil {
		return nil, err
	}
	issuer := &telamon.Issuer{
		ID: plan.ID, Hierarchy: root.Hierarchy, Series: plan.Series, Parent: root.ID, Role: telamon.RoleIssuing, KeyName: plan.KeyName,
		Certificate: cert, CRLShards: 1, ActivateAt: plan.ActivateAt,
	}
	for _, i := range s.issuers { // as its predecessors
		if i.Series == plan.Series {
			issuer.CRLShards = max(issuer.CRLShards, i.CRLShards)
		}
	}
	if soon := s.now.Add(importDelay); issuer.ActivateAt.Before(soon) {
		issuer.ActivateAt = soon.Truncate(time.Millisecond) // as the store keeps it
	}
	if err := l.Store.AddIssuer(ctx, actor, issuer); err != nil {
		return nil, err
	}
	l.changed(ctx, issuer.ID)
	l.Log.InfoContext(ctx, "an issuing CA is planned", "issuer", issuer.ID, "subject", cert.Subject.String(), "activate_at", issuer.ActivateAt)
	return issuer, nil
}

// boundOr returns the certificate that a key is bound to, after bind if there is none.
func (l *Life) boundOr(keyName string, bind func() error) (*x509.Certificate, error) {
	cert, err := l.Keys.Certificate(keyName)
	if err != nil || cert != nil {
		return cert, keyFault(err)
	}
	bindErr := bind()
	if bindErr != nil && !errors.Is(bindErr, keystore.ErrPurpose) {
		return nil, bindErr
	}
	if cert, err = l.Keys.Certificate(keyName); err != nil {
		return nil, err
	}
	if cert == nil { // the refusal was of something else
		return nil, bindErr
	}
	return cert, nil
}

// keyFault says that a key is not in this process's keystore.
func keyFault(err error) error {
	if !errors.Is(err, keystore.ErrNoKey) {
		return err
	}
	return &fault.Fault{
		Kind: fault.NotReady, Code: "key_missing", Detail: "The key is not in this server's keystore.", Cause: err,
	}
}

// errRootOffline says that a root cannot sign here.
func errRootOffline(root *telamon.Issuer, cause error) error {
	return &fault.Fault{
		Kind: fault.NotReady, Code: "root_offline", Cause: cause,
		Detail: "The key of " + root.Certificate.Subject.CommonName + " is not in the keystore: export the requests, sign them where it is, and import.",
	}
}

// sign has the root sign a plan, if its key is here, and returns the issuer. It reports
// NotReady with root_offline if it is not.
func (l *Life) sign(ctx context.Context, actor telamon.Actor, id telamon.IssuerID) (*telamon.Issuer, error) {
	return l.complete(ctx, actor, id, func(root *telamon.Issuer, plan *store.IssuerPlan) error {
		request, err := requestOf(plan)
		if err != nil {
			return err
		}
		if _, err := l.Keys.Public(root.KeyName); errors.Is(err, keystore.ErrNoKey) {
			return errRootOffline(root, err)
		}
		cert, err := l.Issuance.SignCA(ctx, root, request)
		if err != nil {
			return err
		}
		return l.Issuance.AdoptCA(plan.KeyName, request.EKUFamily, cert)
	})
}

func requestOf(plan *store.IssuerPlan) (*issuance.CARequest, error) {
	request := &issuance.CARequest{}
	if err := json.Unmarshal(plan.Request, request); err != nil {
		return nil, fmt.Errorf("read the request of plan %s: %w", plan.ID, err)
	}
	return request, nil
}

// last returns the last of a line.
func last(line []link) link { return line[len(line)-1] }

// due returns when the successor of the last one of a line starts by the schedule. It is
// false for a series that is rotated by hand, or that has nothing to follow.
func (s *state) due(series telamon.Series, line []link) (time.Time, bool) {
	if len(line) == 0 {
		return time.Time{}, false
	}
	at, ok := NextSwitch(series.Rotation, last(line).at)
	return notBeforeNow(at, s.now), ok
}

func compareSeries(a, b telamon.Series) int { return cmp.Compare(a.Name, b.Name) }
