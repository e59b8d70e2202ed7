package atlas

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// fakeToken is the one token that the fake knows.
const fakeToken = "good.token"

// fake stands in for ra and iam where only the wire is tested. It remembers what
// it was asked, and answers err to everything if it is set.
type fake struct {
	err     error
	asked   []telamon.Serial
	issued  *ra.CertificateRequest
	rekey   *ra.RekeyRequest
	rev     *ra.Revocation
	actor   telamon.Actor
	account telamon.AccountID
	status  telamon.CertificateStatus
	listed  struct {
		listing       store.Listing
		from, to      int64
		page, perPage int64
	}
	rows    []store.ListedCertificate
	total   int64
	checked bool

	claims  claimsAsked
	claim   telamon.Claim
	log     []telamon.ClaimLogEntry
	boxes   dcv.Mailboxes
	verify  bool // what checks report
	allowed []string
}

// claimsAsked is what the fake was last asked about claims.
type claimsAsked struct {
	kind    telamon.ClaimKind
	id      telamon.ClaimID
	name    string
	adn     *string
	scheme  string
	address string
	listing ra.ClaimListing
}

func (f *fake) SubmitClaim(_ context.Context, _ telamon.Actor, kind telamon.ClaimKind, name string) (*telamon.Claim, error) {
	f.claims.kind, f.claims.name = kind, name
	return &f.claim, f.err
}

func (f *fake) Claim(_ context.Context, _ telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, []telamon.ClaimLogEntry, error) {
	f.claims.kind, f.claims.id = kind, id
	return &f.claim, f.log, f.err
}

func (f *fake) Claims(_ context.Context, _ telamon.Actor, l ra.ClaimListing) ([]ra.ListedClaim, int64, error) {
	f.claims.listing = l
	if f.claim.ID == "" {
		return nil, f.total, f.err
	}
	return []ra.ListedClaim{{Claim: f.claim, Log: f.log}}, f.total, f.err
}

func (f *fake) DeleteClaim(_ context.Context, _ telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) error {
	f.claims.kind, f.claims.id = kind, id
	return f.err
}

func (f *fake) ReassertClaim(_ context.Context, _ telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, error) {
	f.claims.kind, f.claims.id = kind, id
	return &f.claim, f.err
}

func (f *fake) AllowedDomains(_ context.Context, _ telamon.Actor, id telamon.ClaimID) ([]string, error) {
	f.claims.id = id
	return f.allowed, f.err
}

func (f *fake) CheckDNS(_ context.Context, _ telamon.Actor, id telamon.ClaimID, adn *string) (bool, error) {
	f.claims.id, f.claims.adn = id, adn
	return f.verify, f.err
}

func (f *fake) CheckHTTP(_ context.Context, _ telamon.Actor, kind telamon.ClaimKind, id telamon.ClaimID, scheme string, adn *string) (bool, error) {
	f.claims.kind, f.claims.id, f.claims.scheme, f.claims.adn = kind, id, scheme, adn
	return f.verify, f.err
}

func (f *fake) Mailboxes(_ context.Context, _ telamon.Actor, id telamon.ClaimID) (dcv.Mailboxes, error) {
	f.claims.id = id
	return f.boxes, f.err
}

func (f *fake) SendApproval(_ context.Context, _ telamon.Actor, id telamon.ClaimID, address string) (bool, error) {
	f.claims.id, f.claims.address = id, address
	return f.verify, f.err
}

func (f *fake) TokenValue(c *telamon.Claim) string { return "prefix=" + c.Token }

var fakeSerial = telamon.Serial{0x01, 0x07, 0x7f, 15: 0xaa}

func (f *fake) Login(_ context.Context, _ netip.Addr, _ []byte, key, secret string) (string, error) {
	if f.err == nil && (key != "key" || secret != "secret") {
		return "", fault.New(fault.Unauthenticated, "unauthorized", "no such credential, which is not for the wire")
	}
	return fakeToken, f.err
}

func (f *fake) Authorize(_ context.Context, token string, _ netip.Addr, _ []byte) (telamon.Actor, error) {
	if token != fakeToken {
		return telamon.Actor{}, fault.New(fault.Unauthenticated, "unauthorized", "Unauthorized")
	}
	return telamon.Actor{Kind: telamon.ActorCredential, Account: f.account, Credential: "crd_1", Pair: 7}, nil
}

func (f *fake) Issue(_ context.Context, actor telamon.Actor, req *ra.CertificateRequest) (telamon.Serial, error) {
	f.actor, f.issued = actor, req
	return fakeSerial, f.err
}

func (f *fake) Check(_ context.Context, _ telamon.Actor, req *ra.CertificateRequest) error {
	f.checked = true
	return f.err
}

func (f *fake) Rekey(_ context.Context, _ telamon.Actor, serial telamon.Serial, req *ra.RekeyRequest) (telamon.Serial, error) {
	f.asked, f.rekey = append(f.asked, serial), req
	return fakeSerial, f.err
}

func (f *fake) Certificate(_ context.Context, _ telamon.Actor, serial telamon.Serial) (*telamon.Certificate, []byte, error) {
	f.asked = append(f.asked, serial)
	return &telamon.Certificate{Serial: serial, Status: f.status, UpdatedAt: time.Unix(1767225601, 5e8)}, make([]byte, 100), f.err
}

func (f *fake) Revoke(_ context.Context, _ telamon.Actor, serial telamon.Serial, rev ra.Revocation) error {
	f.asked, f.rev = append(f.asked, serial), &rev
	return f.err
}

func (f *fake) Policy(context.Context, telamon.Actor) (*policy.Policy, error) {
	return &policy.Policy{}, f.err
}

func (f *fake) TrustChain(context.Context, telamon.Actor) ([]*x509.Certificate, error) {
	return []*x509.Certificate{{Raw: []byte("issuing")}, {Raw: []byte("root")}}, f.err
}

func (f *fake) IssuedCount(context.Context, telamon.Actor) (int64, error)  { return 42, f.err }
func (f *fake) RevokedCount(context.Context, telamon.Actor) (int64, error) { return 7, f.err }
func (f *fake) Quota(context.Context, telamon.Actor) (int64, error)        { return ra.UnlimitedQuota, f.err }

func (f *fake) List(_ context.Context, _ telamon.Actor, l store.Listing, from, to time.Time, page, perPage int64) ([]store.ListedCertificate, int64, error) {
	f.listed.listing, f.listed.from, f.listed.to, f.listed.page, f.listed.perPage = l, from.Unix(), to.Unix(), page, perPage
	return f.rows, f.total, f.err
}

// testNow is the time at which the test API's clock stands: 1767225600.
const testNow = "2026-01-01T00:00:00Z"

// newTestAPI returns an API over a fake.
func newTestAPI(t testing.TB) (*API, *fake) {
	f := &fake{status: telamon.StatusIssued}
	return New(Config{RA: f, IAM: f, Clock: testkit.NewClock(t, testNow), Log: slog.New(slog.DiscardHandler)}), f
}
