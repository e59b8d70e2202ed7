package dcv_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/resolver"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/world"
)

// newSigned returns an engine over an unbound that validates: com is signed, and below
// it signed.com is and plain.com is not.
func newSigned(t *testing.T) *outside {
	t.Helper()
	dns, err := world.StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	anchor, err := dns.Sign("com")
	if err == nil {
		_, err = dns.Sign("signed.com")
	}
	if err = errors.Join(err, dns.Zone("plain.com")); err != nil {
		t.Fatal(err)
	}
	var stubs []resolver.Stub
	for _, zone := range []string{"com", "signed.com", "plain.com"} {
		stubs = append(stubs, resolver.Stub{Zone: zone, Address: dns.Addr()})
	}
	unbound, err := resolver.StartUnbound(t.Context(), resolver.UnboundConfig{Dir: t.TempDir(), TrustAnchors: []string{anchor}, Stubs: stubs})
	if errors.Is(err, resolver.ErrNoUnbound) {
		testkit.Require(t, "unbound")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unbound.Close() })
	clock := testkit.NewClock(t, "2026-11-27T16:00:00Z")
	client := resolver.New(resolver.Config{Address: unbound.Address(), DNSSEC: true, Anchors: unbound.Anchors()})
	return &outside{
		World: &world.World{DNS: dns}, t: t, clock: clock,
		engine: dcv.New(dcv.Config{Resolver: client, DNSSEC: true, CAAValid: 8 * time.Hour, Clock: clock}),
	}
}

// TestDNSSEC has requirement 68: a bogus answer is a failure, an unsigned zone is not.
func TestDNSSEC(t *testing.T) {
	o := newSigned(t)
	o.record("www.signed.com", "TXT", token)
	o.record("www.plain.com", "TXT", token)
	if got := o.dns("www.signed.com", "www.signed.com"); !got.Found || got.Evidence.DNSSEC != telamon.DNSSECSecure {
		t.Errorf("a signed zone: %+v", got)
	}
	if got := o.dns("www.plain.com", "www.plain.com"); !got.Found || got.Evidence.DNSSEC != telamon.DNSSECInsecure {
		t.Errorf("an unsigned zone: %+v", got)
	}
	if err := o.DNS.Break("signed.com"); err != nil {
		t.Fatal(err)
	}
	o.record("forged.signed.com", "TXT", token)
	if got := o.dns("forged.signed.com", "forged.signed.com"); got.Found ||
		got.Problem != "DNSSEC check failed at forged.signed.com; validation stops here." {
		t.Errorf("a bogus answer: %+v", got)
	}
	if found := o.engine.Mailboxes(t.Context(), "forged.signed.com", nil); len(found.Problems) == 0 {
		t.Errorf("contacts by bogus answers: %+v", found)
	}
}

// TestCAALookupFailure has requirement 80: a look-up that fails forbids in a signed zone
// and not, after it was tried again, in one that is proven to be unsigned.
func TestCAALookupFailure(t *testing.T) {
	o := newSigned(t)
	o.DNS.FailType("*.signed.com", "CAA", world.ServFail)
	o.DNS.FailType("*.plain.com", "CAA", world.ServFail)
	check := func(name string) telamon.CAACheck {
		t.Helper()
		got, err := o.engine.CheckCAA(t.Context(), dcv.CAAQuestion{Name: name, Issuers: []string{"ca.example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := check("www.signed.com"); got.Allowed || !strings.HasPrefix(got.Problem, "CAA: The DNS did not answer for www.signed.com") {
		t.Errorf("a signed zone that fails: %+v", got)
	}
	if got := check("www.plain.com"); !got.Allowed || !strings.Contains(got.Problem, "proven to be unsigned") {
		t.Errorf("an unsigned zone that fails: %+v", got)
	}
	if err := o.DNS.Break("signed.com"); err != nil {
		t.Fatal(err)
	}
	o.DNS.Mend("*.signed.com")
	o.record("bogus.signed.com", "CAA", `0 issue "ca.example.com"`)
	if got := check("bogus.signed.com"); got.Allowed || !strings.Contains(got.Problem, "DNSSEC check failed") {
		t.Errorf("a bogus answer: %+v", got)
	}
}
