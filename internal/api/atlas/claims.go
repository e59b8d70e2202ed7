package atlas

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// The paths of claims below the base, by kind. In POST the last segment is what is
// claimed, elsewhere it is the claim's ID.
const (
	domainClaims  = "/claims/domains"
	addressClaims = "/claims/ipaddresses"
)

// claimRoutes adds the routes of claims.
func (a *API) claimRoutes(routes map[string]map[string]route) {
	for kind, path := range map[telamon.ClaimKind]string{telamon.ClaimDomain: domainClaims, telamon.ClaimIP: addressClaims} {
		k := claimsOf{a, kind, path}
		routes[path] = map[string]route{http.MethodGet: {serve: k.list}}
		routes[path+"/{claim}"] = map[string]route{
			http.MethodPost: {serve: k.submit}, http.MethodGet: {serve: k.show}, http.MethodDelete: {serve: k.delete},
		}
		routes[path+"/{claim}/reassert"] = map[string]route{http.MethodPost: {serve: k.reassert}}
		routes[path+"/{claim}/http"] = map[string]route{http.MethodPost: {serve: k.checkHTTP, mayHaveBody: true, longest: maxClaimBody}}
	}
	k := claimsOf{a, telamon.ClaimDomain, domainClaims}
	routes[domainClaims+"/{claim}/dns"] = map[string]route{
		http.MethodGet:  {serve: k.allowedDomains},
		http.MethodPost: {serve: k.checkDNS, mayHaveBody: true, longest: maxClaimBody},
	}
	routes[domainClaims+"/{claim}/email"] = map[string]route{
		http.MethodGet: {serve: k.mailboxes}, http.MethodPost: {serve: k.sendMail, body: true, longest: maxClaimBody},
	}
}

// maxClaimBody holds a domain name and a scheme, or a mailbox.
const maxClaimBody = 8 << 10

// claimsOf serves the claims of one kind.
type claimsOf struct {
	*API
	kind telamon.ClaimKind
	path string
}

// claimID writes a claim's ID as the API has it: 32 upper-case hexadecimal digits.
func claimID(id telamon.ClaimID) string {
	b, _ := id.Bytes()
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// claimOf returns the claim ID that the path names, in any case. It reports NotFound
// for what cannot be one.
func claimOf(r *http.Request) (telamon.ClaimID, error) {
	b, err := hex.DecodeString(r.PathValue("claim"))
	if err != nil || len(b) != 16 {
		return "", fault.New(fault.NotFound, "claim_not_found", "Not found")
	}
	return telamon.ClaimIDFromBytes([16]byte(b)), nil
}

// claimBody is a claim as the API shows it. Times are Unix seconds.
type claimBody struct {
	ID         string          `json:"id"`
	Status     string          `json:"status"` // PENDING or VERIFIED; clients know no other word
	Domain     string          `json:"domain,omitempty"`
	IPAddress  string          `json:"ip_address,omitempty"`
	CreatedAt  int64           `json:"created_at"`
	ExpiresAt  int64           `json:"expires_at"` // 0: never verified
	AssertBy   int64           `json:"assert_by"`
	Token      string          `json:"token"`
	Log        []claimLogEntry `json:"log"` // never null
	VerifiedAt int64           `json:"last_verified_at,omitempty"`
	Method     string          `json:"last_verification_method,omitempty"`
}

type claimLogEntry struct {
	Status      string `json:"status"`
	Description string `json:"description"`
	Timestamp   int64  `json:"timestamp"`
	Method      string `json:"method"`
}

// methodName is the API's word for a method.
func methodName(m telamon.Method) string {
	switch {
	case m == telamon.MethodHTTP:
		return "HTTP"
	case m.IsEmail():
		return "EMAIL"
	case m == "":
		return ""
	default:
		return "DNS"
	}
}

func (k claimsOf) body(c *telamon.Claim, log []telamon.ClaimLogEntry) claimBody {
	b := claimBody{
		ID: claimID(c.ID), Status: "PENDING", CreatedAt: c.CreatedAt.Unix(), AssertBy: c.AssertBy.Unix(), Token: k.ra.TokenValue(c),
		Log: make([]claimLogEntry, len(log)), Method: methodName(c.Method),
	}
	if c.Status == telamon.ClaimVerified {
		b.Status = "VERIFIED"
	}
	if !c.ExpiresAt.IsZero() {
		b.ExpiresAt, b.VerifiedAt = c.ExpiresAt.Unix(), c.VerifiedAt.Unix()
	}
	b.Domain, b.IPAddress = k.names(c)
	for i, e := range log {
		b.Log[i] = claimLogEntry{string(e.Status), e.Description, e.At.Unix(), methodName(e.Method)}
	}
	return b
}

// names returns what is claimed, as the API spells it: domains have a final dot.
func (k claimsOf) names(c *telamon.Claim) (domain, address string) {
	if k.kind == telamon.ClaimIP {
		return "", c.Name
	}
	return c.Name + ".", ""
}

// tokenBody is the answer of submit and reassert.
type tokenBody struct {
	Token     string `json:"token"`
	AssertBy  int64  `json:"assert_by"`
	ID        string `json:"id"`
	Domain    string `json:"domain,omitempty"`
	IPAddress string `json:"ip_address,omitempty"`
}

// writeToken answers 201 with the claim's token and where the claim is.
func (k claimsOf) writeToken(c *call, claim *telamon.Claim) error {
	body := tokenBody{Token: k.ra.TokenValue(claim), AssertBy: claim.AssertBy.Unix(), ID: claimID(claim.ID)}
	body.Domain, body.IPAddress = k.names(claim)
	c.w.Header().Set("Location", base+k.path+"/"+body.ID)
	c.w.Header().Set("Content-Type", typeJSON)
	return writeBody(c.w, http.StatusCreated, body)
}

// submit serves POST /claims/domains/{domain}. A name that is claimed already is
// answered with that claim, since clients cannot live with a refusal.
func (k claimsOf) submit(c *call) error {
	claim, err := k.ra.SubmitClaim(c.r.Context(), c.actor, k.kind, c.r.PathValue("claim"))
	if err != nil {
		return err
	}
	return k.writeToken(c, claim)
}

// reassert serves POST /claims/domains/{id}/reassert.
func (k claimsOf) reassert(c *call) error {
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	claim, err := k.ra.ReassertClaim(c.r.Context(), c.actor, k.kind, id)
	if err != nil {
		return err
	}
	return k.writeToken(c, claim)
}

// show serves GET /claims/domains/{id}.
func (k claimsOf) show(c *call) error {
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	claim, log, err := k.ra.Claim(c.r.Context(), c.actor, k.kind, id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, k.body(claim, log))
}

// delete serves DELETE /claims/domains/{id}.
func (k claimsOf) delete(c *call) error {
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	if err := k.ra.DeleteClaim(c.r.Context(), c.actor, k.kind, id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// list serves GET /claims/domains.
func (k claimsOf) list(c *call) error {
	listing, q, err := parseClaimsQuery(c.r.URL.RawQuery, k.kind)
	if err != nil {
		return err
	}
	claims, total, err := k.ra.Claims(c.r.Context(), c.actor, *listing)
	if err != nil {
		return err
	}
	body := make([]claimBody, len(claims)) // never null
	for i := range claims {
		body[i] = k.body(&claims[i].Claim, claims[i].Log)
	}
	c.w.Header().Set("Total-Count", strconv.FormatInt(total, 10))
	c.w.Header().Set("Links", q.links(k.path, total))
	return writeJSON(c.w, body)
}

// allowedDomains serves GET /claims/domains/{id}/dns.
func (k claimsOf) allowedDomains(c *call) error {
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	names, err := k.ra.AllowedDomains(c.r.Context(), c.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, append([]string{}, names...)) // never null
}

// checkDNS serves POST /claims/domains/{id}/dns.
func (k claimsOf) checkDNS(c *call) error {
	adn, _, err := decodeCheck(c.body, "authorization_domain")
	if err != nil {
		return err
	}
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	verified, err := k.ra.CheckDNS(c.r.Context(), c.actor, id, adn)
	return writeChecked(c, verified, err)
}

// checkHTTP serves POST /claims/domains/{id}/http.
func (k claimsOf) checkHTTP(c *call) error {
	member := "authorization_domain"
	if k.kind == telamon.ClaimIP {
		member = "authorization_ip_address"
	}
	adn, scheme, err := decodeCheck(c.body, member)
	if err != nil {
		return err
	}
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	verified, err := k.ra.CheckHTTP(c.r.Context(), c.actor, k.kind, id, scheme, adn)
	return writeChecked(c, verified, err)
}

// writeChecked answers a check: 204 if the claim is verified, and 201 if it is not
// yet, for whatever reason: the claim's log says which.
func writeChecked(c *call, verified bool, err error) error {
	switch {
	case err != nil:
		return err
	case verified:
		c.w.WriteHeader(http.StatusNoContent)
	default:
		c.w.Header().Set("Content-Length", "0")
		c.w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// contactsBody lists mailboxes that a source publishes.
type contactsBody struct {
	Emails []string `json:"emails"`
	Errors []string `json:"errors,omitempty"`
}

// mailboxesBody is the answer to GET /claims/domains/{id}/email. SOA is there because
// clients decode it; its contacts have not been allowed since 2025 (SC-080).
type mailboxesBody struct {
	Constructed []string `json:"constructed"`
	DNS         struct {
		SOA contactsBody `json:"SOA"`
		CAA contactsBody `json:"CAA"`
		TXT contactsBody `json:"TXT"`
	} `json:"DNS"`
}

// mailboxes serves GET /claims/domains/{id}/email.
func (k claimsOf) mailboxes(c *call) error {
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	found, err := k.ra.Mailboxes(c.r.Context(), c.actor, id)
	if err != nil {
		return err
	}
	body := mailboxesBody{Constructed: []string{}}
	body.DNS.SOA.Emails, body.DNS.CAA.Emails, body.DNS.TXT.Emails = []string{}, []string{}, []string{}
	body.DNS.CAA.Errors = found.Problems
	for _, box := range found.List {
		switch box.Method {
		case telamon.MethodEmailCAA:
			body.DNS.CAA.Emails = append(body.DNS.CAA.Emails, box.Address)
		case telamon.MethodEmailTXT:
			body.DNS.TXT.Emails = append(body.DNS.TXT.Emails, box.Address)
		default:
			body.Constructed = append(body.Constructed, box.Address)
		}
	}
	return writeJSON(c.w, body)
}

// sendMail serves POST /claims/domains/{id}/email: 201 when the mail is in the outbox.
func (k claimsOf) sendMail(c *call) error {
	address, err := decodeMailbox(c.body)
	if err != nil {
		return err
	}
	id, err := claimOf(c.r)
	if err != nil {
		return err
	}
	verified, err := k.ra.SendApproval(c.r.Context(), c.actor, id, address)
	return writeChecked(c, verified, err)
}
