package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

const activityColumns = "account_id, at, id, user_id, user_name, name_key, action, resource_type, resource_id, failed, description, address"

var (
	activityTable     = newTable("activity", activityColumns, "")
	activityOnceTable = newTable("activity", activityColumns, " ON CONFLICT (account_id, at, id) DO NOTHING")
)

// The types of resources that activities are about (digicert-one.md, Section 6.6).
const (
	ResourceUser       = "user"
	ResourceToken      = "api_access_token"
	ResourceClientCert = "client_auth_cert"
	ResourceKeyPair    = "keypair"
	ResourceSession    = "session" // an authentication that named neither token nor certificate
)

// resourceTypes are all of them.
var resourceTypes = []string{ResourceUser, ResourceToken, ResourceClientCert, ResourceKeyPair, ResourceSession}

// actionAuthenticate is the action of audit events that tell of a user's authentication.
const actionAuthenticate = "user.authenticate"

// activities are the audit events that an account is shown, by their action, and what
// they are called there (digicert-one.md, Section 6.6, to which invite, lock, unlock, revoke and
// sign are added). Events that are not here are not shown.
var activities = map[string]struct{ action, resource string }{
	"user.create":       {"create", ResourceUser},
	"user.update":       {"update", ResourceUser},
	"user.set_roles":    {"update", ResourceUser},
	"user.set_password": {"update", ResourceUser},
	"user.disable":      {"disable", ResourceUser},
	"user.enable":       {"enable", ResourceUser},
	"user.lock":         {"lock", ResourceUser},
	"user.unlock":       {"unlock", ResourceUser},
	"user.delete":       {"delete", ResourceUser},
	"user.expire":       {"expire", ResourceUser},
	actionAuthenticate:  {"authenticate", ResourceSession}, // or what was shown: see resourceOf

	"user.sign_in":             {"authenticate", ResourceSession},
	"user.second_factor":       {"authenticate", ResourceSession},
	"user.register":            {"create", ResourceUser},
	"user.add_factor":          {"update", ResourceUser},
	"user.remove_factor":       {"update", ResourceUser},
	"user.reset_factor":        {"update", ResourceUser},
	"user.new_recovery_codes":  {"update", ResourceUser},
	"user.reset":               {"update", ResourceUser}, // the password, by a mailed link
	"user.link_oidc":           {"update", ResourceUser},
	"user.invite":              {"invite", ResourceUser},
	"user.invite_again":        {"invite", ResourceUser},
	"user.withdraw_invitation": {"delete", ResourceUser},

	"api_token.create":  {"create", ResourceToken},
	"api_token.update":  {"update", ResourceToken},
	"api_token.disable": {"disable", ResourceToken},
	"api_token.enable":  {"enable", ResourceToken},
	"api_token.delete":  {"delete", ResourceToken},
	"api_token.expire":  {"expire", ResourceToken},

	"client_certificate.issue":    {"create", ResourceClientCert},
	"client_certificate.use":      {"authenticate", ResourceClientCert}, // the first time
	"client_certificate.link":     {"update", ResourceClientCert},
	"client_certificate.disable":  {"disable", ResourceClientCert},
	"client_certificate.enable":   {"enable", ResourceClientCert},
	"client_certificate.revoke":   {"revoke", ResourceClientCert},
	"client_certificate.delete":   {"delete", ResourceClientCert},
	"client_certificate.download": {"download", ResourceClientCert},
	"client_certificate.expire":   {"expire", ResourceClientCert},

	"key_pair.create":  {"create", ResourceKeyPair},
	"key_pair.sign":    {"sign", ResourceKeyPair},
	"key_pair.disable": {"disable", ResourceKeyPair},
	"key_pair.enable":  {"enable", ResourceKeyPair},
	"key_pair.delete":  {"delete", ResourceKeyPair},
	"key_pair.revoke":  {"revoke", ResourceKeyPair},
}

// ActivityActions returns what activities tell of, in alphabetical order.
func ActivityActions() []string {
	var all []string
	for _, shown := range activities {
		all = append(all, shown.action)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ResourceTypes returns the types of what activities are about.
func ResourceTypes() []string { return slices.Clone(resourceTypes) }

// IsActivity reports whether events of the action have a row in activity, if they have
// an account.
func IsActivity(action string) bool {
	_, ok := activities[action]
	return ok
}

// appendActivity appends the row of an event that an account is shown to args, and
// nothing for another one. The event's user is known by ID and name, or there is none.
func appendActivity(args []any, e *telamon.Event) []any {
	shown, ok := activities[e.Action]
	if !ok || e.Account == "" {
		return args
	}
	id, _ := e.ID.Bytes() // appendEvent has refused an event without one
	kind, resource := resourceOf(e, shown.resource)
	name := strings.ToValidUTF8(e.Actor.UserName, "\uFFFD")
	if e.Actor.User == "" {
		name = e.Actor.Subject()
	}
	address := ""
	if e.Actor.Address.IsValid() {
		address = e.Actor.Address.String()
	}
	return append(args, e.Account.String(), e.At.UnixMilli(), id[:], e.Actor.User.String(), name, nameKey(name),
		shown.action, kind, resource, e.Result != "ok", activityDescription(e), address)
}

// resourceOf returns the type and the ID of what an event is about. An authentication is
// about what was shown.
func resourceOf(e *telamon.Event, kind string) (string, string) {
	object := strings.ToValidUTF8(e.Object, "\uFFFD")
	prefix, _, _ := strings.Cut(object, "_")
	if of, ok := resourcePrefixes[prefix]; ok && e.Action == actionAuthenticate {
		kind = of
	} else if strings.HasPrefix(e.Result, "certificate_") && e.Action == actionAuthenticate {
		kind = ResourceClientCert // by its serial number, since it is none of ours
	}
	return kind, activityResource(object)
}

// resourcePrefixes are the types of what may be shown to authenticate, by the prefix of
// its ID.
var resourcePrefixes = map[string]string{"mtl": ResourceClientCert, "tok": ResourceToken}

// activityResource returns an object as activities name it: an ID, prefixed or not, as
// the UUID of its 16 bytes, hexadecimal digits in upper case, as serial numbers are
// printed, and anything else as it is.
func activityResource(object string) string {
	for _, bytes := range []func() ([16]byte, bool){
		telamon.ClientCertID(object).Bytes, telamon.APITokenID(object).Bytes, telamon.UserID(object).Bytes, telamon.KeyPairID(object).Bytes,
	} {
		if b, ok := bytes(); ok {
			return uuid.UUID(b).String()
		}
	}
	if id, err := uuid.Parse(object); err == nil && len(object) == 36 {
		return id.String()
	}
	if strings.Trim(object, "0123456789abcdefABCDEF") == "" {
		return strings.ToUpper(object)
	}
	return object
}

// activityDescription says in a sentence why what an event tells of failed, and nothing if
// it did not.
func activityDescription(e *telamon.Event) string {
	if e.Result == "ok" {
		return ""
	}
	text := reasonSentence(strings.ToValidUTF8(e.Result, "\uFFFD"))
	if counted, ok := e.After.(audit.RefusalCount); ok && counted.Count > 1 {
		text += fmt.Sprintf(" %d times between %s and %s.", counted.Count, counted.First.Format("15:04:05"), counted.Last.Format("15:04:05"))
	}
	return text
}

// reasonSentences are the reasons of package iam for refusing users, as accounts read them.
var reasonSentences = map[string]string{
	"nothing_shown":                  "Neither an API key nor a certificate was shown.",
	"credentials_of_different_users": "The API key and the certificate belong to different users.",
	"api_key_malformed":              "What was shown cannot be an API key.",
	"secret_wrong":                   "The secret part of the API key is wrong.",
	"api_token_unknown":              "The API token is not known.",
	"api_token_disabled":             "The API token is disabled.",
	"api_token_deleted":              "The API token was deleted.",
	"api_token_expired":              "The API token has expired.",
	"user_disabled":                  "The user is disabled.",
	"user_locked":                    "The user is locked.",
	"user_expired":                   "The user's end date has passed.",
	"user_deleted":                   "The user was deleted.",
	"account_disabled":               "The account is not active.",
	"account_out_of_service":         "The account is outside its service period.",
	"certificate_unknown":            "The certificate is none of this platform.",
	"certificate_of_no_user":         "The certificate is for API credentials and belongs to no user.",
	"certificate_disabled":           "The certificate is disabled.",
	"certificate_revoked":            "The certificate is revoked.",
	"certificate_deleted":            "The certificate was deleted.",
	"certificate_expired":            "The certificate has expired.",
	"certificate_not_yet_valid":      "The certificate is not valid yet.",
	"certificate_chain":              "The certificate was not signed by the issuing CA that it names.",
	"certificate_usage":              "The certificate is not for authenticating clients.",
	"certificate_issuer":             "The certificate's issuing CA is not valid any more.",
	audit.Others:                     "There were too many refusals to tell of each.",
}

// reasonSentence returns the sentence of a code. One that is not in the table is made into
// one, such as "Wrong password." of "wrong_password".
func reasonSentence(code string) string {
	if sentence, ok := reasonSentences[code]; ok {
		return sentence
	}
	words := strings.ReplaceAll(code, "_", " ")
	first := min(1, len(words))
	return strings.ToUpper(words[:first]) + words[first:] + "."
}

// activity writes the row of an event that an account is shown. Who authenticated in vain
// by what is some user's is shown as that user.
func (t *txn) activity(ctx context.Context, into *table, e telamon.Event) error {
	if e.Account == "" || !IsActivity(e.Action) {
		return nil
	}
	if err := t.nameUser(ctx, &e); err != nil {
		return fmt.Errorf("read whose %s is: %w", e.Object, err)
	}
	return t.insert(ctx, into, appendActivity(nil, &e))
}

// nameUser sets the ID and name of the user of an event, if it lacks them and there is one.
func (t *txn) nameUser(ctx context.Context, e *telamon.Event) error {
	account, who := e.Account.String(), e.Actor.User
	if who != "" && e.Actor.UserName != "" || who == "" && activities[e.Action].action != "authenticate" {
		return nil
	}
	set := func(id, name string) { e.Actor.User, e.Actor.UserName = telamon.UserID(id), name }
	if _, err := telamon.ParseUserID(e.Object); who == "" && err == nil {
		who = telamon.UserID(e.Object)
	}
	if who != "" {
		rows, err := t.NameOfUser(ctx, queries.NameOfUserParams{AccountID: account, ID: who.String()})
		for _, r := range rows {
			set(r.ID, r.Name)
		}
		return err
	}
	if _, err := telamon.ParseAPITokenID(e.Object); err == nil {
		rows, err := t.UserOfToken(ctx, queries.UserOfTokenParams{AccountID: account, ID: e.Object})
		for _, r := range rows {
			set(r.ID, r.Name)
		}
		return err
	}
	if _, err := telamon.ParseClientCertID(e.Object); err == nil {
		rows, err := t.UserOfClientCert(ctx, queries.UserOfClientCertParams{AccountID: account, ID: e.Object})
		for _, r := range rows {
			set(r.ID, r.Name)
		}
		return err
	}
	return nil
}
