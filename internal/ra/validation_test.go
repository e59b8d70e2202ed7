package ra_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/jobs"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	outside "github.com/telamon-ca/telamon/internal/world"
)

// What the platform of the tests is called.
const (
	tokenPrefix  = "telamon-domain-verification="
	issuerDomain = "ca.example.net"
	approvalURL  = "https://portal.example/claims/approve/"
	filePath     = "/.well-known/pki-validation/gsdv.txt"
)

// lookups asks the DNS of the world, and can be told not to return from names that are
// at a dead server, whatever the DNS says.
type lookups struct {
	*resolver.Client

	mu     sync.Mutex
	dead   string          // names that end so hang
	asked  int             // how many such lookups have begun
	revive chan struct{}   // closed when they may go on
	proven map[string]bool // names whose zone is proven to be unsigned
}

func newLookups(address string) *lookups {
	return &lookups{
		Client: resolver.New(resolver.Config{Address: address, Timeout: time.Second}), proven: map[string]bool{},
	}
}

// hang makes lookups of names that end so hang until the context of each ends, or until
// the function that is returned is called.
func (l *lookups) hang(suffix string) (revive func()) {
	l.wake()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead, l.asked, l.revive = suffix, 0, make(chan struct{})
	return l.wake
}

// wake ends what hang began.
func (l *lookups) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != "" {
		close(l.revive)
	}
	l.dead = ""
}

// hanging is how many lookups have begun to hang.
func (l *lookups) hanging() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// Lookup implements dcv.Resolver.
func (l *lookups) Lookup(ctx context.Context, name string, t resolver.Type) (*resolver.Answer, error) {
	l.mu.Lock()
	dead, revive := l.dead != "" && strings.HasSuffix(name, l.dead), l.revive
	if dead {
		l.asked++
	}
	l.mu.Unlock()
	if dead {
		select {
		case <-ctx.Done():
			return nil, &resolver.LookupError{Name: name, Type: t, Reason: "no answer in time", Err: ctx.Err()}
		case <-revive:
		}
	}
	return l.Client.Lookup(ctx, name, t)
}

// ProvenInsecure implements dcv.Resolver. The DNS of the world is not signed, and its
// server is no validating resolver, so that tests say what one would have proven.
func (l *lookups) ProvenInsecure(_ context.Context, name string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proven[name], nil
}

func (l *lookups) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, t := range []resolver.Type{resolver.TypeA, resolver.TypeAAAA} {
		answer, err := l.Lookup(ctx, host, t)
		if err != nil {
			return nil, err
		}
		all = append(all, answer.Addresses...)
	}
	return all, nil
}

// validation is the configuration by which the world is looked at.
func (w *world) validation(t testing.TB, log *slog.Logger) ra.Validation {
	t.Helper()
	table := rules.Default()
	v := ra.Validation{
		Rules: table, TokenPrefix: tokenPrefix, Issuers: []string{issuerDomain}, Inline: 5 * time.Second,
		Blocked:  []dnsname.Name{"blocked.example.com"},
		Networks: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		// The approval page is not served here: tests do what its button does.
		ApprovalURL: approvalURL, PortalURL: "https://portal.example", Platform: "Example CA",
		MAC: func(nonce []byte) []byte { return w.keys.MAC("mail-approval", 1, nonce) },
	}
	for _, adjust := range w.adjust {
		adjust(&v)
	}
	dialer := &egress.Dialer{Policy: v.Networks, Lookup: w.lookups.addresses}
	v.Engine = dcv.New(dcv.Config{
		Resolver: w.lookups, Dial: dialer.DialContext, CAAValid: v.Rules.CAAValid(), Clock: w.clock,
		HTTPPort: portOf(w.outside.HTTP.Addr()), HTTPSPort: portOf(w.outside.HTTP.TLSAddr()),
	})
	var err error
	var remotes []perspective.Remote
	if w.remotes != nil {
		remotes = w.remotes(v.Engine)
	}
	v.Panel, err = perspective.NewPanel(perspective.PanelConfig{
		Local: v.Engine, Remotes: remotes, Rules: v.Rules, Clock: w.clock, Log: log,
	})
	must(t, err)
	return v
}

func portOf(address string) uint16 { return netip.MustParseAddrPort(address).Port() }

// with starts again with a change of the configuration of validation.
func (w *world) with(t testing.TB, adjust func(*ra.Validation)) {
	t.Helper()
	w.adjust = append(w.adjust, adjust)
	w.start(t)
}

// impatient makes requests wait hardly at all for the checks that they ask for.
func impatient(v *ra.Validation) { v.Inline = 20 * time.Millisecond }

// eventually waits until what is so, and ends the test if that takes too long.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("it took too long until %s", what)
		case <-ticker.C:
		}
	}
}

// at moves the clock on to a moment.
func (w *world) at(t testing.TB, moment time.Time) {
	t.Helper()
	w.clock.Advance(moment.Sub(w.clock.Now()))
}

// date reads a moment.
func date(t testing.TB, rfc3339 string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, rfc3339)
	must(t, err)
	return moment
}

// A runner does jobs as the platform does, with the world's mail server.
type runner struct {
	*jobs.Runner
	tick            chan time.Time
	started, ending atomic.Int64
}

func (w *world) newRunner(t testing.TB) *runner {
	t.Helper()
	mail := netip.MustParseAddrPort(w.outside.Mail.Addr())
	smtp, err := notify.NewSMTP(notify.SMTPConfig{
		Host: mail.Addr().String(), Port: int(mail.Port()), STARTTLS: notify.STARTTLSNone, From: "ca@example.net", Clock: w.clock,
	})
	must(t, err)
	outbox := &notify.Outbox{Store: w.db, SMTP: smtp, Render: w.ra.RenderMail}
	handlers := w.ra.Handlers()
	handlers[store.JobMailSend] = jobs.Handler{Run: outbox.Send, GivenUp: outbox.GiveUp, AtOnce: 4, Lease: time.Minute, Attempts: 3}
	r := &runner{tick: make(chan time.Time)}
	for kind, handler := range handlers {
		run := handler.Run
		handler.Run = func(ctx context.Context, job store.Job) (time.Time, error) {
			r.started.Add(1)
			defer r.ending.Add(1)
			return run(ctx, job)
		}
		handlers[kind] = handler
	}
	r.Runner = jobs.New(jobs.Config{Store: w.db, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Handlers: handlers, Tick: r.tick})
	return r
}

// runJobs does all jobs that are due, and those that become due by that, and returns
// when none is left.
func (w *world) runJobs(t testing.TB) {
	t.Helper()
	r := w.newRunner(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	defer running.Wait()
	defer stop()
	eventually(t, "all jobs were done", func() bool {
		select {
		case r.tick <- w.clock.Now():
		default:
		}
		started, idle := r.started.Load(), r.started.Load() == r.ending.Load()
		due, err := w.db.JobsDue(ctx)
		must(t, err)
		return idle && len(due) == 0 && started == r.started.Load()
	})
}

// runJobsUntil does the jobs of each moment at which some are due, up to the moment.
func (w *world) runJobsUntil(t testing.TB, moment time.Time) {
	t.Helper()
	for {
		next := moment
		for _, kind := range []string{store.JobClaimCheck, store.JobClaimRemind, store.JobCertificateRemind, store.JobMailSend} {
			list, err := w.db.Jobs(t.Context(), kind, 1)
			must(t, err)
			if len(list) > 0 && list[0].RunAt.Before(next) {
				next = list[0].RunAt
			}
		}
		if next.After(w.clock.Now()) {
			w.at(t, next)
		}
		w.runJobs(t)
		if !w.clock.Now().Before(moment) {
			return
		}
	}
}

// newUser makes a user of the account who is told of its domains.
func (w *world) newUser(t testing.TB, email string, roles ...string) {
	t.Helper()
	_, err := w.iam.CreateUser(t.Context(), operator, iam.NewUser{Account: w.account, Email: email, Name: "Alice", Roles: roles})
	must(t, err)
}

// subjects returns the subjects of the mails to an address, oldest first.
func (w *world) subjects(to string) []string {
	var subjects []string
	for _, m := range w.outside.Mail.Messages() {
		if slices.Contains(m.To, to) {
			subjects = append(subjects, m.Subject)
		}
	}
	return subjects
}

// mail returns the newest mail to an address.
func (w *world) mail(t testing.TB, to string) outside.Message {
	t.Helper()
	for _, m := range slices.Backward(w.outside.Mail.Messages()) {
		if slices.Contains(m.To, to) {
			return m
		}
	}
	t.Fatalf("there is no mail to %s", to)
	return outside.Message{}
}

// record adds a record to the DNS.
func (w *world) record(t testing.TB, name, rtype, value string) {
	t.Helper()
	must(t, w.outside.DNS.Add(name, rtype, value))
}

// validated is an unlimited service with domain validation.
func validated(changes ...string) iam.ServiceSpec {
	spec := unlimited(changes...)
	spec.DomainValidation = true
	return spec
}

// claim claims a domain.
func (c *customer) claim(t testing.TB, name string) *telamon.Claim {
	t.Helper()
	claim, err := c.w.ra.SubmitClaim(t.Context(), c.actor(), telamon.ClaimDomain, name)
	if err != nil {
		t.Fatalf("claim %s: %v", name, err)
	}
	return claim
}

// reassert gives a claim a new token.
func (c *customer) reassert(t testing.TB, id telamon.ClaimID) *telamon.Claim {
	t.Helper()
	claim, err := c.w.ra.ReassertClaim(t.Context(), c.actor(), telamon.ClaimDomain, id)
	if err != nil {
		t.Fatalf("reassert %s: %v", id, err)
	}
	return claim
}

// publish puts the claim's token, and no other one, in a TXT record at a name.
func (c *customer) publish(t testing.TB, claim *telamon.Claim, at string) {
	t.Helper()
	c.w.outside.DNS.Remove(at, "TXT", "")
	c.w.record(t, at, "TXT", c.w.ra.TokenValue(claim))
}

// serve puts the claim's token in the file of a host, which is on this machine.
func (c *customer) serve(t testing.TB, claim *telamon.Claim, host string) {
	t.Helper()
	if _, err := netip.ParseAddr(host); err != nil {
		c.w.record(t, host, "A", "127.0.0.1")
	}
	c.w.outside.HTTP.Put(host, filePath, []byte(c.w.ra.TokenValue(claim)+"\n"))
}

// checkDNS checks a claim at an authorization domain name, "" for none.
func (c *customer) checkDNS(t testing.TB, id telamon.ClaimID, adn string) bool {
	t.Helper()
	asked := &adn
	if adn == "" {
		asked = nil
	}
	verified, err := c.w.ra.CheckDNS(t.Context(), c.actor(), id, asked)
	if err != nil {
		t.Fatalf("check %s at %q: %v", id, adn, err)
	}
	return verified
}

// checkHTTP checks a claim by a file.
func (c *customer) checkHTTP(t testing.TB, id telamon.ClaimID, scheme string) bool {
	t.Helper()
	verified, err := c.w.ra.CheckHTTP(t.Context(), c.actor(), telamon.ClaimDomain, id, scheme, nil)
	if err != nil {
		t.Fatalf("check %s by %s: %v", id, scheme, err)
	}
	return verified
}

// verify claims a domain and verifies the claim by a TXT record at its name.
func (c *customer) verify(t testing.TB, name string) *telamon.Claim {
	t.Helper()
	claim := c.claim(t, name)
	c.publish(t, claim, claim.Name)
	if !c.checkDNS(t, claim.ID, "") {
		t.Fatalf("%s is not verified: %+v", name, c.lastLine(t, claim.ID))
	}
	return c.look(t, claim.ID)
}

// look returns a claim as the customer sees it.
func (c *customer) look(t testing.TB, id telamon.ClaimID) *telamon.Claim {
	t.Helper()
	claim, _, err := c.w.ra.Claim(t.Context(), c.actor(), telamon.ClaimDomain, id)
	must(t, err)
	return claim
}

// lines returns the log of a claim.
func (c *customer) lines(t testing.TB, id telamon.ClaimID) []telamon.ClaimLogEntry {
	t.Helper()
	_, log, err := c.w.ra.Claim(t.Context(), c.actor(), telamon.ClaimDomain, id)
	must(t, err)
	return log
}

// lastLine returns the newest line of a claim's log.
func (c *customer) lastLine(t testing.TB, id telamon.ClaimID) telamon.ClaimLogEntry {
	t.Helper()
	log := c.lines(t, id)
	if len(log) == 0 {
		t.Fatalf("the log of claim %s is empty", id)
	}
	return log[len(log)-1]
}

// mustLog checks the newest line of a claim's log.
func (c *customer) mustLog(t testing.TB, id telamon.ClaimID, status telamon.ClaimLogStatus, method telamon.Method, description string) {
	t.Helper()
	got := c.lastLine(t, id)
	if got.Status != status || got.Method != method || !strings.Contains(got.Description, description) || !got.At.Equal(c.w.clock.Now()) {
		t.Errorf("the log says %s %s %q at %s, want %s %s and %q now", got.Status, got.Method, got.Description, got.At, status, method, description)
	}
}

// mustStatus checks the status of a claim.
func (c *customer) mustStatus(t testing.TB, id telamon.ClaimID, want telamon.ClaimStatus) {
	t.Helper()
	if got := c.look(t, id).Status; got != want {
		t.Errorf("the claim is %s, want %s", got, want)
	}
}

// tryNames asks for a certificate of a device with DNS names, the first of which is the
// common name where that must be one.
func (c *customer) tryNames(t testing.TB, names ...string) (telamon.Serial, error) {
	t.Helper()
	req := request(newKey(t).csr, "device-17")
	if c.spec.StrictContent {
		req.Policy.Subject["common_name"] = names[0]
	}
	req.Policy.SAN.DNSNames = names
	return c.w.ra.Issue(t.Context(), c.actor(), req)
}

// mustIssue issues a certificate with DNS names.
func (c *customer) mustIssue(t testing.TB, names ...string) telamon.Serial {
	t.Helper()
	serial, err := c.tryNames(t, names...)
	if err != nil {
		t.Errorf("issue for %q: %v, %+v", names, err, fault.From(err).Fields)
	}
	return serial
}

// mustNotCover checks that no certificate is issued with DNS names, because these are
// not covered.
func (c *customer) mustNotCover(t testing.TB, uncovered ...string) {
	t.Helper()
	_, err := c.tryNames(t, uncovered...)
	mustBe(t, err, fault.Invalid, "name_not_covered")
	mustName(t, err, uncovered...)
}

func errorOf[T any](_ T, err error) error { return err }

func sqliteURL(t testing.TB) string { return dbtest.SQLite(t) }

func clockAt(t testing.TB, rfc3339 string) *testkit.Clock { return testkit.NewClock(t, rfc3339) }
