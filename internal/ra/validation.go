package ra

import (
	"time"

	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/dnsname"
	"github.com/telamon-ca/telamon/internal/egress"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/rules"
)

// Validation is what a registration authority needs to validate domains.
type Validation struct {
	Panel  *perspective.Panel // looks at domains
	Engine *dcv.Engine        // finds mailboxes
	Rules  *rules.Table

	// TokenPrefix stands before the random part of a token, in what applicants
	// publish.
	TokenPrefix string
	// Issuers are the issuer domain names that CAA records know the platform by
	// (RFC 8659, Section 4.2). The first one is also the host of account URIs.
	Issuers []string
	// PrivateSuffixes are domains that no registry serves and that the operator
	// vouches for: names under them can be claimed.
	PrivateSuffixes []dnsname.Name
	// Blocked are domains that may not be claimed or certified, with all below them.
	Blocked []dnsname.Name
	// Networks says which IP addresses can be claimed.
	Networks egress.Policy
	// Inline is how long a request waits for the check that it asked for. The check
	// goes on after that.
	Inline time.Duration
	// ApprovalURL is where the approval page is, to which a value is appended; ""
	// turns validation by e-mail off.
	ApprovalURL string
	// PortalURL is in mails about claims, "" if there is nothing to go to. Platform is
	// the name of the installation in mails.
	PortalURL, Platform string
	// MAC makes the value of an approval's link from its nonce, under a key that is
	// not in the database.
	MAC func(nonce []byte) []byte
}

// DefaultInline is how long a request waits for its check by default: clients give
// up after more than that.
const DefaultInline = 3 * time.Second

// checkLasts is how long a check may take before another process takes it over.
const checkLasts = dcv.Timeout + 5*time.Second

// accountURI is how CAA records and standing TXT records name an account (RFC 7565;
// BR 4.2.2.1.2).
func (v *Validation) accountURI(account string) string {
	if len(v.Issuers) == 0 {
		return ""
	}
	return "acct:" + account + "@" + v.Issuers[0]
}
