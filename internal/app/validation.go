package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
)

// unboundResolver is the value of validation.resolver that starts one.
const unboundResolver = "unbound"

// problems reports what is wrong with the configuration of validation.
func (c *ValidationConfig) problems() (problems []error) {
	problem := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("validation.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if c.Resolver != "" && c.Resolver != unboundResolver {
		if _, err := netip.ParseAddrPort(c.Resolver); err != nil {
			problem("resolver", "%q is neither %q nor ADDRESS:PORT", c.Resolver, unboundResolver)
		}
	}
	names := func(field string, texts []string, parse func(string) error) {
		for _, text := range texts {
			if err := parse(text); err != nil {
				problem(field, "%q: %s", text, err)
			}
		}
	}
	parse := func(text string) error { _, err := dnsname.Parse(text); return err }
	names("issuer_domains", c.IssuerDomains, parse)
	names("private_suffixes", c.PrivateSuffixes, parse)
	names("blocked_domains", c.BlockedDomains, parse)
	if strings.ContainsAny(c.TokenPrefix, " \t\r\n\"") {
		problem("token_prefix", "must hold no white space and no quotes")
	}
	if c.HTTPPort == 0 || c.HTTPSPort == 0 {
		problem("http_port, https_port", "must be positive")
	}
	if c.Inline <= 0 || c.Inline > dcv.Timeout {
		problem("inline", "must be positive and at most %s", dcv.Timeout)
	}
	if _, err := c.rules(); err != nil {
		problem("rules_file", "%s", err)
	}
	seen := map[string]bool{}
	for _, p := range c.Perspectives {
		u, err := url.Parse(p.URL)
		switch {
		case perspective.CheckName(p.Name, p.Region) != nil:
			problem("perspectives", "%s", perspective.CheckName(p.Name, p.Region))
		case seen[p.Name]:
			problem("perspectives", "%s is there twice", p.Name)
		case err != nil || u.Scheme != "https" || u.Host == "":
			problem("perspectives", "%s: the URL must be https://HOST:PORT", p.Name)
		case (p.CAFile == "") == (p.Fingerprint == "") || p.CertFile == "" || p.KeyFile == "":
			problem("perspectives", "%s: give either ca_file or fingerprint, and cert_file and key_file", p.Name)
		}
		seen[p.Name] = true
	}
	return problems
}

// rules returns the dated rules.
func (c *ValidationConfig) rules() (*rules.Table, error) {
	if c.RulesFile == "" {
		return rules.Default(), nil
	}
	text, err := os.ReadFile(c.RulesFile)
	if err != nil {
		return nil, err
	}
	return rules.Parse(text)
}

// problems reports what is wrong with the configuration of mail.
func (c *MailConfig) problems(portal bool) (problems []error) {
	problem := func(field, text string) { problems = append(problems, fmt.Errorf("mail.%s: %s", field, text)) }
	if c.PortalURL != "" {
		u, err := url.Parse(c.PortalURL)
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.HasSuffix(c.PortalURL, "/") {
			problem("portal_url", "must be https://HOST without a final slash")
		}
	}
	for _, address := range c.Operators {
		if err := checkMailbox(address); err != nil {
			problem("operators", err.Error())
		}
	}
	if c.Vetting != "" {
		if err := checkMailbox(c.Vetting); err != nil {
			problem("vetting", err.Error())
		}
	}
	if c.Host == "" {
		return problems
	}
	if c.From == "" {
		problem("from", "is required")
	}
	if _, err := notify.NewSMTP(c.smtp()); err != nil {
		problem("host", err.Error())
	}
	return problems
}

func (c *MailConfig) smtp() notify.SMTPConfig {
	return notify.SMTPConfig{
		Host: c.Host, Port: c.Port, STARTTLS: c.STARTTLS, ImplicitTLS: c.ImplicitTLS, Username: c.Username,
		Password: string(c.Password), From: c.From, CAFile: c.CAFile,
	}
}

// portalURL is where people reach the portal, "" if there is none.
func (c *Config) portalURL() string {
	if c.Mail.PortalURL != "" || len(c.Names.Portal) == 0 {
		return c.Mail.PortalURL
	}
	host := c.Names.Portal[0]
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "443" && port != "0" {
		host = net.JoinHostPort(host, port)
	}
	return "https://" + host
}

// approvalURL is where values of approvals are appended to, "" if mailboxes cannot
// approve: there is no portal, or no mail.
func (c *Config) approvalURL() string {
	if len(c.Names.Portal) == 0 || c.Mail.Host == "" {
		return ""
	}
	return c.portalURL() + portal.ApprovePath
}

// wireValidation makes the registration authority and all that it needs to validate
// domains, with the runner of jobs.
func (a *App) wireValidation() error {
	cfg := &a.Config.Validation
	table, err := cfg.rules()
	if err != nil {
		return fmt.Errorf("validation.rules_file: %w", err)
	}
	a.wireLifecycle(table)
	a.resolver = &resolving{cfg: cfg, log: a.Log}
	policy := egress.Policy{Allow: cfg.AllowNetworks}
	dialer := &egress.Dialer{Policy: policy, Lookup: a.resolver.addresses}
	engine := dcv.New(dcv.Config{
		Resolver: a.resolver, DNSSEC: cfg.DNSSEC || cfg.Resolver == unboundResolver, Dial: dialer.DialContext,
		HTTPPort: cfg.HTTPPort, HTTPSPort: cfg.HTTPSPort, CAAValid: table.CAAValid(), Clock: a.Clock,
	})
	remotes, err := a.remotes()
	if err != nil {
		return err
	}
	panel, err := perspective.NewPanel(perspective.PanelConfig{Local: engine, Remotes: remotes, Rules: table, Clock: a.Clock, Log: a.Log})
	if err != nil {
		return fmt.Errorf("validation.perspectives: %w", err)
	}
	private, blocked := namesOf(cfg.PrivateSuffixes), namesOf(cfg.BlockedDomains)
	transparency, err := a.transparency()
	if err != nil {
		return err
	}
	a.RA = ra.New(ra.Config{
		Transparency: transparency,
		Store:        a.Store, Directory: a.Directory, Issuance: a.Issuance, Clock: a.Clock, Log: a.Log,
		KeyCheck:  a.KeyCheck,
		Agreement: a.Config.Portal.Agreement,
		WakeJobs:  func() { a.jobs.Wake() },
		Validation: ra.Validation{
			Panel: panel, Engine: engine, Rules: table, TokenPrefix: cfg.TokenPrefix, Issuers: cfg.IssuerDomains, PrivateSuffixes: private,
			Blocked: blocked, Networks: policy, Inline: cfg.Inline, ApprovalURL: a.Config.approvalURL(),
			PortalURL: a.Config.portalURL(), Platform: a.Config.Mail.Platform,
			MAC: func(nonce []byte) []byte { return a.Keys.MAC(approvalLabel, approvalVersion, nonce) },
		},
	})
	return a.wireJobs()
}

// The label and version of the key that values of approvals are made under.
const (
	approvalLabel   = "mail-approval"
	approvalVersion = 1
)

// namesOf reads names that Check has found to be good.
func namesOf(texts []string) []dnsname.Name {
	names := make([]dnsname.Name, 0, len(texts))
	for _, text := range texts {
		if name, err := dnsname.Parse(text); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// remotes returns the clients of the remote perspectives.
func (a *App) remotes() ([]perspective.Remote, error) {
	var remotes []perspective.Remote
	for _, p := range a.Config.Validation.Perspectives {
		client, err := p.client(a.Clock)
		if err != nil {
			return nil, fmt.Errorf("validation.perspectives: %s: %w", p.Name, err)
		}
		remotes = append(remotes, perspective.Remote{Name: p.Name, Region: p.Region, Perspective: client})
	}
	return remotes, nil
}

// client returns the client of one remote perspective.
func (p *PerspectiveConfig) client(clock telamon.Clock) (*perspective.Client, error) {
	config, err := PerspectiveTLS(p.CertFile, p.KeyFile, p.CAFile, p.Fingerprint, clock)
	if err != nil {
		return nil, err
	}
	return perspective.NewClient(perspective.ClientConfig{Name: p.Name, Region: p.Region, URL: p.URL, TLS: config})
}

// How mails are sent: one that a server refuses for now is tried for about four days.
const (
	mailsAtOnce  = 4
	mailAttempts = 25
	mailLease    = 2 * time.Minute
)

// wireJobs makes the runner of jobs.
func (a *App) wireJobs() error {
	outbox := &notify.Outbox{Store: a.Store, Render: a.renderMail}
	if a.Config.Mail.Host != "" {
		smtp, err := notify.NewSMTP(a.Config.Mail.smtp())
		if err != nil {
			return fmt.Errorf("mail: %w", err)
		}
		outbox.SMTP = smtp
	}
	handlers := a.RA.Handlers()
	maps.Copy(handlers, a.Staff.Handlers())
	maps.Copy(handlers, a.IAM.Handlers())
	maps.Copy(handlers, a.Vetting.Handlers())
	maps.Copy(handlers, a.Commerce.Handlers())
	handlers[store.JobMailSend] = jobs.Handler{
		Run: outbox.Send, GivenUp: outbox.GiveUp, AtOnce: mailsAtOnce, Lease: mailLease, Attempts: mailAttempts,
	}
	a.jobsTick = make(chan time.Time)
	a.jobsDue = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "telamon_jobs_due", Help: "Jobs that are due or run, by kind."}, []string{"kind"})
	a.Registry.MustRegister(a.jobsDue)
	a.jobs = jobs.New(jobs.Config{Store: a.Store, Clock: a.Clock, Log: a.Log, Handlers: handlers, Tick: a.jobsTick})
	return nil
}

// resolving is the resolver that the configuration names. One that is started as a
// child is started again when it ends.
type resolving struct {
	cfg *ValidationConfig
	log *slog.Logger

	client atomic.Pointer[resolver.Client]

	mu    sync.Mutex
	child *resolver.Unbound // guarded by mu; nil if there is none
	dir   string            // of the child, guarded by mu; "" until one is started
}

// errNoResolver is why nothing can be looked up.
var errNoResolver = errors.New("validation.resolver is not configured, or does not run")

// start makes the resolver answer.
func (r *resolving) start(ctx context.Context) error {
	switch r.cfg.Resolver {
	case "":
		return nil
	case unboundResolver:
		return r.startChild(ctx)
	}
	r.client.Store(resolver.New(resolver.Config{Address: r.cfg.Resolver, DNSSEC: r.cfg.DNSSEC}))
	return nil
}

func (r *resolving) startChild(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir == "" {
		dir, err := os.MkdirTemp(r.cfg.Unbound.Dir, "telamon-unbound-")
		if err != nil {
			return fmt.Errorf("validation.unbound.dir: %w", err)
		}
		r.dir = dir
	}
	child, err := resolver.StartUnbound(ctx, resolver.UnboundConfig{
		Binary: r.cfg.Unbound.Binary, Dir: r.dir, TrustAnchors: r.cfg.Unbound.TrustAnchors, Forward: r.cfg.Unbound.Forward, Log: r.log,
	})
	if err != nil {
		return fmt.Errorf("start the resolver: %w", err)
	}
	r.child = child
	r.client.Store(resolver.New(resolver.Config{Address: child.Address(), DNSSEC: true, Anchors: child.Anchors()}))
	r.log.InfoContext(ctx, "the resolver runs", "address", child.Address(), "pid", child.Pid())
	return nil
}

// watch starts a child again that ended by itself. It is background work that is done
// now and then.
func (r *resolving) watch(ctx context.Context) error {
	r.mu.Lock()
	child := r.child
	r.mu.Unlock()
	if child == nil {
		return nil
	}
	select {
	case <-child.Done():
	default:
		return nil
	}
	r.client.Store(nil)
	r.log.ErrorContext(ctx, "the resolver ended by itself and is started again")
	return r.startChild(ctx)
}

func (r *resolving) close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.child != nil {
		err = r.child.Close()
	}
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}

// Lookup implements dcv.Resolver.
func (r *resolving) Lookup(ctx context.Context, name string, t resolver.Type) (*resolver.Answer, error) {
	client := r.client.Load()
	if client == nil {
		return nil, &resolver.LookupError{Name: name, Type: t, Reason: "no resolver", Err: errNoResolver}
	}
	return client.Lookup(ctx, name, t)
}

// ProvenInsecure implements dcv.Resolver.
func (r *resolving) ProvenInsecure(ctx context.Context, name string) (bool, error) {
	client := r.client.Load()
	if client == nil {
		return false, errNoResolver
	}
	return client.ProvenInsecure(ctx, name)
}

// addresses is the lookup of an egress.Dialer: IPv4 first, since most validation
// targets have it. One family that does not resolve is not missed.
func (r *resolving) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	var failed error
	for _, t := range []resolver.Type{resolver.TypeA, resolver.TypeAAAA} {
		answer, err := r.Lookup(ctx, host, t)
		if err != nil {
			failed = err
			continue
		}
		all = append(all, answer.Addresses...)
	}
	if len(all) == 0 {
		return nil, failed
	}
	return all, nil
}
