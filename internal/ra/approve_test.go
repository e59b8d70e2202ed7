package ra_test

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// constructed are the addresses that stand for the owner of any domain.
var constructed = []string{"admin", "administrator", "webmaster", "hostmaster", "postmaster"}

// reader is from where people open links.
var reader = netip.MustParseAddr("198.51.100.9")

// mailboxes lists the addresses that may approve a claim, by their methods.
func (c *customer) mailboxes(t testing.TB, id telamon.ClaimID) map[telamon.Method][]string {
	t.Helper()
	found, err := c.w.ra.Mailboxes(t.Context(), c.actor(), id)
	must(t, err)
	list := map[telamon.Method][]string{}
	for _, box := range found.List {
		list[box.Method] = append(list[box.Method], box.Address)
	}
	return list
}

// send sends a mail that asks for approval, and returns the value of the link in it.
func (c *customer) send(t testing.TB, id telamon.ClaimID, to string) string {
	t.Helper()
	verified, err := c.w.ra.SendApproval(t.Context(), c.actor(), id, to)
	if verified || err != nil {
		t.Fatalf("send a mail to %s: verified %t, %v", to, verified, err)
	}
	c.w.runJobs(t)
	return c.w.link(t, to)
}

// link returns the value of the link in the newest mail to an address.
func (w *world) link(t testing.TB, to string) string {
	t.Helper()
	_, after, found := strings.Cut(w.mail(t, to).Text, approvalURL)
	if !found {
		t.Fatalf("there is no link in the mail to %s", to)
	}
	value, _, _ := strings.Cut(after, "\n")
	return value
}

// approve presses the button of the approval page.
func (w *world) approve(t testing.TB, value string) error {
	t.Helper()
	_, err := w.ra.Approve(t.Context(), reader, "req_approve", value)
	return err
}

// TestMailboxes lists the five constructed addresses of a domain and its parents, and
// contacts that these publish in CAA and TXT records: of no other name, and never the
// contact of an SOA record. Requirements 66 and 67.
func TestMailboxes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "shop.example.com")
		w.record(t, "example.com", "SOA", "ns.example.com. soa-contact.example.com. 1 7200 900 1209600 300")
		w.record(t, "shop.example.com", "SOA", "ns.example.com. soa-contact.example.com. 1 7200 900 1209600 300")
		w.record(t, "shop.example.com", "CAA", `0 contactemail "caa@contact.example"`)
		w.record(t, "shop.example.com", "CAA", `0 issue "ca.example.org"`)
		w.record(t, "example.com", "CAA", `0 contactemail "Parent <parent@contact.example>"`) // is not an address alone
		w.record(t, "_validation-contactemail.example.com", "TXT", "txt@contact.example")
		w.record(t, "_validation-contactemail.example.com", "TXT", "admin@example.com") // is there already
		w.record(t, "_validation-contactemail.com", "TXT", "suffix@contact.example")
		w.record(t, "com", "CAA", `0 contactemail "suffix@contact.example"`)
		w.record(t, "a.shop.example.com", "CAA", `0 contactemail "below@contact.example"`)
		got := c.mailboxes(t, claim.ID)
		want := map[telamon.Method][]string{
			telamon.MethodEmailCAA: {"caa@contact.example"}, telamon.MethodEmailTXT: {"txt@contact.example"},
		}
		for _, domain := range []string{"shop.example.com", "example.com"} {
			for _, local := range constructed {
				want[telamon.MethodEmail] = append(want[telamon.MethodEmail], local+"@"+domain)
			}
		}
		if len(got) != len(want) {
			t.Errorf("the mailboxes are %q, want %q", got, want)
		}
		for method, addresses := range want {
			if !slices.Equal(got[method], addresses) {
				t.Errorf("the mailboxes of %s are %q, want %q", method, got[method], addresses)
			}
		}
		for _, q := range w.outside.DNS.Queries() {
			if q.Type == "SOA" {
				t.Errorf("the DNS is asked for %+v", q)
			}
		}
		for _, address := range []string{
			"soa-contact@example.com", "suffix@contact.example", "below@contact.example", "parent@contact.example", "root@example.com",
			"admin@com", "admin@example.org", "admin@a.shop.example.com", "", "admin", "admin@example.com ", "admin@example.com\r\nBcc: x@example.org",
			"admin@example.com,x@example.org",
		} {
			_, err := w.ra.SendApproval(t.Context(), c.actor(), claim.ID, address)
			mustBe(t, err, fault.Invalid, "email_address")
			mustName(t, err, "email_address")
			if t.Failed() {
				t.Fatalf("at the address %q", address)
			}
		}
		w.runJobs(t)
		if mails := w.outside.Mail.Messages(); len(mails) != 0 {
			t.Errorf("there are %d mails, want none", len(mails))
		}
		w.with(t, func(v *ra.Validation) { v.ApprovalURL = "" })
		if got := c.mailboxes(t, claim.ID); len(got) != 0 {
			t.Errorf("without a page for approvals the mailboxes are %q", got)
		}
	})
}

// TestApprove has one mail from the request to the verification: looking at what the
// link shows changes nothing, and it works once. Requirement 66.
func TestApprove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		for i, tt := range []struct {
			method   telamon.Method
			address  func(name string) string
			coverage telamon.Coverage
			adn      string // "" is the name
		}{
			{telamon.MethodEmail, func(name string) string { return "WebMaster@" + name }, telamon.CoversTree, ""},
			{telamon.MethodEmail, func(string) string { return "postmaster@example.com" }, telamon.CoversTree, "example.com"},
			{telamon.MethodEmailTXT, func(string) string { return "txt@contact.example" }, telamon.CoversTree, "example.com"},
			{telamon.MethodEmailCAA, func(string) string { return "caa@contact.example" }, telamon.CoversExact, ""},
		} {
			t.Run(fmt.Sprintf("%s %d", tt.method, i), func(t *testing.T) {
				name := fmt.Sprintf("shop%d.example.com", i)
				w.outside.DNS.Clear()
				w.record(t, "_validation-contactemail.example.com", "TXT", "txt@contact.example")
				w.record(t, name, "CNAME", "hosting.example.org")
				w.record(t, "hosting.example.org", "CAA", `0 contactemail "caa@contact.example"`)
				claim := c.claim(t, name)
				to := tt.address(name)
				if strings.HasPrefix(to, "WebMaster") {
					to = strings.ToLower(to)
				}
				w.outside.Mail.Clear()
				value := c.send(t, claim.ID, to)
				c.mustLog(t, claim.ID, telamon.LogInfo, tt.method, "mail sent to "+to)
				if text := w.mail(t, to).Text; !strings.Contains(text, name) || !strings.Contains(text, "Acme") {
					t.Errorf("the mail names neither the domain nor the account:\n%s", text)
				}
				if raw, err := base64.RawURLEncoding.DecodeString(value); err != nil || len(raw) < 16+14 {
					t.Errorf("the value %q has %d octets, %v", value, len(raw), err)
				}
				before := c.look(t, claim.ID)
				for range 3 { // as often as a scanner of mail opens the link
					shown, account, err := w.ra.Approval(t.Context(), value)
					if err != nil || account != "Acme" || shown.Name != name || shown.Address != to || !shown.UsedAt.IsZero() {
						t.Fatalf("the link shows %+v of %q, %v", shown, account, err)
					}
				}
				if after := c.look(t, claim.ID); *after != *before {
					t.Errorf("looking at the link made the claim %+v, before %+v", after, before)
				}
				w.clock.Advance(time.Minute)
				must(t, w.approve(t, value))
				c.mustLog(t, claim.ID, telamon.LogSuccess, tt.method, "claim successfully verified")
				adn := tt.adn
				if adn == "" {
					adn = name
				}
				after := c.look(t, claim.ID)
				if after.Status != telamon.ClaimVerified || after.Method != tt.method || after.Coverage != tt.coverage || after.ADN != adn ||
					!after.VerifiedAt.Equal(w.clock.Now()) || after.Open {
					t.Errorf("the claim is %+v", after)
				}
				records, err := w.db.Verifications(t.Context(), []telamon.VerificationID{after.Verification})
				must(t, err)
				if e := records[0].Evidence; e.Mailbox != to || (tt.coverage == telamon.CoversExact) != (len(e.Through) > 0) {
					t.Errorf("the evidence is %+v", e)
				}
				mustBe(t, w.approve(t, value), fault.Conflict, "approval_used")
				_, _, err = w.ra.Approval(t.Context(), value)
				mustBe(t, err, fault.Conflict, "approval_used")
				w.outside.DNS.Clear()
				c.mustIssue(t, name)
				if tt.coverage == telamon.CoversTree {
					c.mustIssue(t, "a."+name, "*."+name)
				} else {
					c.mustNotCover(t, "a."+name, "*."+name)
				}
			})
		}
	})
}

// TestApprovalLinks has links that approve nothing: forged, old, overtaken. Each says
// why, and that of nobody's says nothing. Requirement 66.
func TestApprovalLinks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		value := c.send(t, claim.ID, "admin@example.com")
		raw, err := base64.RawURLEncoding.DecodeString(value)
		must(t, err)
		forged := []string{"", "x", value[1:], value + "A", strings.ToUpper(value), value + "=", " " + value, strings.Repeat("A", len(value)), strings.Repeat("A", 1e5)}
		for i := range raw { // every octet counts
			changed := slices.Clone(raw)
			changed[i] ^= 1
			forged = append(forged, base64.RawURLEncoding.EncodeToString(changed))
		}
		for _, bad := range forged {
			mustBe(t, w.approve(t, bad), fault.NotFound, "approval_not_found")
			_, _, err := w.ra.Approval(t.Context(), bad)
			mustBe(t, err, fault.NotFound, "approval_not_found")
			if t.Failed() {
				t.Fatalf("with the value %q", bad)
			}
		}
		c.mustStatus(t, claim.ID, telamon.ClaimPending)

		// Each mail has a value of its own, and another one stays good until the claim is verified.
		second := c.send(t, claim.ID, "admin@example.com")
		third := c.send(t, claim.ID, "postmaster@example.com")
		if second == value || third == second {
			t.Error("two mails have the same value")
		}
		must(t, w.approve(t, second))
		mustBe(t, w.approve(t, value), fault.Conflict, "approval_used")
		mustBe(t, w.approve(t, third), fault.Conflict, "approval_used")

		// A reasserted claim is not what was asked for, and a deleted one is nothing.
		c.reassert(t, claim.ID)
		moved := c.send(t, claim.ID, "admin@example.com")
		c.reassert(t, claim.ID)
		mustBe(t, w.approve(t, moved), fault.Conflict, "claim_moved")
		current := c.send(t, claim.ID, "admin@example.com")
		must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID))
		mustBe(t, w.approve(t, current), fault.Conflict, "claim_moved")

		// The last second of a link.
		early, late := c.claim(t, "early.example.com"), c.claim(t, "late.example.com")
		good, dead := c.send(t, early.ID, "admin@early.example.com"), c.send(t, late.ID, "admin@late.example.com")
		w.at(t, early.AssertBy.Add(-time.Second))
		must(t, w.approve(t, good))
		w.clock.Advance(time.Second)
		mustBe(t, w.approve(t, dead), fault.Conflict, "approval_expired")
		c.mustStatus(t, late.ID, telamon.ClaimPending)
	})
}

// TestApproveAtOnce presses the button several times at the same time.
func TestApproveAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		value := c.send(t, claim.ID, "admin@example.com")
		errs := make([]error, 4)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = w.approve(t, value) })
		}
		all.Wait()
		used := 0
		for _, err := range errs {
			if err == nil {
				used++
				continue
			}
			mustBe(t, err, fault.Conflict, "approval_used")
		}
		if used != 1 {
			t.Errorf("one link worked %d times", used)
		}
	})
}

// TestMootMail has mails whose link would be dead on arrival: they are not sent.
func TestMootMail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		for name, end := range map[string]func(claim *telamon.Claim){
			"reasserted.example.com": func(claim *telamon.Claim) { c.reassert(t, claim.ID) },
			"deleted.example.com": func(claim *telamon.Claim) {
				must(t, w.ra.DeleteClaim(t.Context(), c.actor(), telamon.ClaimDomain, claim.ID))
			},
			"verified.example.com": func(claim *telamon.Claim) { c.verify(t, "verified.example.com") },
		} {
			claim := c.claim(t, name)
			_, err := w.ra.SendApproval(t.Context(), c.actor(), claim.ID, "admin@"+name)
			must(t, err)
			end(claim)
		}
		w.runJobs(t)
		if mails := w.outside.Mail.Messages(); len(mails) != 0 {
			t.Errorf("mails were sent: %q", mails[0].Subject)
		}
		if jobs, err := w.db.Jobs(t.Context(), store.JobMailSend, 9); err != nil || len(jobs) != 0 {
			t.Errorf("mails are still waiting: %+v, %v", jobs, err)
		}
	})
}

// TestMailFlood has the limit of mails that one claim can cause.
func TestMailFlood(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, validated(), 0)
		claim := c.claim(t, "example.com")
		sent := 0
		var err error
		for ; err == nil && sent < 100; sent++ {
			_, err = w.ra.SendApproval(t.Context(), c.actor(), claim.ID, "admin@example.com")
		}
		mustBe(t, err, fault.Limited, fault.CodeRateLimited)
		w.runJobs(t)
		if got := len(w.outside.Mail.Messages()); got != sent-1 || got > 20 {
			t.Errorf("%d mails were sent after %d requests", got, sent)
		}
		w.clock.Advance(24*time.Hour + time.Second)
		_, err = w.ra.SendApproval(t.Context(), c.actor(), claim.ID, "admin@example.com")
		must(t, err)
	})
}

// TestEmailMethodsEnd has the last second of validation by e-mail and the first one
// after it, for mails and for what was validated before. Requirement 66.
func TestEmailMethodsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		end := date(t, "2028-03-15T00:00:00Z")
		c := w.customer(t, validated(), 0)
		w.at(t, end.AddDate(0, 0, -20))
		mailed, sent := c.claim(t, "mailed.example.com"), c.claim(t, "sent.example.com")
		must(t, w.approve(t, c.send(t, mailed.ID, "admin@mailed.example.com")))
		if after := c.look(t, mailed.ID); !after.ExpiresAt.Equal(end) {
			t.Errorf("a verification by e-mail ends %s, want %s", after.ExpiresAt, end)
		}
		byDNS := c.verify(t, "dns.example.com")
		if !byDNS.ExpiresAt.After(end) {
			t.Errorf("a verification by DNS ends %s, with those by e-mail", byDNS.ExpiresAt)
		}
		value := c.send(t, sent.ID, "admin@sent.example.com")
		if text := w.mail(t, "admin@sent.example.com").Text; !strings.Contains(text, "2028-03-15 00:00 UTC") {
			t.Errorf("the mail does not say that the link ends with the method:\n%s", text)
		}
		late := c.send(t, sent.ID, "admin@sent.example.com")

		w.at(t, end.Add(-time.Second))
		c.mustIssue(t, "mailed.example.com", "dns.example.com")
		must(t, w.approve(t, value))
		c.mustIssue(t, "sent.example.com")
		fresh := c.claim(t, "fresh.example.com")
		fromLastSecond := c.send(t, fresh.ID, "admin@fresh.example.com")
		_, err := w.ra.SendApproval(t.Context(), c.actor(), fresh.ID, "postmaster@fresh.example.com") // is not sent in time
		must(t, err)

		w.clock.Advance(time.Second)
		c.mustNotCover(t, "mailed.example.com", "sent.example.com")
		c.mustStatus(t, mailed.ID, telamon.ClaimPending)
		c.mustIssue(t, "dns.example.com")
		mustBe(t, w.approve(t, fromLastSecond), fault.Conflict, "approval_expired")
		mustBe(t, w.approve(t, late), fault.Conflict, "approval_expired")
		if list := c.mailboxes(t, fresh.ID); len(list) != 0 {
			t.Errorf("the mailboxes are %q, want none", list)
		}
		_, err = w.ra.SendApproval(t.Context(), c.actor(), fresh.ID, "admin@fresh.example.com")
		mustBe(t, err, fault.Invalid, "email_address")
		w.runJobs(t)
		if subjects := w.subjects("postmaster@fresh.example.com"); len(subjects) != 0 {
			t.Errorf("a mail was sent after the end: %q", subjects)
		}
		if jobs, err := w.db.Jobs(t.Context(), store.JobMailSend, 9); err != nil || len(jobs) != 0 {
			t.Errorf("mails are still waiting: %+v, %v", jobs, err)
		}
	})
}
