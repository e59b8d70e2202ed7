package iam

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"regexp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
)

// Shown is what a request shows of the user that it is from.
type Shown struct {
	Key             string // the API key; empty: none
	Certificate     []byte // DER of the certificate whose key the TLS handshake proved; nil: none
	AsksCertificate bool   // the request came by the face that asks for certificates; on others one counts for nothing
	Address         netip.Addr
}

// Reasons why a user's key or certificate is refused, beside those of logins.
const (
	nothingShown        reason = "nothing_shown"
	differentUsers      reason = "credentials_of_different_users"
	keyMalformed        reason = "api_key_malformed"
	apiTokenUnknown     reason = "api_token_unknown"
	apiTokenDisabled    reason = "api_token_disabled"
	apiTokenDeleted     reason = "api_token_deleted"
	apiTokenExpired     reason = "api_token_expired"
	userDisabled        reason = "user_disabled"
	userLocked          reason = "user_locked"
	userExpired         reason = "user_expired"
	userDeleted         reason = "user_deleted"
	accountOutOfService reason = "account_out_of_service" // before or after its service period
)

// actionAuthenticate is the action of audit events that count refused keys and
// certificates of users.
const actionAuthenticate = "user.authenticate"

// standing is how a key or a certificate stands that a request may show.
type standing uint8

// The standings.
const (
	absent standing = iota
	unusable
	usable
)

// evidence is a key or a certificate that a request may show, once it was judged.
type evidence struct {
	standing standing
	user     telamon.UserID // whose it is, if it is usable
}

// factors says by what a user is authenticated.
type factors struct{ key, cert bool }

// decide returns by which factors a request is authenticated: its user is that of any of
// them (digicert-one.md, Section 3.3, step 3). A certificate that is unusable counts as
// none; a key that is unusable fails, whatever there is beside it.
func decide(key, cert evidence, asksCertificate bool) (factors, error) {
	if !asksCertificate {
		cert = evidence{}
	}
	switch {
	case key.standing == unusable:
		return factors{}, errInvalidKey()
	case key.standing == absent && cert.standing == usable:
		return factors{cert: true}, nil
	case key.standing == absent && asksCertificate:
		return factors{}, fault.New(fault.Denied, "no_authentication_data", "No authentication data provided")
	case key.standing == absent:
		return factors{}, errInvalidKey()
	case cert.standing != usable:
		return factors{key: true}, nil
	case cert.user != key.user:
		return factors{}, fault.New(fault.Denied, "credentials_of_different_users",
			"API key and client authentication certificate belong to different users")
	}
	return factors{key: true, cert: true}, nil
}

func errInvalidKey() error {
	return fault.New(fault.Unauthenticated, "invalid_api_key", "Missing or invalid API key")
}

// judged is a key or a certificate with all that was found out about it.
type judged struct {
	evidence
	owner *telamon.User       // nil: nobody's
	token *telamon.APIToken   // of a key
	cert  *telamon.ClientCert // of a certificate
	// Of one that is unusable: why, what it is called in the audit log, and the account
	// that it is of, empty if it is nobody's.
	why     reason
	object  string
	account telamon.AccountID
}

// AuthenticateUser returns the user who acts by what a request shows, with Token set if
// its key counts and ClientCert if its certificate does. The state of everything is
// looked at anew at each call. The caller sets the RequestID.
//
// It reports Unauthenticated with invalid_api_key, and Denied with no_authentication_data
// or credentials_of_different_users, of which the audit log has the reason; and
// Unavailable.
func (s *IAM) AuthenticateUser(ctx context.Context, shown Shown) (telamon.Actor, error) {
	key, err := s.judgeKey(ctx, shown.Key)
	if err != nil {
		return telamon.Actor{}, err
	}
	var cert judged
	if shown.AsksCertificate && len(shown.Certificate) > 0 {
		if cert, err = s.judgeUserCert(ctx, shown.Certificate); err != nil {
			return telamon.Actor{}, err
		}
	}
	by, err := decide(key.evidence, cert.evidence, shown.AsksCertificate)
	s.countRefused(shown.Address, key, cert, err != nil)
	if err != nil {
		return telamon.Actor{}, err
	}
	actor := telamon.Actor{Kind: telamon.ActorUser, Address: shown.Address.Unmap()}
	owner := key.owner
	if by.key {
		actor.Token = key.token.ID
	}
	if by.cert {
		actor.ClientCert, owner = cert.cert.ID, cert.owner
	}
	actor.Account, actor.User, actor.UserName, actor.Roles = owner.Account, owner.ID, owner.Name, owner.Roles
	if by.cert {
		now := s.clock.Now()
		s.lastUses.add(actor.ClientCert, now)
		if cert.cert.FirstUsedAt.IsZero() {
			s.uses.add(actor, now)
		}
	}
	return actor, nil
}

// countRefused counts what was shown and is unusable, also beside something usable, and
// what made the whole be refused.
func (s *IAM) countRefused(address netip.Addr, key, cert judged, refused bool) {
	count := func(account telamon.AccountID, object string, why reason) {
		s.refusedUsers.Add(audit.Refusal{Address: address, Account: account, Credential: object, Reason: string(why)})
	}
	for _, one := range []judged{key, cert} {
		if one.account == "" && key.standing == usable {
			one.account = key.owner.Account // a stranger's certificate beside a good key: its user wants to know
		}
		if one.standing == unusable {
			count(one.account, one.object, one.why)
		}
	}
	switch {
	case !refused || key.standing == unusable || cert.standing == unusable:
	case key.standing == absent:
		count("", "", nothingShown)
	default:
		count(cert.owner.Account, cert.cert.ID.String(), differentUsers)
		count(key.owner.Account, key.token.ID.String(), differentUsers)
	}
}

// nameDeletedTokens gives refusals of API tokens that are not known any more to the account
// that deleted them: somebody there may wait to see who still uses one. The directory,
// which must not grow for ever, has forgotten them. It changes what it can.
func (s *IAM) nameDeletedTokens(ctx context.Context, refusals []telamon.Event) {
	for i := range refusals {
		e := &refusals[i]
		if e.Action != actionAuthenticate || e.Result != string(apiTokenUnknown) {
			continue
		}
		found, err := s.store.FindAPIToken(ctx, e.Object)
		if err != nil {
			return
		}
		for _, token := range found.APITokens {
			if token.State == telamon.Deleted {
				e.Account, e.Object, e.Result = token.Account, token.ID.String(), string(apiTokenDeleted)
			}
		}
	}
}

// apiKeyShape is the form of an API key: what it is looked up by, and a secret
// (digicert-one.md, Section 3.1).
var apiKeyShape = regexp.MustCompile(`^(01[0-9a-f]{24})_([0-9a-f]{64})$`)

// parseAPIKey returns the two parts of an API key, and false if it cannot be one.
func parseAPIKey(text string) (lookup, secret string, ok bool) {
	parts := apiKeyShape.FindStringSubmatch(text)
	if parts == nil {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// apiTokenMAC returns what is kept of a token's secret part. It binds the secret to its
// token, so that it proves nothing in another one's row.
func (s *IAM) apiTokenMAC(id telamon.APITokenID, pepper int, secret string) []byte {
	return s.keys.MAC("api_token", pepper, []byte(id.String()+"\x00"+secret))
}

// judgeKey judges an API key, the empty one as absent.
func (s *IAM) judgeKey(ctx context.Context, text string) (judged, error) {
	if text == "" {
		return judged{}, nil
	}
	refused := judged{evidence: evidence{standing: unusable}}
	lookup, secret, ok := parseAPIKey(text)
	if !ok {
		refused.why = keyMalformed
		return refused, nil
	}
	token, err := s.directory.APIToken(ctx, lookup)
	if fault.Is(err, fault.NotFound) {
		s.apiTokenMAC("", s.keys.PepperVersion(), secret) // as long as for a known one
		refused.why, refused.object = apiTokenUnknown, lookup
		return refused, nil
	}
	if err != nil {
		return judged{}, err
	}
	refused.object, refused.account = token.ID.String(), token.Account
	mac := s.apiTokenMAC(token.ID, token.PepperVersion, secret)
	switch {
	case subtle.ConstantTimeCompare(mac, token.SecretMAC) != 1:
		refused.why = secretWrong
	case token.State == telamon.Deleted:
		refused.why = apiTokenDeleted
	case token.State != telamon.Active:
		refused.why = apiTokenDisabled
	case !token.Usable(s.clock.Now()):
		refused.why = apiTokenExpired
	}
	if refused.why != "" {
		return refused, nil
	}
	owner, why, err := s.judgeOwner(ctx, token.User)
	if err != nil {
		return judged{}, err
	}
	if refused.why = why; why != "" {
		return refused, nil
	}
	return judged{evidence: evidence{usable, owner.ID}, owner: owner, token: token}, nil
}

// judgeOwner returns the user, and why nothing of theirs is good now, or "".
func (s *IAM) judgeOwner(ctx context.Context, id telamon.UserID) (*telamon.User, reason, error) {
	user, err := s.directory.User(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil, userDeleted, nil
	}
	if err != nil {
		return nil, "", err
	}
	now := s.clock.Now()
	switch user.Status(now) {
	case telamon.UserActive:
	case telamon.UserLocked:
		return nil, userLocked, nil
	case telamon.UserExpired:
		return nil, userExpired, nil
	case telamon.UserDeleted:
		return nil, userDeleted, nil
	default:
		return nil, userDisabled, nil
	}
	account, err := s.directory.Account(ctx, user.Account)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return nil, "", err
	case err != nil || account.State != telamon.Active:
		return nil, accountDisabled, nil
	case !account.Usable(now):
		return nil, accountOutOfService, nil
	}
	return user, "", nil
}
