package ra

import (
	"context"
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// A Search says which certificates of an account to list: those for which all of it
// holds. Zero members are not asked for.
type Search struct {
	Subscription telamon.SubscriptionID
	Identity     telamon.IdentityID
	Credential   telamon.CredentialID
	Portal       bool // those that were requested in the portal
	State        store.CertificateState
	Days         int    // that expiring ones end in
	Name         string // a name, or "*.example.com" for every name below a domain
	Serial       string // how the serial number begins, in hexadecimal digits
	Key          *[32]byte
	RekeyOf      *telamon.Serial

	IssuedFrom, IssuedUntil   time.Time // inclusive and exclusive
	ExpiresFrom, ExpiresUntil time.Time

	After    *store.CertificateCursor
	Limit    int
	Counts   bool // says how many there are, if that is known
	Whole    bool // fills the page, however many certificates must be looked at
	NotNamed bool // does not read the names
}

// MaxExpiringDays bounds Search.Days.
const MaxExpiringDays = 3650

// A ListedCertificate is a certificate of a list.
type ListedCertificate struct {
	telamon.Certificate
	Subscription telamon.SubscriptionID
	Identity     telamon.IdentityID
	Names        []string // the common name and the alternative names, each once
}

// A Finding is a page of a search.
type Finding struct {
	Certificates []ListedCertificate
	Next         *store.CertificateCursor // nil if nothing is left
	// Full says that the page is. If it is not and there is a Next, so many certificates
	// were looked at that the rest is for another page.
	Full  bool
	Total int64 // -1 if it is not known
	// Indexed says that the certificates of earlier releases can be found by name.
	Indexed bool
}

// Find returns a page of the certificates of the actor's account. It reports Invalid with
// a field for each member of the search that cannot stand.
func (ra *RA) Find(ctx context.Context, actor telamon.Actor, s *Search) (*Finding, error) {
	if err := authz.Check(actor, authz.CertificateRead, actor.Account); err != nil {
		return nil, err
	}
	query, pairs, err := ra.query(ctx, actor.Account, s)
	if err != nil {
		return nil, err
	}
	found, err := ra.store.FindCertificates(ctx, *query)
	if err != nil {
		return nil, err
	}
	finding := &Finding{Next: found.Next, Full: found.Full, Total: found.Total}
	if finding.Indexed, err = ra.store.TermsComplete(ctx); err != nil {
		return nil, err
	}
	var ders map[telamon.Serial][]byte
	if !s.NotNamed {
		if ders, err = ra.store.CertificateDERs(ctx, found.Rows); err != nil {
			return nil, err
		}
	}
	for _, c := range found.Rows {
		listed := ListedCertificate{Certificate: c, Subscription: pairs[c.Pair].Subscription, Identity: pairs[c.Pair].Identity}
		if der := ders[c.Serial]; der != nil {
			if listed.Names, err = NamesOf(der); err != nil {
				return nil, fmt.Errorf("read certificate %s: %w", c.Serial, err)
			}
		}
		finding.Certificates = append(finding.Certificates, listed)
	}
	return finding, nil
}

var hexDigits = regexp.MustCompile(`^[0-9A-F]{1,32}$`)

// query checks a search, and returns it as the store takes it, with the pairs of the
// account.
func (ra *RA) query(ctx context.Context, account telamon.AccountID, s *Search) (*store.CertificateSearch, map[telamon.PairID]telamon.Pair, error) {
	var wrong []fault.Field
	refuse := func(path, problem string) { wrong = append(wrong, fault.Field{Path: path, Problem: problem}) }
	q := &store.CertificateSearch{
		State: s.State, Within: time.Duration(s.Days) * 24 * time.Hour, Name: strings.TrimSpace(s.Name), Key: s.Key, RekeyOf: s.RekeyOf,
		IssuedFrom: s.IssuedFrom, IssuedUntil: s.IssuedUntil, ExpiresFrom: s.ExpiresFrom, ExpiresUntil: s.ExpiresUntil,
		After: s.After, Limit: s.Limit, CountsAll: s.Counts, Whole: s.Whole,
	}
	switch s.State {
	case "", store.StateGood, store.StateRevoked, store.StateExpired:
	case store.StateExpiring:
		if s.Days < 1 || s.Days > MaxExpiringDays {
			refuse("days", fmt.Sprintf("must be from 1 to %d", MaxExpiringDays))
		}
	default:
		refuse("status", "is unknown")
	}
	if domain, ok := strings.CutPrefix(q.Name, "*."); ok && !strings.Contains(strings.Trim(domain, "."), ".") {
		refuse("name", "names a domain of one label: search below one of two, such as *.example.com")
	} else if strings.Contains(strings.TrimPrefix(q.Name, "*."), "*") || len(q.Name) > 1000 {
		refuse("name", "can have one * at its beginning, before a dot")
	}
	if s.Serial != "" {
		// As it is written elsewhere: with colons, spaces, and without the leading zero.
		q.Serial = strings.ToUpper(strings.NewReplacer(":", "", " ", "", "-", "").Replace(s.Serial))
		if strings.HasPrefix(q.Serial, "1") {
			q.Serial = "0" + q.Serial
		}
		if !hexDigits.MatchString(q.Serial) {
			refuse("serial", "must be 1 to 32 hexadecimal digits")
		}
	}
	if s.Portal || s.Credential != "" {
		q.Credential = &s.Credential
	}
	if len(wrong) > 0 {
		return nil, nil, &fault.Fault{Kind: fault.Invalid, Code: "search", Detail: "The search cannot be made.", Fields: wrong}
	}
	all, err := ra.store.PairsOf(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	pairs := map[telamon.PairID]telamon.Pair{}
	for _, p := range all {
		if (s.Subscription == "" || p.Subscription == s.Subscription) && (s.Identity == "" || p.Identity == s.Identity) {
			pairs[p.ID] = p
			q.Pairs = append(q.Pairs, p.ID)
		}
	}
	return q, pairs, nil
}

// NamesOf returns the common name of a certificate and its alternative names, each once.
func NamesOf(der []byte) (names []string, err error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{"": true}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	add(cert.Subject.CommonName)
	for _, name := range cert.DNSNames {
		add(name)
	}
	for _, ip := range cert.IPAddresses {
		add(ip.String())
	}
	for _, email := range cert.EmailAddresses {
		add(email)
	}
	for _, uri := range cert.URIs {
		add(uri.String())
	}
	return names, nil
}

// SaveView keeps a filter of the list of certificates under a name, for the user who
// acts. It reports Invalid, Conflict with view_exists, and Limited with too_many_views.
func (ra *RA) SaveView(ctx context.Context, actor telamon.Actor, name, query string) error {
	if err := mayView(actor); err != nil {
		return err
	}
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 80 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid("name", "must be 1 to 80 octets on one line")
	}
	if len(query) > 2000 {
		return invalid("query", "is too long")
	}
	return ra.store.SaveView(ctx, actor, &telamon.SavedView{ID: telamon.NewSavedViewID(), User: actor.User, Name: name, Query: query})
}

// SavedViews returns the views that the user who acts has saved, by name.
func (ra *RA) SavedViews(ctx context.Context, actor telamon.Actor) ([]telamon.SavedView, error) {
	if err := mayView(actor); err != nil {
		return nil, err
	}
	return ra.store.SavedViews(ctx, actor.User)
}

// DeleteView deletes a view of the user who acts. It reports NotFound.
func (ra *RA) DeleteView(ctx context.Context, actor telamon.Actor, id telamon.SavedViewID) error {
	if err := mayView(actor); err != nil {
		return err
	}
	return ra.store.DropView(ctx, actor, id)
}

// mayView returns nil if the actor is a user who sees certificates.
func mayView(actor telamon.Actor) error {
	if actor.User == "" {
		return fault.New(fault.Denied, "access_denied", "Views are of users.")
	}
	return authz.Check(actor, authz.CertificateRead, actor.Account)
}
