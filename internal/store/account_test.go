package store_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// tenant is an account with all that a credential needs.
type tenant struct {
	account      telamon.Account
	service      telamon.Service
	subscription telamon.Subscription
	identity     telamon.Identity
}

func (w *world) newTenant(t testing.TB, name string) *tenant {
	t.Helper()
	ctx := t.Context()
	te := &tenant{account: telamon.Account{ID: telamon.NewAccountID(), Name: name}}
	te.service = telamon.Service{ID: telamon.NewServiceID(), Name: "service of " + name, PolicyTemplate: []byte(`{}`), Series: w.series}
	te.subscription = telamon.Subscription{ID: telamon.NewSubscriptionID(), Account: te.account.ID, Service: te.service.ID}
	te.identity = telamon.Identity{ID: telamon.NewIdentityID(), Account: te.account.ID, Name: "label", Data: map[string]string{"country": "JP"}}
	must(t, w.db.CreateAccount(ctx, operator, &te.account))
	must(t, w.db.CreateService(ctx, operator, &te.service))
	must(t, w.db.CreateSubscription(ctx, operator, &te.subscription))
	must(t, w.db.CreateIdentity(ctx, operator, &te.identity))
	return te
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (te *tenant) newCredential(name string) *telamon.Credential {
	id := telamon.NewCredentialID()
	return &telamon.Credential{
		ID: id, Account: te.account.ID, Name: name, Key: id.String()[len(id)-16:], SecretMAC: []byte("mac"), PepperVersion: 1,
		MTLS: telamon.MTLSRequired, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.1/32")},
	}
}

func (w *world) createCredential(t testing.TB, te *tenant, name string) *telamon.Credential {
	t.Helper()
	c := te.newCredential(name)
	must(t, w.db.CreateCredential(t.Context(), operator, c, te.subscription.ID, te.identity.ID, nil))
	return c
}

// newClientCert returns a client certificate that was not stored; its DER is the
// leaf's of the world.
func (w *world) newClientCert(t testing.TB, te *tenant, key string, credentials ...telamon.CredentialID) *telamon.ClientCert {
	t.Helper()
	id := telamon.NewClientCertID()
	cert, err := x509.ParseCertificate(w.blob.DER)
	must(t, err)
	return &telamon.ClientCert{
		ID: id, Account: te.account.ID, Fingerprint: sha256.Sum256([]byte(id)), Serial: telamon.NewSerial(w.clock.Now()),
		Issuer: w.issuer, Certificate: cert, SPKIHash: sha256.Sum256([]byte(key)), CRLShard: 3, NotAfter: cert.NotAfter.UTC(),
		Credentials: credentials,
	}
}

func TestAccounts(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx := t.Context()
		var made []telamon.Account
		for _, name := range []string{"B", "C", "D"} {
			a := telamon.Account{ID: telamon.NewAccountID(), Name: name}
			must(t, w.db.CreateAccount(ctx, operator, &a))
			made = append(made, a)
		}
		mustBe(t, w.db.CreateAccount(ctx, operator, &telamon.Account{ID: telamon.NewAccountID(), Name: "B"}), fault.Conflict, "name_taken")
		got, err := w.db.AccountByName(ctx, "C")
		if err != nil || got != made[1] {
			t.Errorf("AccountByName = %+v, %v, want %+v", got, err, made[1])
		}
		page, err := w.db.Accounts(ctx, store.Page{After: made[0].ID.String(), Limit: 1})
		if err != nil || len(page) != 1 || page[0] != made[1] {
			t.Errorf("the page after B = %+v, %v, want C", page, err)
		}
		steps := []struct {
			to   telamon.State
			code string // of the refusal
		}{
			{telamon.Active, "wrong_state"}, {telamon.Disabled, ""}, {telamon.Disabled, "wrong_state"}, {telamon.Active, ""},
			{telamon.Deleted, ""}, {telamon.Active, "wrong_state"}, {telamon.Disabled, "wrong_state"}, {telamon.Deleted, "wrong_state"},
		}
		for i, s := range steps {
			err := w.db.SetAccountState(ctx, operator, made[0].ID, s.to)
			if s.code == "" && err != nil {
				t.Errorf("step %d, to %s: %v", i, s.to, err)
			} else if s.code != "" {
				mustBe(t, err, fault.Conflict, s.code)
			}
		}
		for _, verb := range []string{"disable", "enable", "delete"} {
			if n := len(w.events(t, "account."+verb)); n != 1 {
				t.Errorf("%d events account.%s, want 1", n, verb)
			}
		}
		mustBe(t, w.db.SetAccountState(ctx, operator, telamon.NewAccountID(), telamon.Disabled), fault.NotFound, "account_not_found")
	})
}

func TestUsers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx := t.Context()
		u := telamon.User{ID: telamon.NewUserID(), Account: w.account, Email: "a@example.com", Name: "A", Roles: []string{"auditor", "finance"}}
		must(t, w.db.CreateUser(ctx, operator, &u))
		again := telamon.User{ID: telamon.NewUserID(), Account: w.account, Email: "a@example.com"}
		mustBe(t, w.db.CreateUser(ctx, operator, &again), fault.Conflict, "email_taken")
		must(t, w.db.SetUserPassword(ctx, operator, w.account, u.ID, "$argon2id$x"))
		must(t, w.db.SetUserState(ctx, operator, w.account, u.ID, telamon.Disabled))
		u.PasswordHash, u.State = "$argon2id$x", telamon.Disabled
		list, err := w.db.Users(ctx, w.account, store.Page{Limit: 10})
		if diff := cmp.Diff([]telamon.User{u}, list); diff != "" || err != nil {
			t.Errorf("users (-want +got), %v:\n%s", err, diff)
		}
		must(t, w.db.SetUserState(ctx, operator, w.account, u.ID, telamon.Deleted))
		mustBe(t, w.db.SetUserPassword(ctx, operator, w.account, u.ID, "x"), fault.NotFound, "user_not_found")
		for _, e := range w.events(t, "user.set_password") {
			if strings.Contains(string(e.After)+string(e.Before), "argon2id") {
				t.Errorf("the audit log has the password's hash: %s", e.After)
			}
		}
	})
}

func TestIdentities(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		id := te.identity.ID
		must(t, w.db.EditIdentity(ctx, operator, &telamon.Identity{ID: id, Account: te.account.ID, Name: "new", Data: map[string]string{"country": "SE"}}))
		expires := clock.Now().Add(398 * 24 * time.Hour).Truncate(time.Millisecond)
		move := store.IdentityMove{From: telamon.IdentityDraft, To: telamon.IdentityQueued, Action: "identity.submit", ExpiresAt: expires}
		must(t, w.db.MoveIdentity(ctx, operator, te.account.ID, id, move))
		mustBe(t, w.db.MoveIdentity(ctx, operator, te.account.ID, id, move), fault.Conflict, "changed_meanwhile")
		mustBe(t, w.db.EditIdentity(ctx, operator, &telamon.Identity{ID: id, Account: te.account.ID, Name: "later"}), fault.Conflict, "identity_submitted")
		got, err := w.db.Identity(ctx, te.account.ID, id)
		want := telamon.Identity{
			ID: id, Account: te.account.ID, Name: "new", Data: map[string]string{"country": "SE"}, State: telamon.IdentityQueued,
			ExpiresAt: expires, CreatedAt: te.identity.CreatedAt,
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("the identity (-want +got), %v:\n%s", err, diff)
		}
	})
}

func TestServices(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		mine, theirs := te.service, te.service
		clock.Advance(time.Second)
		mine.PolicyTemplate, mine.StrictCAA = []byte(`{"a":1}`), true
		must(t, w.db.ChangeService(ctx, operator, &mine))
		if mine.Version != 2 || !mine.ChangedAt.After(mine.CreatedAt) {
			t.Errorf("the changed service has version %d, changed at %s; want 2, later than %s", mine.Version, mine.ChangedAt, mine.CreatedAt)
		}
		mustBe(t, w.db.ChangeService(ctx, operator, &theirs), fault.Conflict, "changed_meanwhile")
		got, err := w.db.ServiceByName(ctx, mine.Name)
		if diff := cmp.Diff(mine, got); diff != "" || err != nil {
			t.Errorf("the service (-want +got), %v:\n%s", err, diff)
		}
		again := telamon.Service{ID: telamon.NewServiceID(), Name: mine.Name, PolicyTemplate: []byte(`{}`), Series: w.series}
		mustBe(t, w.db.CreateService(ctx, operator, &again), fault.Conflict, "name_taken")
	})
}

func TestLots(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te, other := t.Context(), w.newTenant(t, "Tenant"), w.newTenant(t, "Other")
		now := clock.Now().Truncate(time.Millisecond)
		late := telamon.Lot{ID: telamon.NewLotID(), Subscription: te.subscription.ID, Amount: 5, StartsAt: now, ExpiresAt: now.Add(2 * time.Hour)}
		soon := telamon.Lot{ID: telamon.NewLotID(), Subscription: te.subscription.ID, Amount: 7, StartsAt: now, ExpiresAt: now.Add(time.Hour)}
		must(t, w.db.GrantLot(ctx, operator, te.account.ID, &late))
		must(t, w.db.GrantLot(ctx, operator, te.account.ID, &soon))
		mustBe(t, w.db.GrantLot(ctx, operator, other.account.ID, &soon), fault.NotFound, "subscription_not_found")
		lots, err := w.db.Lots(ctx, te.account.ID, te.subscription.ID)
		if diff := cmp.Diff([]telamon.Lot{soon, late}, lots); diff != "" || err != nil {
			t.Errorf("lots (-want +got), %v:\n%s", err, diff)
		}
		if lots, err := w.db.Lots(ctx, other.account.ID, te.subscription.ID); len(lots) != 0 || err != nil {
			t.Errorf("another account sees the lots %v, %v", lots, err)
		}
	})
}

func TestCredentialLife(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		c := w.createCredential(t, te, "first")
		dup := te.newCredential("first")
		mustBe(t, w.db.CreateCredential(ctx, operator, dup, te.subscription.ID, te.identity.ID, nil), fault.Conflict, "name_taken")
		epochAfter := func(step string, want int64) {
			t.Helper()
			got, err := w.db.Credential(ctx, te.account.ID, c.ID)
			if err != nil || got.Epoch != want {
				t.Errorf("after %s the epoch is %d, %v, want %d", step, got.Epoch, err, want)
			}
		}
		set := func(to telamon.State) {
			t.Helper()
			if _, err := w.db.SetCredentialState(ctx, operator, te.account.ID, c.ID, to); err != nil {
				t.Errorf("to %s: %v", to, err)
			}
		}
		set(telamon.Disabled)
		epochAfter("disable", 2)
		set(telamon.Active)
		epochAfter("enable", 3)
		must(t, w.db.SetCredentialAddresses(ctx, operator, te.account.ID, c.ID, nil))
		epochAfter("the allow-list", 4)
		identity := telamon.Identity{ID: telamon.NewIdentityID(), Account: te.account.ID, Name: "second"}
		must(t, w.db.CreateIdentity(ctx, operator, &identity))
		must(t, w.db.RelinkCredential(ctx, operator, te.account.ID, c.ID, te.subscription.ID, identity.ID))
		epochAfter("relink", 5)
		must(t, w.db.NoteCredentialUse(ctx, c.ID, clock.Now(), netip.MustParseAddr("192.0.2.9"), telamon.Event{
			Actor: operator, Account: te.account.ID, Action: "credential.login", Object: c.ID.String(), Result: "ok",
		}))
		epochAfter("a login", 5)
		list, err := w.db.Credentials(ctx, te.account.ID, store.Page{Limit: 10})
		if err != nil || len(list) != 1 {
			t.Fatalf("Credentials = %v, %v, want one", list, err)
		}
		want := *c
		want.AllowedIPs, want.Epoch, want.Pair = nil, 5, list[0].Pair
		want.LastUsedAt, want.LastUsedFrom = clock.Now().Truncate(time.Millisecond), "192.0.2.9"
		if diff := cmp.Diff(want, list[0], comparers); diff != "" {
			t.Errorf("the credential (-want +got):\n%s", diff)
		}
		if list[0].Pair == c.Pair {
			t.Errorf("the pair is still %d after the relink", c.Pair)
		}
		set(telamon.Deleted)
		mustBe(t, w.db.SetCredentialAddresses(ctx, operator, te.account.ID, c.ID, nil), fault.Conflict, "wrong_state")
		if _, err := w.db.SetCredentialState(ctx, operator, te.account.ID, c.ID, telamon.Active); !fault.Is(err, fault.Conflict) {
			t.Errorf("a deleted credential was enabled: %v", err)
		}
	})
}

// comparers compare types with unexported fields.
var comparers = cmp.Options{
	cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty(),
}

// TestPairsAtOnce makes pairs by two processes' worth of writers: each subscription
// and identity must get one, and no number may be given twice.
func TestPairsAtOnce(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url, clock)
		w := newWorld(t, db, clock)
		te := w.newTenant(t, "Tenant")
		var identities []telamon.IdentityID
		for range 3 {
			identity := telamon.Identity{ID: telamon.NewIdentityID(), Account: te.account.ID}
			must(t, db.CreateIdentity(t.Context(), operator, &identity))
			identities = append(identities, identity.ID)
		}
		type made struct {
			identity telamon.IdentityID
			pair     telamon.PairID
			err      error
		}
		results := make(chan made)
		for i := range 12 {
			go func() {
				c, identity := te.newCredential("c"+string(rune('a'+i))), identities[i%len(identities)]
				err := db.CreateCredential(t.Context(), operator, c, te.subscription.ID, identity, nil)
				results <- made{identity, c.Pair, err}
			}()
		}
		pairs := map[telamon.IdentityID]telamon.PairID{}
		for range 12 {
			r := <-results
			if r.err != nil {
				t.Errorf("create: %v", r.err)
			} else if p, ok := pairs[r.identity]; ok && p != r.pair {
				t.Errorf("%s has the pairs %d and %d", r.identity, p, r.pair)
			}
			pairs[r.identity] = r.pair
		}
		if n := w.number(t, "SELECT count(*) FROM pair WHERE account_id = $1", te.account.ID.String()); n != 3 || len(pairs) != 3 {
			t.Errorf("there are %d pairs and %d were given, want 3", n, len(pairs))
		}
	})
}

func TestClientCerts(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx, te, other := t.Context(), w.newTenant(t, "Tenant"), w.newTenant(t, "Other")
		first, second := w.createCredential(t, te, "first"), w.createCredential(t, te, "second")
		foreign := w.createCredential(t, other, "first")
		cert := w.newClientCert(t, te, "key", first.ID)
		must(t, w.db.CreateClientCert(ctx, operator, cert))
		mustBe(t, w.db.CreateClientCert(ctx, operator, w.newClientCert(t, other, "key", foreign.ID)), fault.Conflict, "key_of_another_account")
		must(t, w.db.CreateClientCert(ctx, operator, w.newClientCert(t, te, "key", second.ID)))
		mustBe(t, w.db.CreateClientCert(ctx, operator, w.newClientCert(t, te, "key 2", foreign.ID)), fault.NotFound, "credential_not_found")
		if owner, err := w.db.ClientKeyOwner(ctx, cert.SPKIHash); owner != te.account.ID || err != nil {
			t.Errorf("the key's owner is %q, %v, want %s", owner, err, te.account.ID)
		}
		change := func(add, remove []telamon.CredentialID) error {
			return w.db.ChangeClientCertLinks(ctx, operator, te.account.ID, cert.ID, add, remove)
		}
		mustBe(t, change([]telamon.CredentialID{foreign.ID}, nil), fault.NotFound, "credential_not_found")
		mustBe(t, change(nil, []telamon.CredentialID{second.ID}), fault.NotFound, "link_not_found")
		must(t, change([]telamon.CredentialID{second.ID}, []telamon.CredentialID{first.ID}))
		must(t, w.db.SetClientCertState(ctx, operator, te.account.ID, cert.ID, telamon.Disabled, ""))
		must(t, w.db.SetClientCertState(ctx, operator, te.account.ID, cert.ID, telamon.Active, ""))
		must(t, w.db.SetClientCertState(ctx, operator, te.account.ID, cert.ID, telamon.Revoked, telamon.ReasonSuperseded))
		mustBe(t, w.db.SetClientCertState(ctx, operator, te.account.ID, cert.ID, telamon.Active, ""), fault.Conflict, "wrong_state")
		mustBe(t, change([]telamon.CredentialID{first.ID}, nil), fault.Conflict, "wrong_state")
		if der, err := w.db.ClientCertBySerial(ctx, cert.Serial); err != nil || !bytes.Equal(der, cert.Certificate.Raw) {
			t.Errorf("by its serial number: %d octets, %v", len(der), err)
		}
		_, err := w.db.ClientCertBySerial(ctx, telamon.NewSerial(w.clock.Now()))
		mustBe(t, err, fault.NotFound, "client_certificate_not_found")
		got, err := w.db.ClientCert(ctx, te.account.ID, cert.ID)
		cert.State, cert.Credentials = telamon.Revoked, []telamon.CredentialID{second.ID}
		if diff := cmp.Diff(*cert, got, comparers); diff != "" || err != nil {
			t.Errorf("the client certificate (-want +got), %v:\n%s", err, diff)
		}
		changes, err := w.db.SetCredentialState(ctx, operator, te.account.ID, second.ID, telamon.Deleted)
		if err != nil || len(changes) != 3 {
			t.Errorf("deleting a credential with two certificates gives the changes %v, %v", changes, err)
		}
		if list, err := w.db.ClientCerts(ctx, te.account.ID, store.Page{Limit: 10}); err != nil || len(list) != 2 || len(list[0].Credentials) != 0 {
			t.Errorf("ClientCerts = %v, %v, want two without links", list, err)
		}
	})
}

// TestOnboardedTogether creates a credential and its client certificate in one
// transaction: if the certificate cannot be stored, there is no credential.
func TestOnboardedTogether(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx, te, other := t.Context(), w.newTenant(t, "Tenant"), w.newTenant(t, "Other")
		c, cert := te.newCredential("both"), w.newClientCert(t, te, "key")
		must(t, w.db.CreateCredential(ctx, operator, c, te.subscription.ID, te.identity.ID, cert))
		if got, err := w.db.ClientCert(ctx, te.account.ID, cert.ID); err != nil || !slices.Equal(got.Credentials, []telamon.CredentialID{c.ID}) {
			t.Errorf("the certificate is linked to %v, %v, want %s", got.Credentials, err, c.ID)
		}
		refused, stolen := other.newCredential("both"), w.newClientCert(t, other, "key")
		err := w.db.CreateCredential(ctx, operator, refused, other.subscription.ID, other.identity.ID, stolen)
		mustBe(t, err, fault.Conflict, "key_of_another_account")
		if list, err := w.db.Credentials(ctx, other.account.ID, store.Page{Limit: 10}); err != nil || len(list) != 0 {
			t.Errorf("the refused onboarding left %v, %v", list, err)
		}
	})
}

// TestOtherAccount asks for everything of one account in the name of another.
func TestOtherAccount(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		other := w.newTenant(t, "Other").account.ID
		c := w.createCredential(t, te, "first")
		cert := w.newClientCert(t, te, "key", c.ID)
		must(t, w.db.CreateClientCert(ctx, operator, cert))
		user := telamon.User{ID: telamon.NewUserID(), Account: te.account.ID, Email: "a@example.com"}
		must(t, w.db.CreateUser(ctx, operator, &user))
		calls := map[string]func() error{
			"user":       func() error { _, err := w.db.User(ctx, other, user.ID); return err },
			"user state": func() error { return w.db.SetUserState(ctx, operator, other, user.ID, telamon.Disabled) },
			"password":   func() error { return w.db.SetUserPassword(ctx, operator, other, user.ID, "x") },
			"identity":   func() error { _, err := w.db.Identity(ctx, other, te.identity.ID); return err },
			"edit": func() error {
				return w.db.EditIdentity(ctx, operator, &telamon.Identity{ID: te.identity.ID, Account: other})
			},
			"move": func() error {
				return w.db.MoveIdentity(ctx, operator, other, te.identity.ID, store.IdentityMove{From: "draft", To: "queued", Action: "identity.submit"})
			},
			"subscription": func() error { _, err := w.db.Subscription(ctx, other, te.subscription.ID); return err },
			"credential":   func() error { _, err := w.db.Credential(ctx, other, c.ID); return err },
			"state": func() error {
				_, err := w.db.SetCredentialState(ctx, operator, other, c.ID, telamon.Disabled)
				return err
			},
			"relink": func() error {
				return w.db.RelinkCredential(ctx, operator, other, c.ID, te.subscription.ID, te.identity.ID)
			},
			"addresses":   func() error { return w.db.SetCredentialAddresses(ctx, operator, other, c.ID, nil) },
			"certificate": func() error { _, err := w.db.ClientCert(ctx, other, cert.ID); return err },
			"cert state":  func() error { return w.db.SetClientCertState(ctx, operator, other, cert.ID, telamon.Disabled, "") },
			"links": func() error {
				return w.db.ChangeClientCertLinks(ctx, operator, other, cert.ID, nil, []telamon.CredentialID{c.ID})
			},
			"create with another's subscription": func() error {
				stolen := te.newCredential("stolen")
				stolen.Account = other
				return w.db.CreateCredential(ctx, operator, stolen, te.subscription.ID, te.identity.ID, nil)
			},
		}
		before := w.number(t, "SELECT count(*) FROM audit_event")
		for name, call := range calls {
			if err := call(); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
		if after := w.number(t, "SELECT count(*) FROM audit_event"); after != before {
			t.Errorf("%d events were written for refused changes", after-before)
		}
	})
}

// TestLoadChanged checks that what the change feed brings, laid over the directory
// of before, is the directory of after.
func TestLoadChanged(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx := t.Context()
		clock.Advance(time.Minute) // the feed holds nothing any more
		if changes, err := w.db.Changes(ctx); len(changes) != 0 || err != nil {
			t.Fatalf("Changes = %v, %v, want none", changes, err)
		}
		before, err := w.db.LoadDirectory(ctx)
		must(t, err)
		te := w.newTenant(t, "Tenant")
		c, gone := w.createCredential(t, te, "first"), w.createCredential(t, te, "gone")
		must(t, w.db.CreateClientCert(ctx, operator, w.newClientCert(t, te, "key", c.ID, gone.ID)))
		_, err = w.db.SetCredentialState(ctx, operator, te.account.ID, gone.ID, telamon.Deleted)
		must(t, err)
		must(t, w.db.SetAccountState(ctx, operator, te.account.ID, telamon.Disabled))
		changes, err := w.db.Changes(ctx)
		must(t, err)
		changed, err := w.db.LoadChanged(ctx, changes)
		must(t, err)
		after, err := w.db.LoadDirectory(ctx)
		must(t, err)
		for _, credential := range changed.Credentials {
			if credential.State != telamon.Deleted {
				before.Credentials = append(before.Credentials, credential)
			} else if credential.ID != gone.ID {
				t.Errorf("%s is deleted", credential.ID)
			}
		}
		for _, pair := range changed.Pairs {
			if !slices.Contains(before.Pairs, pair) {
				before.Pairs = append(before.Pairs, pair)
			}
		}
		before.Accounts = append(before.Accounts, changed.Accounts...)
		before.Identities = append(before.Identities, changed.Identities...)
		before.Services = append(before.Services, changed.Services...)
		before.Subscriptions = append(before.Subscriptions, changed.Subscriptions...)
		before.ClientCerts = append(before.ClientCerts, changed.ClientCerts...)
		if diff := cmp.Diff(after, before, comparers, sorted); diff != "" {
			t.Errorf("the directory (-loaded +followed):\n%s", diff)
		}
		if len(after.ClientCerts) != 1 || !slices.Equal(after.ClientCerts[0].Credentials, []telamon.CredentialID{c.ID}) {
			t.Errorf("the client certificates are %v, want one that is linked to %s alone", after.ClientCerts, c.ID)
		}
	})
}

// sorted compares lists of a directory without regard to their order.
var sorted = cmp.Options{
	cmpopts.SortSlices(func(a, b telamon.Account) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b telamon.Identity) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b telamon.Service) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b telamon.Subscription) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b telamon.Pair) bool { return a.ID < b.ID }),
	cmpopts.SortSlices(func(a, b telamon.Credential) bool { return a.ID < b.ID }),
}

func TestFind(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *testkit.Clock) {
		ctx, te := t.Context(), w.newTenant(t, "Tenant")
		c := w.createCredential(t, te, "first")
		cert := w.newClientCert(t, te, "key", c.ID)
		must(t, w.db.CreateClientCert(ctx, operator, cert))
		byKey, err := w.db.FindCredentialByKey(ctx, c.Key)
		must(t, err)
		byID, err := w.db.FindCredential(ctx, c.ID)
		must(t, err)
		if diff := cmp.Diff(byID, byKey, comparers); diff != "" || len(byKey.Credentials) != 1 || byKey.Credentials[0].ID != c.ID {
			t.Errorf("by ID and by key (-, +), want %s:\n%s", c.ID, diff)
		}
		certs, err := w.db.FindClientCert(ctx, cert.Fingerprint)
		if err != nil || len(certs.ClientCerts) != 1 || len(certs.ClientCerts[0].Credentials) != 1 {
			t.Errorf("FindClientCert = %+v, %v", certs, err)
		}
		scope, err := w.db.FindScope(ctx, c.Pair)
		if err != nil || len(scope.Accounts) != 1 || scope.Accounts[0] != te.account || len(scope.Services) != 1 ||
			len(scope.Identities) != 1 || len(scope.Subscriptions) != 1 || len(scope.Pairs) != 1 || len(scope.Issuers) != 1 {
			t.Errorf("FindScope = %+v, %v", scope, err)
		}
		for name, find := range map[string]func() (*store.Directory, error){
			"key":         func() (*store.Directory, error) { return w.db.FindCredentialByKey(ctx, "0") },
			"id":          func() (*store.Directory, error) { return w.db.FindCredential(ctx, telamon.NewCredentialID()) },
			"certificate": func() (*store.Directory, error) { return w.db.FindClientCert(ctx, [32]byte{1}) },
			"account":     func() (*store.Directory, error) { return w.db.FindAccount(ctx, telamon.NewAccountID()) },
			"pair":        func() (*store.Directory, error) { return w.db.FindScope(ctx, 99) },
		} {
			if d, err := find(); err != nil || !cmp.Equal(d, &store.Directory{}) {
				t.Errorf("%s: %+v, %v, want an empty directory", name, d, err)
			}
		}
	})
}
