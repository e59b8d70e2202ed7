package iam_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// ovForm is a form without a mistake.
func ovForm() iam.IdentityForm {
	return iam.IdentityForm{Type: telamon.IdentityTLSOV, Name: "Tokyo", Data: map[string]string{
		"organization": "東京ガス株式会社", "locality": "東京", "country": "JP", "state": "",
	}}
}

// administrator is the administrator of an account.
func (w *world) administrator(t testing.TB, account telamon.AccountID, email string) telamon.Actor {
	t.Helper()
	u := got(w.CreateUser(t.Context(), operator, iam.NewUser{
		Account: account, Email: email, Name: "Ada", Roles: []string{authz.RoleAdministrator},
	}))(t)
	return telamon.Actor{Kind: telamon.ActorUser, Account: account, User: u.ID, UserName: u.Name, Roles: u.Roles}
}

// withoutOrganization is a policy that takes no text of an identity.
func withoutOrganization(name string) iam.ServiceSpec {
	spec := serviceSpec(name)
	spec.PolicyTemplate = []byte(strings.Replace(template, `{"presence": "STATIC", "format": "{{identity.organization}}"}`, `{"presence": "FORBIDDEN"}`, 1))
	return spec
}

func TestIdentityForm(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx := t.Context()
	good := got(w.DraftIdentity(ctx, operator, w.account, ovForm()))(t)
	if _, blank := good.Data["state"]; blank || good.State != telamon.IdentityDraft || good.Type != telamon.IdentityTLSOV {
		t.Errorf("the draft is %+v", good)
	}
	for _, tt := range []struct {
		name, path string
		change     func(*iam.IdentityForm)
	}{
		{"65 characters of organization", "data.organization", func(f *iam.IdentityForm) { f.Data["organization"] = strings.Repeat("京", 65) }},
		{"129 characters of locality", "data.locality", func(f *iam.IdentityForm) { f.Data["locality"] = strings.Repeat("x", 129) }},
		{"a country that is none", "data.country", func(f *iam.IdentityForm) { f.Data["country"] = "XX" }},
		{"a country in lower case", "data.country", func(f *iam.IdentityForm) { f.Data["country"] = "jp" }},
		{"a dash for a locality", "data.locality", func(f *iam.IdentityForm) { f.Data["locality"] = "-" }},
		{"dots for a state", "data.state", func(f *iam.IdentityForm) { f.Data["state"] = ". ." }},
		{"no organization", "data.organization", func(f *iam.IdentityForm) { delete(f.Data, "organization") }},
		{"an organizational unit of a server", "data", func(f *iam.IdentityForm) { f.Data["organizational_unit"] = "IT" }},
		{"no name", "name", func(f *iam.IdentityForm) { f.Name = "" }},
		{"a customer of an account that has none", "customer", func(f *iam.IdentityForm) {
			f.Customer = &telamon.Contact{Name: "Bob", Email: "bob@example.com"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := ovForm()
			tt.change(&f)
			err := errorOf(w.DraftIdentity(t.Context(), operator, w.account, f))
			mustBe(t, err, fault.Invalid, "invalid_identity")
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != tt.path {
				t.Errorf("the fields are %v, want %s alone", f.Fields, tt.path)
			}
		})
	}
	f := ovForm()
	f.Type = "none"
	mustBe(t, errorOf(w.DraftIdentity(ctx, operator, w.account, f)), fault.Invalid, "identity_type")
	if !field.IsCountry("GB") || field.IsCountry("UK") || field.IsCountry("") || len(field.Countries()) != 249 {
		t.Error("the countries are not those of ISO 3166-1")
	}
	f = ovForm()
	f.Data["organization"] = strings.Repeat("京", 64)
	if kept := got(w.DraftIdentity(ctx, operator, w.account, f))(t).Data["organization"]; kept != f.Data["organization"] {
		t.Error("an organization of 64 characters was changed")
	}
}

// TestSubmitIdentity checks what needs vetting and what does not, that nobody changes what
// was submitted (IDN-01), and that there is a product for it (IDN-02).
func TestSubmitIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		ada := w.administrator(t, w.account, "ada@example.com")
		draft := got(w.DraftIdentity(ctx, ada, w.account, ovForm()))(t)
		changed := ovForm()
		changed.Name = "Osaka"
		must(t, w.ReviseIdentity(ctx, ada, w.account, draft.ID, changed))
		must(t, w.SubmitIdentity(ctx, ada, w.account, draft.ID))
		mustBe(t, w.ReviseIdentity(ctx, ada, w.account, draft.ID, changed), fault.Conflict, "identity_submitted")
		mustBe(t, w.EditIdentity(ctx, operator, w.account, draft.ID, "x", nil), fault.Conflict, "identity_submitted")
		mustBe(t, w.SubmitIdentity(ctx, ada, w.account, draft.ID), fault.Conflict, "identity_submitted")
		if i := got(w.Identity(ctx, ada, w.account, draft.ID))(t); i.State != telamon.IdentityQueued || i.Name != "Osaka" {
			t.Errorf("what was submitted is %+v", i)
		}
		cases := got(w.IdentityCases(ctx, ada, w.account, draft.ID))(t)
		if len(cases) != 1 || cases[0].Reference() != "VET-2026-000001" || cases[0].State != telamon.VettingQueued {
			t.Errorf("the cases are %+v", cases)
		}
		for _, to := range []telamon.IdentityState{telamon.IdentityProcessed, telamon.IdentityRejected} {
			err := w.MoveIdentity(ctx, telamon.Actor{Kind: telamon.ActorUser, Account: w.other, User: ada.User, Roles: []string{authz.RoleVettingAgent}},
				w.account, draft.ID, iam.IdentityMove{To: to, Reason: "no case"})
			mustBe(t, err, fault.Denied, "vetting_case")
		}
		dv := iam.IdentityForm{Type: telamon.IdentityTLSDV, Name: "names"}
		mustBe(t, errorOf(w.DraftIdentity(ctx, ada, w.account, dv)), fault.Conflict, "no_such_product")
		names := got(w.CreateService(ctx, operator, withoutOrganization("names")))(t)
		sub := got(w.Subscribe(ctx, operator, w.account, names.ID))(t)
		active := got(w.DraftIdentity(ctx, ada, w.account, dv))(t)
		must(t, w.SubmitIdentity(ctx, ada, w.account, active.ID))
		if i := got(w.Identity(ctx, ada, w.account, active.ID))(t); i.State != telamon.IdentityActive || !i.ExpiresAt.IsZero() {
			t.Errorf("the identity of names is %+v, want an active one", i)
		}
		fitting := func(sub telamon.SubscriptionID) []telamon.Identity {
			return got(w.Fitting(ctx, ada, w.account, sub))(t)
		}
		if list := fitting(sub.ID); len(list) != 2 || list[0].ID != w.identity || list[1].ID != active.ID {
			t.Errorf("for the service of names there are %+v, want that of the operator and that of names", list)
		}
		if list := fitting(w.sub); len(list) != 1 || list[0].ID != w.identity {
			t.Errorf("for the service of organizations there are %+v, want that of the operator", list)
		}
		err := errorOf3(w.CreateCredential(ctx, operator, iam.CredentialSpec{Account: w.account, Name: "dv", Subscription: w.sub, Identity: active.ID}))
		mustBe(t, err, fault.Invalid, "identity_type")
	})
}

// TestEnsureDVIdentity checks that several products that are accepted at once make one
// identity (requirement 18).
func TestEnsureDVIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		finance := w.administrator(t, w.other, "fin@example.com")
		finance.Roles = []string{authz.RoleFinance}
		var group sync.WaitGroup
		made := make([]bool, 4)
		for n := range made {
			group.Go(func() {
				var err error
				if made[n], err = w.EnsureDVIdentity(ctx, finance, w.other); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		count := 0
		for _, one := range made {
			if one {
				count++
			}
		}
		all := got(w.Identities(ctx, operator, w.other, store.Page{Limit: 9}))(t)
		if count != 1 || len(all) != 1 || all[0].State != telamon.IdentityActive || all[0].Type != telamon.IdentityTLSDV {
			t.Errorf("%d were made, and there are %+v", count, all)
		}
		mustBe(t, errorOf(w.EnsureDVIdentity(ctx, finance, w.account)), fault.NotFound, "not_found")
	})
}

func TestNameRequesters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		ada := w.administrator(t, w.account, "ada@example.com")
		eve := w.administrator(t, w.other, "eve@example.com")
		if i := got(w.Identity(ctx, ada, w.account, w.identity))(t); !i.MayRequest(ada.User) {
			t.Error("at first somebody may not request")
		}
		must(t, w.NameRequesters(ctx, ada, w.account, w.identity, []telamon.UserID{ada.User, ada.User}))
		i := got(w.Identity(ctx, ada, w.account, w.identity))(t)
		if len(i.Requesters) != 1 || !i.MayRequest(ada.User) || i.MayRequest(eve.User) {
			t.Errorf("the requesters are %v", i.Requesters)
		}
		mustBe(t, w.NameRequesters(ctx, ada, w.account, w.identity, []telamon.UserID{eve.User}), fault.Invalid, "invalid_requesters")
		mustBe(t, w.NameRequesters(ctx, eve, w.other, w.identity, nil), fault.NotFound, "identity_not_found")
		must(t, w.NameRequesters(ctx, ada, w.account, w.identity, []telamon.UserID{}))
		if i := got(w.Identity(ctx, ada, w.account, w.identity))(t); i.MayRequest(ada.User) {
			t.Error("a list of nobody lets somebody")
		}
		must(t, w.NameRequesters(ctx, ada, w.account, w.identity, nil))
		if i := got(w.Identity(ctx, ada, w.account, w.identity))(t); !i.MayRequest(eve.User) {
			t.Error("without a list somebody is kept out")
		}
	})
}
