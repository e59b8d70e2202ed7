package admin

import (
	"encoding/json"
	"maps"
	"slices"
)

// paged are the parameters of lists that are cut.
var paged = map[string]string{
	"after": "the part after the one whose answer had this as next",
	"limit": "how many objects at most, 1 to 1000; 100 without it",
}

// ofEvents are those of lists of audit events.
var ofEvents = with(paged, map[string]string{
	"actor": "of this actor alone", "action": "of this action alone, such as certificate.issue", "object": "about this object alone",
	"result": "with this result alone: ok, or the code of a refusal", "from": "a time: none before it", "to": "a time: none from it on",
	"newest": "true: the newest first",
})

func with(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

const (
	anAccount     = "/accounts/{account}"
	aUser         = anAccount + "/users/{user}"
	aToken        = anAccount + "/tokens/{api_token}"
	anIdentity    = anAccount + "/identities/{identity}"
	aCredential   = anAccount + "/credentials/{credential}"
	aClientCert   = anAccount + "/client-certificates/{client_certificate}"
	aKeyPair      = anAccount + "/key-pairs/{key_pair}"
	subscriptions = anAccount + "/subscriptions"
)

// operations documents every route: what it does, the body that it takes, the one that it
// answers, and the parameters of its query.
var operations = map[string]operation{
	mePattern: {"who calls, and as what", nil, Me{}, nil},

	"GET /accounts":                                  {"lists accounts", nil, List[Account]{}, paged},
	"POST /accounts":                                 {"makes an account", NewAccount{}, Account{}, nil},
	"GET " + anAccount:                               {"an account", nil, Account{}, nil},
	"PUT " + anAccount + "/service-period":           {"sets when the account's users may act", ServicePeriod{}, nil, nil},
	"POST " + anAccount + "/disable":                 {"refuses everything of the account, at once", nil, nil, nil},
	"POST " + anAccount + "/enable":                  {"ends that", nil, nil, nil},
	"DELETE " + anAccount:                            {"ends the account for ever", nil, nil, nil},
	"POST " + anAccount + "/make-staff":              {"makes it the account of the CA's own staff", nil, nil, nil},
	"GET " + anAccount + "/audit/events":             {"lists the account's audit events", nil, AuditList{}, ofEvents},
	"POST " + anAccount + "/invitations":             {"invites somebody by mail", NewInvitation{}, Invitation{}, nil},
	"GET " + anAccount + "/invitations":              {"lists invitations that nobody has accepted yet", nil, List[Invitation]{}, nil},
	"GET " + anAccount + "/users":                    {"lists the users", nil, List[User]{}, paged},
	"POST " + anAccount + "/users":                   {"makes a person or a service user, whose API token is in this answer alone", NewUser{}, CreatedUser{}, nil},
	"GET " + aUser:                                   {"a user", nil, User{}, nil},
	"PUT " + aUser:                                   {"changes a user", UserChange{}, nil, nil},
	"POST " + aUser + "/disable":                     {"refuses everything of the user, at once", nil, nil, nil},
	"POST " + aUser + "/enable":                      {"ends that", nil, nil, nil},
	"POST " + aUser + "/lock":                        {"locks the user until somebody unlocks them", nil, nil, nil},
	"POST " + aUser + "/unlock":                      {"unlocks the user", nil, nil, nil},
	"DELETE " + aUser:                                {"ends the user for ever", nil, nil, nil},
	"POST " + aUser + "/password":                    {"sets a person's password", Password{}, nil, nil},
	"POST " + aUser + "/roles":                       {"replaces the user's roles of the portal", Roles{}, nil, nil},
	"POST " + aUser + "/reset-factors":               {"takes the second factors from a person who has lost theirs", nil, nil, nil},
	"POST " + aUser + "/client-certificates":         {"issues a client certificate of the user", NewUserCertificate{}, IssuedUserCertificate{}, nil},
	"GET " + aUser + "/tokens":                       {"lists the user's API tokens", nil, List[APIToken]{}, nil},
	"POST " + aUser + "/tokens":                      {"makes an API token, which is in this answer alone", NewAPIToken{}, CreatedAPIToken{}, nil},
	"GET " + aToken:                                  {"an API token", nil, APIToken{}, nil},
	"PUT " + aToken:                                  {"changes an API token", APITokenChange{}, nil, nil},
	"POST " + aToken + "/disable":                    {"refuses the API token, at once", nil, nil, nil},
	"POST " + aToken + "/enable":                     {"ends that", nil, nil, nil},
	"DELETE " + aToken:                               {"ends the API token for ever", nil, nil, nil},
	"GET " + anAccount + "/identities":               {"lists the identities", nil, List[Identity]{}, paged},
	"POST " + anAccount + "/identities":              {"makes a draft of an identity", IdentityData{}, Identity{}, nil},
	"GET " + anIdentity:                              {"an identity", nil, Identity{}, nil},
	"PUT " + anIdentity:                              {"edits a draft", IdentityData{}, nil, nil},
	"POST " + anIdentity + "/move":                   {"moves an identity to another state", IdentityMove{}, nil, nil},
	"GET " + subscriptions:                           {"lists the subscriptions", nil, List[Subscription]{}, paged},
	"POST " + subscriptions:                          {"subscribes the account to a service", NewSubscription{}, Subscription{}, nil},
	"GET " + subscriptions + "/{subscription}/lots":  {"lists the parts of a quota", nil, List[Lot]{}, nil},
	"POST " + subscriptions + "/{subscription}/lots": {"grants quota", NewLot{}, Lot{}, nil},

	"GET /quotes":                   {"lists quotes, the newest first", nil, List[Quote]{}, paged},
	"GET " + anAccount + "/quotes":  {"lists the account's quotes, the newest first", nil, List[Quote]{}, paged},
	"POST " + anAccount + "/quotes": {"makes a draft of a quote", NewQuote{}, Quote{}, nil},
	"GET /quotes/{quote}":           {"a quote", nil, Quote{}, nil},
	"PUT /quotes/{quote}":           {"replaces what a draft says", NewQuote{}, Quote{}, nil},
	"POST /quotes/{quote}/send":     {"shows a draft to its account, whose buyers are mailed", nil, Quote{}, nil},
	"POST /quotes/{quote}/clear":    {"says that the credit of an accepted quote is good: it becomes active", nil, Quote{}, nil},
	"POST /quotes/{quote}/cancel":   {"ends a quote; what is left of the quota of an active one is lost", CancelQuote{}, Quote{}, nil},

	"GET " + anAccount + "/credentials":          {"lists the API credentials", nil, List[Credential]{}, paged},
	"POST " + anAccount + "/credentials":         {"makes an API credential, whose secret is in this answer alone", NewCredential{}, CreatedCredential{}, nil},
	"GET " + aCredential:                         {"an API credential", nil, Credential{}, nil},
	"POST " + aCredential + "/disable":           {"refuses the credential, at once", nil, nil, nil},
	"POST " + aCredential + "/enable":            {"ends that", nil, nil, nil},
	"DELETE " + aCredential:                      {"ends the credential for ever", nil, nil, nil},
	"POST " + aCredential + "/relink":            {"moves the credential to another subscription and identity", Relink{}, nil, nil},
	"PUT " + aCredential + "/allowed-ips":        {"replaces the networks from which the credential may log in", AllowedIPs{}, nil, nil},
	"POST " + anAccount + "/onboard":             {"makes a credential, encrypted for a public key, with its mTLS certificate", Onboard{}, Onboarding{}, nil},
	"GET " + anAccount + "/client-certificates":  {"lists the client certificates", nil, List[ClientCertificate]{}, paged},
	"POST " + anAccount + "/client-certificates": {"issues an mTLS certificate of credentials", NewClientCertificate{}, IssuedClientCertificate{}, nil},
	"GET " + aClientCert:                         {"a client certificate", nil, ClientCertificate{}, nil},
	"POST " + aClientCert + "/disable":           {"refuses the certificate, at once", nil, nil, nil},
	"POST " + aClientCert + "/enable":            {"ends that", nil, nil, nil},
	"POST " + aClientCert + "/revoke":            {"revokes the certificate", Revocation{}, nil, nil},
	"POST " + aClientCert + "/links":             {"changes the credentials that the certificate is good for", Links{}, nil, nil},
	"GET " + anAccount + "/key-pairs":            {"lists the key pairs that sign hashes", nil, List[KeyPair]{}, paged},
	"POST " + anAccount + "/key-pairs":           {"makes a key pair, whose private key stays in the keystore", NewKeyPair{}, KeyPair{}, nil},
	"GET " + aKeyPair:                            {"a key pair", nil, KeyPair{}, nil},
	"POST " + aKeyPair + "/disable":              {"has the key pair sign nothing", nil, nil, nil},
	"POST " + aKeyPair + "/enable":               {"ends that", nil, nil, nil},
	"POST " + aKeyPair + "/revoke":               {"revokes the key pair's certificate", Revocation{}, nil, nil},
	"DELETE " + aKeyPair:                         {"ends the key pair for ever", nil, nil, nil},

	"GET /services":           {"lists the services", nil, List[Service]{}, paged},
	"POST /services":          {"makes a service; needs a second operator", ServiceSpec{}, Service{}, nil},
	"GET /services/{service}": {"a service, by its ID or its name", nil, Service{}, nil},
	"PUT /services/{service}": {"changes a service; needs a second operator", ServiceSpec{}, Service{}, nil},

	"GET /status":                          {"how the server does", nil, Status{}, nil},
	"GET /audit/events":                    {"lists audit events", nil, AuditList{}, with(ofEvents, map[string]string{"account": "of this account alone"})},
	"GET /audit/checkpoint":                {"the newest checkpoint of the audit log", nil, Checkpoint{}, nil},
	"GET /audit/events/{event}/proof":      {"proves that an event is in the audit log", nil, AuditProof{}, nil},
	"POST /audit/verify":                   {"verifies the audit log", Verify{}, Verification{}, nil},
	"GET /issuers":                         {"lists roots and issuing CAs", nil, List[Issuer]{}, nil},
	"GET /issuers/requests":                {"what a ceremony needs to sign the issuing CAs to come", nil, json.RawMessage{}, nil},
	"POST /issuers/plan":                   {"makes the next issuing CAs; needs a second operator", IssuerPlan{}, List[PlannedIssuer]{}, nil},
	"POST /issuers/import":                 {"brings certificates of issuing CAs; needs a second operator", IssuerImport{}, List[PlannedIssuer]{}, nil},
	"POST /issuers/{issuer}/retire":        {"ends an issuing CA; needs a second operator", IssuerRetirement{}, RetiredIssuer{}, nil},
	"POST /issuers/{issuer}/revoke":        {"has the root revoke an issuing CA; needs a second operator", IssuerRevocation{}, RetiredIssuer{}, nil},
	"POST /issuers/cross":                  {"has a root signed by another CA; needs a second operator", NewCross{}, Cross{}, nil},
	"PUT /issuers/{issuer}/chain":          {"chooses the chain that is shown; needs a second operator", UseCross{}, nil, nil},
	"GET /issuers/{issuer}/chains":         {"lists the chains of an issuer", nil, List[Chain]{}, nil},
	"GET /series":                          {"lists how issuing CAs are rotated", nil, List[SeriesSchedule]{}, nil},
	"POST /series/{series}/rotate":         {"switches to the next issuing CA; needs a second operator", IssuerRotation{}, Switch{}, nil},
	"POST /series/{series}/schedule":       {"changes how issuing CAs are rotated; needs a second operator", SeriesSchedule{}, SeriesSchedule{}, nil},
	"GET /crls":                            {"lists the CRLs and when the next are due", nil, List[CRL]{}, nil},
	"POST /crls/publish":                   {"publishes CRLs now", PublishCRLs{}, List[CRL]{}, nil},
	"POST /crls/import":                    {"brings a CRL that was signed elsewhere", ImportCRL{}, CRL{}, nil},
	"GET /crls/{issuer}/request":           {"what a ceremony needs to sign the next CRL", nil, json.RawMessage{}, nil},
	"GET /certificates/{serial}/evidence":  {"how the names of a certificate were validated", nil, CertificateEvidence{}, nil},
	"POST /certificates/{serial}/revoke":   {"revokes a certificate of whatever account", RevokeCertificate{}, Revoked{}, nil},
	"GET /revocations":                     {"lists bulk revocations", nil, List[Bulk]{}, paged},
	"POST /revocations":                    {"plans a bulk revocation, and counts", NewBulk{}, Bulk{}, nil},
	"GET /revocations/{revocation}":        {"a bulk revocation", nil, Bulk{}, nil},
	"POST /revocations/{revocation}/begin": {"begins a bulk revocation; needs a second operator", nil, Bulk{}, nil},
	"GET /keys":                            {"lists keys that are certified no more", nil, List[BlockedKey]{}, paged},
	"POST /keys":                           {"blocks a key", BlockKey{}, nil, nil},
	"DELETE /keys/{key}":                   {"certifies a blocked key again; needs a second operator", nil, nil, map[string]string{"account": "for which it is blocked; without it for all"}},
	"GET /cases":                           {"lists cases by which certificates must be revoked", nil, List[Case]{}, paged},
	"POST /cases":                          {"opens a case", NewCase{}, Case{}, nil},
	"GET /cases/categories":                {"lists the categories of cases with their times", nil, List[Deadline]{}, nil},
	"GET /cases/{case}":                    {"a case", nil, Case{}, nil},
	"POST /cases/{case}/close":             {"closes a case", CloseCase{}, Case{}, nil},
	"GET /approvals":                       {"lists what waits for a second operator, or did", nil, List[Approval]{}, paged},
	"GET /approvals/{approval}":            {"what waits for a second operator", nil, Approval{}, nil},
	"POST /approvals/{approval}/approve":   {"approves it, and carries it out", Approve{}, Approval{}, nil},
	"POST /approvals/{approval}/reject":    {"rejects it", nil, Approval{}, nil},
}
