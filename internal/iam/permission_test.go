package iam_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// A useCase is called by an actor for an account, with the IDs of an account's
// objects, which need not be the same account's.
type useCase struct {
	name string
	call func(ctx context.Context, actor telamon.Actor, account telamon.AccountID) error
	// owned says that it names an object of an account. Others are about the
	// platform or the account itself, make something new, or list.
	owned bool
}

// useCases are all use cases but Login and Authorize, on objects of w.account.
func useCases(t testing.TB, w *world) []useCase {
	t.Helper()
	l := w.newLogin(t, "api", good(0))
	credential, cert := l.credential.ID, l.cert
	pair := got(w.Credential(t.Context(), operator, w.account, credential))(t).Pair
	user := got(w.CreateUser(t.Context(), operator, newUser(w, "ada@example.com")))(t).ID
	own := got(w.GenerateUserCert(t.Context(), telamon.Actor{Kind: telamon.ActorUser, Account: w.account, User: user, Token: telamon.NewAPITokenID()},
		iam.GeneratedCertRequest{Name: "own"}))(t)
	made, _, err := w.CreateAPIToken(t.Context(), operator, iam.NewAPIToken{Account: w.account, User: user, Name: "first"})
	must(t, err)
	token := made.ID
	event := got(w.db.AuditEvents(t.Context(), store.AuditFilter{Account: w.account, Limit: 1}))(t).Events[0].ID
	mail := telamon.NewMailID()
	must(t, w.db.PutExtra(t.Context(), store.Extra{Mails: []store.Mail{{ID: mail, Account: w.account, Recipient: "ada@example.com", Template: "claim_verified", Params: []byte("{}")}}}))
	draft := got(w.CreateIdentity(t.Context(), operator, w.account, "draft", nil))(t).ID
	page, key, csr := store.Page{Limit: 9}, good(1).public(t), good(1).csr(t)
	spec := func(a telamon.AccountID) iam.CredentialSpec {
		return iam.CredentialSpec{Account: a, Name: "new", Subscription: w.sub, Identity: w.identity}
	}
	type (
		ctx   = context.Context
		actor = telamon.Actor
		acc   = telamon.AccountID
	)
	return []useCase{
		{"CreateAccount", func(c ctx, by actor, a acc) error {
			return errorOf(w.CreateAccount(c, by, iam.NewAccount{Name: "new"}))
		}, false},
		{"Account", func(c ctx, by actor, a acc) error { return errorOf(w.Account(c, by, a)) }, false},
		{"AccountNamed", func(c ctx, by actor, a acc) error { return errorOf(w.AccountNamed(c, by, "Acme")) }, false},
		{"Accounts", func(c ctx, by actor, a acc) error { return errorOf(w.Accounts(c, by, page)) }, false},
		{"SetServicePeriod", func(c ctx, by actor, a acc) error { return w.SetServicePeriod(c, by, a, iam.Period{}) }, false},
		{"DisableAccount", func(c ctx, by actor, a acc) error { return w.DisableAccount(c, by, a) }, false},
		{"EnableAccount", func(c ctx, by actor, a acc) error { return w.EnableAccount(c, by, a) }, false},
		{"DeleteAccount", func(c ctx, by actor, a acc) error { return w.DeleteAccount(c, by, a) }, false},
		{"CreateUser", func(c ctx, by actor, a acc) error { return errorOf(w.CreateUser(c, by, newUser(w, "b@example.com"))) }, false},
		{"CreateServiceUser", func(c ctx, by actor, a acc) error {
			return errorOf3(w.CreateServiceUser(c, by, newServiceUser(a, "new")))
		}, false},
		{"CreateAPIToken", func(c ctx, by actor, a acc) error {
			return errorOf3(w.CreateAPIToken(c, by, iam.NewAPIToken{Account: a, User: user, Name: "new"}))
		}, true},
		{"APITokens", func(c ctx, by actor, a acc) error { return errorOf(w.APITokens(c, by, a, user)) }, true},
		{"APIToken", func(c ctx, by actor, a acc) error { return errorOf(w.APIToken(c, by, a, token)) }, true},
		{"UpdateAPIToken", func(c ctx, by actor, a acc) error {
			return errorOf(w.UpdateAPIToken(c, by, a, token, iam.APITokenChange{Enabled: new(bool)}))
		}, true},
		{"DeleteAPIToken", func(c ctx, by actor, a acc) error { return w.DeleteAPIToken(c, by, a, token) }, true},
		{"UpdateUser", func(c ctx, by actor, a acc) error {
			return errorOf(w.UpdateUser(c, by, a, user, iam.UserChange{Description: new(string)}))
		}, true},
		{"FindUsers", func(c ctx, by actor, a acc) error { return errorOf(w.FindUsers(c, by, a, iam.UserFilter{})) }, false},
		{"Me", func(c ctx, by actor, a acc) error { return errorOf3(w.Me(c, by)) }, false},
		{"User", func(c ctx, by actor, a acc) error { return errorOf(w.User(c, by, a, user)) }, true},
		{"Users", func(c ctx, by actor, a acc) error { return errorOf(w.Users(c, by, a, page)) }, false},
		{"DisableUser", func(c ctx, by actor, a acc) error { return w.DisableUser(c, by, a, user) }, true},
		{"EnableUser", func(c ctx, by actor, a acc) error { return w.EnableUser(c, by, a, user) }, true},
		{"DeleteUser", func(c ctx, by actor, a acc) error { return w.DeleteUser(c, by, a, user) }, true},
		{"LockUser", func(c ctx, by actor, a acc) error { return w.LockUser(c, by, a, user) }, true},
		{"UnlockUser", func(c ctx, by actor, a acc) error { return w.UnlockUser(c, by, a, user) }, true},
		{"SetPassword", func(c ctx, by actor, a acc) error { return w.SetPassword(c, by, a, user, "a new password") }, true},
		{"CreateIdentity", func(c ctx, by actor, a acc) error { return errorOf(w.CreateIdentity(c, by, a, "new", nil)) }, false},
		{"EditIdentity", func(c ctx, by actor, a acc) error { return w.EditIdentity(c, by, a, draft, "new", nil) }, true},
		{"DraftIdentity", func(c ctx, by actor, a acc) error {
			return errorOf(w.DraftIdentity(c, by, a, iam.IdentityForm{Type: telamon.IdentityTLSDV, Name: "new"}))
		}, false},
		{"ReviseIdentity", func(c ctx, by actor, a acc) error {
			return w.ReviseIdentity(c, by, a, draft, iam.IdentityForm{Name: "new"})
		}, true},
		{"IsServiceProvider", func(c ctx, by actor, a acc) error { return errorOf(w.IsServiceProvider(c, by, a)) }, false},
		{"SubmitIdentity", func(c ctx, by actor, a acc) error { return w.SubmitIdentity(c, by, a, draft) }, true},
		{"EnsureDVIdentity", func(c ctx, by actor, a acc) error { return errorOf(w.EnsureDVIdentity(c, by, a)) }, false},
		{"VetAgain", func(c ctx, by actor, a acc) error { return errorOf(w.VetAgain(c, by, a, w.identity)) }, true},
		{"IdentityCases", func(c ctx, by actor, a acc) error { return errorOf(w.IdentityCases(c, by, a, draft)) }, true},
		{"NameRequesters", func(c ctx, by actor, a acc) error { return w.NameRequesters(c, by, a, draft, nil) }, true},
		{"OfferedTypes", func(c ctx, by actor, a acc) error { return errorOf(w.OfferedTypes(c, by, a)) }, false},
		{"Fitting", func(c ctx, by actor, a acc) error { return errorOf(w.Fitting(c, by, a, w.sub)) }, true},
		{"Identity", func(c ctx, by actor, a acc) error { return errorOf(w.Identity(c, by, a, draft)) }, true},
		{"Identities", func(c ctx, by actor, a acc) error { return errorOf(w.Identities(c, by, a, page)) }, false},
		{"MoveIdentity", func(c ctx, by actor, a acc) error {
			return w.MoveIdentity(c, by, a, draft, iam.IdentityMove{To: telamon.IdentityQueued})
		}, true},
		{"CreateService", func(c ctx, by actor, a acc) error { return errorOf(w.CreateService(c, by, serviceSpec("new"))) }, false},
		{"ChangeService", func(c ctx, by actor, a acc) error {
			return errorOf(w.ChangeService(c, by, w.service, 1, serviceSpec("")))
		}, false},
		{"Service", func(c ctx, by actor, a acc) error { return errorOf(w.Service(c, by, w.service)) }, false},
		{"ServiceNamed", func(c ctx, by actor, a acc) error { return errorOf(w.ServiceNamed(c, by, "tls")) }, false},
		{"Services", func(c ctx, by actor, a acc) error { return errorOf(w.Services(c, by, page)) }, false},
		{"Subscribe", func(c ctx, by actor, a acc) error { return errorOf(w.Subscribe(c, by, a, w.service)) }, false},
		{"Subscriptions", func(c ctx, by actor, a acc) error { return errorOf(w.Subscriptions(c, by, a, page)) }, false},
		{"Offers", func(c ctx, by actor, a acc) error { return errorOf(w.Offers(c, by, a)) }, false},
		{"PairOf", func(c ctx, by actor, a acc) error { return errorOf(w.PairOf(c, by, a, pair)) }, true},
		{"Pairs", func(c ctx, by actor, a acc) error { return errorOf(w.Pairs(c, by, a)) }, false},
		{"PairFor", func(c ctx, by actor, a acc) error { return errorOf(w.PairFor(c, by, a, w.sub, w.identity)) }, true},
		{"Claimants", func(c ctx, by actor, a acc) error { return errorOf(w.Claimants(c, by, a)) }, false},
		{"DomainPair", func(c ctx, by actor, a acc) error { return errorOf(w.DomainPair(c, by, a, w.identity)) }, true},
		{"GrantQuota", func(c ctx, by actor, a acc) error {
			return errorOf(w.GrantQuota(c, by, iam.Grant{Account: a, Subscription: w.sub, Amount: 1, EndsAt: w.clock.Now().AddDate(1, 0, 0)}))
		}, true},
		{"Quota", func(c ctx, by actor, a acc) error { return errorOf(w.Quota(c, by, a, w.sub)) }, true},
		{"CreateCredential", func(c ctx, by actor, a acc) error { return errorOf3(w.CreateCredential(c, by, spec(a))) }, true},
		{"CreateEncryptedCredential", func(c ctx, by actor, a acc) error {
			return errorOf3(w.CreateEncryptedCredential(c, by, spec(a), key))
		}, true},
		{"Onboard", func(c ctx, by actor, a acc) error { return errorOf(w.Onboard(c, by, spec(a), key)) }, true},
		{"Credential", func(c ctx, by actor, a acc) error { return errorOf(w.Credential(c, by, a, credential)) }, true},
		{"Credentials", func(c ctx, by actor, a acc) error { return errorOf(w.Credentials(c, by, a, page)) }, false},
		{"DisableCredential", func(c ctx, by actor, a acc) error { return w.DisableCredential(c, by, a, credential) }, true},
		{"EnableCredential", func(c ctx, by actor, a acc) error { return w.EnableCredential(c, by, a, credential) }, true},
		{"DeleteCredential", func(c ctx, by actor, a acc) error { return w.DeleteCredential(c, by, a, credential) }, true},
		{"RelinkCredential", func(c ctx, by actor, a acc) error {
			return w.RelinkCredential(c, by, a, credential, w.sub, w.identity)
		}, true},
		{"FittingIdentities", func(c ctx, by actor, a acc) error { return errorOf(w.FittingIdentities(c, by, a, w.sub)) }, true},
		{"SetAllowedIPs", func(c ctx, by actor, a acc) error { return w.SetAllowedIPs(c, by, a, credential, nil) }, true},
		{"IssueClientCert", func(c ctx, by actor, a acc) error {
			return errorOf(w.IssueClientCert(c, by, iam.ClientCertRequest{Account: a, Credentials: []telamon.CredentialID{credential}, CSR: csr}))
		}, true},
		{"ClientCert", func(c ctx, by actor, a acc) error { return errorOf(w.ClientCert(c, by, a, cert)) }, true},
		{"ClientCertChain", func(c ctx, by actor, a acc) error { return errorOf3(w.ClientCertChain(c, by, a, cert)) }, true},
		{"ClientCerts", func(c ctx, by actor, a acc) error { return errorOf(w.ClientCerts(c, by, a, page)) }, false},
		{"DisableClientCert", func(c ctx, by actor, a acc) error { return w.DisableClientCert(c, by, a, cert) }, true},
		{"EnableClientCert", func(c ctx, by actor, a acc) error { return w.EnableClientCert(c, by, a, cert) }, true},
		{"RevokeClientCert", func(c ctx, by actor, a acc) error { return w.RevokeClientCert(c, by, a, cert, "") }, true},
		{"RevokeClientCert without a reason that is known", func(c ctx, by actor, a acc) error {
			return w.RevokeClientCert(c, by, a, cert, "none")
		}, false},
		{"IssueUserCert", func(c ctx, by actor, _ acc) error {
			return errorOf(w.IssueUserCert(c, by, iam.UserCertRequest{User: user, CSR: csr, Name: "new"}))
		}, false},
		{"GenerateUserCert", func(c ctx, by actor, _ acc) error {
			return errorOf(w.GenerateUserCert(c, by, iam.GeneratedCertRequest{User: user, Name: "new"}))
		}, false},
		{"UserCerts", func(c ctx, by actor, _ acc) error { return errorOf(w.UserCerts(c, by, user)) }, false},
		{"AccountUserCerts", func(c ctx, by actor, a acc) error { return errorOf(w.AccountUserCerts(c, by, a)) }, false},
		{"UserCertUses", func(c ctx, by actor, a acc) error { return errorOf(w.UserCertUses(c, by, a)) }, false},
		{"UserCertChain", func(c ctx, by actor, _ acc) error { return errorOf3(w.UserCertChain(c, by, own.ID)) }, false},
		{"InspectUserCSR", func(c ctx, by actor, _ acc) error { return errorOf3(w.InspectUserCSR(c, by, csr)) }, false},
		{"UpdateMe", func(c ctx, by actor, _ acc) error {
			return errorOf(w.UpdateMe(c, by, iam.Profile{Name: "a", Locale: "en_US"}))
		}, false},
		{"CertHolders", func(c ctx, by actor, a acc) error { return errorOf(w.CertHolders(c, by, a)) }, false},
		{"CertTerm", func(c ctx, by actor, _ acc) error { return errorOf(w.CertTerm(c, by, user)) }, false},
		{"UserCert", func(c ctx, by actor, _ acc) error { return errorOf(w.UserCert(c, by, own.ID)) }, false},
		{"DisableUserCert", func(c ctx, by actor, _ acc) error { return errorOf(w.DisableUserCert(c, by, own.ID)) }, false},
		{"EnableUserCert", func(c ctx, by actor, _ acc) error { return errorOf(w.EnableUserCert(c, by, own.ID)) }, false},
		{"DeleteUserCert", func(c ctx, by actor, _ acc) error { return w.DeleteUserCert(c, by, own.ID) }, false},
		{"DownloadPKCS12", func(c ctx, by actor, _ acc) error {
			return errorOf(w.DownloadPKCS12(c, by, own.ID, own.Download.Reveal()))
		}, false},
		{"AccountAdmins", func(c ctx, by actor, a acc) error { return errorOf(w.AccountAdmins(c, by, a)) }, false},
		{"Roles", func(c ctx, by actor, a acc) error { return errorOf(w.Roles(c, by)) }, false},
		{"ChangeClientCertLinks", func(c ctx, by actor, a acc) error {
			return w.ChangeClientCertLinks(c, by, a, cert, []telamon.CredentialID{credential}, nil)
		}, true},
		{"Mails", func(c ctx, by actor, a acc) error { return errorOf(w.Mails(c, by, store.MailFilter{Account: a})) }, false},
		{"Mail", func(c ctx, by actor, a acc) error { return errorOf(w.Mail(c, by, a, mail)) }, false},
		{"AccountSettings", func(c ctx, by actor, a acc) error { return errorOf(w.AccountSettings(c, by, a)) }, false},
		{"SetAccountSettings", func(c ctx, by actor, a acc) error {
			return w.SetAccountSettings(c, by, a, store.AccountSettings{})
		}, false},
		{"AuditEvents", func(c ctx, by actor, a acc) error {
			return errorOf(w.AuditEvents(c, by, store.AuditFilter{Account: a}))
		}, false},
		{"AuditEvent", func(c ctx, by actor, a acc) error { return errorOf(w.AuditEvent(c, by, a, event)) }, true},
		{"AuditProof", func(c ctx, by actor, a acc) error { return errorOf(w.AuditProof(c, by, a, event)) }, true},
		{"AuditNames", func(c ctx, by actor, a acc) error { return errorOf(w.AuditNames(c, by, a, []string{user.String()})) }, false},
		{"Activities", func(c ctx, by actor, a acc) error {
			return errorOf3(w.Activities(c, by, store.ActivityFilter{Account: a, Limit: 9}))
		}, false},
	}
}

// TestPermissions checks that no actor but the platform's own may call any use
// case, not even an API credential on what is its account's; and that an operator
// who names an object under another account finds nothing.
func TestPermissions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		all := useCases(t, w)
		mustBeAll(t, all)
		events := len(got(w.db.AuditEvents(ctx, store.AuditFilter{}))(t).Events)
		actors := map[string]telamon.Actor{
			"nobody": {}, "a stranger": {Kind: telamon.ActorAnonymous}, "an unknown kind": {Kind: "root", Account: w.account},
			"a credential of the account": {Kind: telamon.ActorCredential, Account: w.account},
		}
		for name, actor := range actors {
			for _, u := range all {
				if err := u.call(ctx, actor, w.account); !fault.Is(err, fault.Denied) || fault.From(err).Code != "access_denied" {
					t.Errorf("%s by %s: %v, want denied", u.name, name, err)
				}
			}
		}
		for _, u := range all {
			if !u.owned {
				continue
			}
			for _, account := range []telamon.AccountID{w.other, telamon.NewAccountID(), ""} {
				if err := u.call(ctx, operator, account); !fault.Is(err, fault.NotFound) {
					t.Errorf("%s of account %q: %v, want not found", u.name, account, err)
				}
			}
		}
		if after := len(got(w.db.AuditEvents(ctx, store.AuditFilter{}))(t).Events); after != events {
			t.Errorf("what was refused wrote %d events", after-events)
		}
		if c := got(w.Credentials(ctx, operator, w.account, store.Page{Limit: 9}))(t); len(c) != 1 || c[0].State != telamon.Active || c[0].Epoch != 1 {
			t.Errorf("what was refused left %+v", c)
		}
	})
}

// mustBeAll checks that every method of an actor is among the use cases.
func mustBeAll(t testing.TB, all []useCase) {
	t.Helper()
	methods, actor := reflect.TypeFor[*iam.IAM](), reflect.TypeFor[telamon.Actor]()
	for i := range methods.NumMethod() {
		m := methods.Method(i)
		if m.Type.NumIn() < 3 || m.Type.In(2) != actor {
			continue
		}
		if !slices.ContainsFunc(all, func(u useCase) bool { return u.name == m.Name }) {
			t.Errorf("%s is not tried", m.Name)
		}
	}
}
