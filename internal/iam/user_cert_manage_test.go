package iam_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestUserCertKeys refuses what the platform refuses elsewhere.
func TestUserCertKeys(t *testing.T) {
	w := newWorld(t, sqlite(t)) // no statement is this test's own
	ctx, ci := t.Context(), w.serviceUser(t, "ci")
	issue := func(csr string) error {
		return errorOf(w.IssueUserCert(ctx, ci, iam.UserCertRequest{CSR: csr, Name: "a"}))
	}
	mustBe(t, issue(closeKey(t).csr(t)), fault.Invalid, "key_weak")
	mustBe(t, issue(rocaKey(t).csr(t)), fault.Invalid, "key_weak")
	mustBe(t, issue(privatePEM(t, 0)), fault.Invalid, "private_key")
	must(t, w.db.BlockKey(ctx, operator, telamon.KeyBlock{SPKIHash: sha256.Sum256(good(1).spki(t)), Source: telamon.BlockedByStaff}))
	mustBe(t, issue(named(t, 1, "a")), fault.Invalid, "key_blocked")
	w.newLogin(t, "api", good(2))
	must(t, issue(named(t, 2, "a"))) // the account's own key
	stranger := w.newUser(t, w.other, telamon.ServiceUser, "stranger", time.Time{})
	mustBe(t, errorOf(w.IssueUserCert(ctx, stranger, iam.UserCertRequest{CSR: named(t, 2, "a"), Name: "a"})),
		fault.Conflict, "key_of_another_account")
	if list := got(w.UserCerts(ctx, stranger, ""))(t); len(list) > 0 {
		t.Errorf("what was refused left %+v", list)
	}
}

// TestUserCertSubject holds what is taken from a CSR and what is left out.
func TestUserCertSubject(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ci := w.serviceUser(t, "ci")
	attribute := func(oid []int, value any) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oid, Value: value}
	}
	request := func(name pkix.Name) x509.CertificateRequest {
		return x509.CertificateRequest{
			Subject: name, DNSNames: []string{"evil.example"},
			ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}},
		}
	}
	issued := got(w.IssueUserCert(t.Context(), ci, iam.UserCertRequest{Name: "a", CSR: requestOf(t, goodKeys()[0], request(pkix.Name{
		CommonName: "証明書 1", Organization: []string{"Acme K.K."}, OrganizationalUnit: []string{"a", "b"}, Country: []string{"JP"}, SerialNumber: "7",
		ExtraNames: []pkix.AttributeTypeAndValue{attribute([]int{1, 2, 840, 113549, 1, 9, 1}, "ops@example.com")},
	}))}))(t)
	cert := issued.Certificate
	if want := "CN=証明書 1,OU=a+OU=b,O=Acme K.K.,C=JP"; cert.Subject.String() != want {
		t.Errorf("the subject is %s", cert.Subject)
	}
	if len(cert.DNSNames) > 0 || cert.IsCA {
		t.Error("the CSR's extensions are in the certificate")
	}
	cn := []int{2, 5, 4, 3}
	many := pkix.Name{CommonName: "a", OrganizationalUnit: make([]string, 16)}
	for i := range many.OrganizationalUnit {
		many.OrganizationalUnit[i] = string(rune('a' + i))
	}
	for name, subject := range map[string]pkix.Name{
		"none": {}, "two common names": {ExtraNames: []pkix.AttributeTypeAndValue{attribute(cn, "a"), attribute(cn, "b")}},
		"a line break": {CommonName: "a\nb"}, "many units": many, "a long unit": {CommonName: "a", OrganizationalUnit: []string{many.String() + many.String()}},
		"an empty organization": {CommonName: "a", ExtraNames: []pkix.AttributeTypeAndValue{attribute([]int{2, 5, 4, 10}, "")}},
		"a country of digits":   {CommonName: "a", Country: []string{"12"}}, "a number": {ExtraNames: []pkix.AttributeTypeAndValue{attribute(cn, 7)}},
	} {
		err := errorOf(w.IssueUserCert(t.Context(), ci, iam.UserCertRequest{CSR: requestOf(t, goodKeys()[0], request(subject)), Name: "b"}))
		if f := fault.From(err); f == nil || f.Code != "invalid_subject" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDeleteUserCert holds that a deleted certificate is revoked, hidden and of no use,
// that its name is free, and what stands in the audit log.
func TestDeleteUserCert(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, ci := t.Context(), w.serviceUser(t, "ci")
		first, second := w.certificate(t, ci, "first"), w.certificate(t, ci, "second")
		must(t, w.RevokeClientCert(ctx, operator, w.account, second.ID, telamon.ReasonKeyCompromise))
		mustBe(t, errorOf(w.EnableUserCert(ctx, ci, second.ID)), fault.Invalid, "client_certificate_revoked")
		for _, cert := range []*iam.IssuedUserCert{first, second} {
			must(t, w.DeleteUserCert(ctx, ci, cert.ID))
			mustBeKind(t, w.DeleteUserCert(ctx, ci, cert.ID), fault.NotFound)
			mustBeKind(t, errorOf(w.UserCert(ctx, ci, cert.ID)), fault.NotFound)
			mustBeKind(t, errorOf(w.EnableUserCert(ctx, ci, cert.ID)), fault.NotFound)
			mustBeKind(t, errorOf(w.DisableUserCert(ctx, ci, cert.ID)), fault.NotFound)
			mustBe(t, errorOf(w.AuthenticateUser(ctx, iam.Shown{Certificate: cert.Certificate.Raw, AsksCertificate: true, Address: home})),
				fault.Denied, "no_authentication_data")
		}
		reasons := map[telamon.Serial]telamon.RevocationReason{}
		for _, cert := range []*iam.IssuedUserCert{first, second} {
			must(t, w.db.RevokedOf(ctx, cert.Issuer, cert.CRLShard, time.Time{}, func(r *store.RevokedEntry) error {
				reasons[r.Serial] = r.Reason
				return nil
			}))
		}
		if reasons[first.Serial] != telamon.ReasonCessationOfOperation || reasons[second.Serial] != telamon.ReasonKeyCompromise {
			t.Errorf("the CRL has %v", reasons)
		}
		mustBe(t, w.ChangeClientCertLinks(ctx, operator, w.account, first.ID, []telamon.CredentialID{w.newLogin(t, "api", nil).credential.ID}, nil),
			fault.Conflict, "wrong_state")
		fresh := named(t, 1, "a") // the other key is blocked since
		must(t, errorOf(w.IssueUserCert(ctx, ci, iam.UserCertRequest{CSR: fresh, Name: "FIRST"})))
		for action, want := range map[string]int{"client_certificate.issue": 3, "client_certificate.delete": 2, "client_certificate.revoke": 1} {
			if events := w.events(t, action); len(events) != want {
				t.Errorf("%d events tell of %s, want %d", len(events), action, want)
			}
		}
	})
}

// TestUserCertStates holds that what changes nothing writes nothing.
func TestUserCertStates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, ci := t.Context(), w.serviceUser(t, "ci")
		cert := w.certificate(t, ci, "build")
		for range 2 {
			if one := got(w.DisableUserCert(ctx, ci, cert.ID))(t); one.State != telamon.Disabled {
				t.Errorf("it is %s", one.State)
			}
		}
		for range 2 {
			if one := got(w.EnableUserCert(ctx, ci, cert.ID))(t); one.State != telamon.Active {
				t.Errorf("it is %s", one.State)
			}
		}
		for _, action := range []string{"client_certificate.disable", "client_certificate.enable"} {
			if events := w.events(t, action); len(events) != 1 || events[0].Actor != ci.User.String() || events[0].Object != cert.ID.String() {
				t.Errorf("the events of %s are %+v", action, events)
			}
		}
		w.clock.Set(cert.NotAfter.Add(time.Second - time.Millisecond)) // in its last second
		must(t, errorOf(w.EnableUserCert(ctx, ci, cert.ID)))
		w.clock.Advance(time.Millisecond)
		mustBe(t, errorOf(w.EnableUserCert(ctx, ci, cert.ID)), fault.Invalid, "client_certificate_expired")
		must(t, errorOf(w.DisableUserCert(ctx, ci, cert.ID)))
	})
}

// TestUserCertsOfSeveralCAs exchanges the issuing CA: certificates of the old one are
// listed and authenticate until they end (digicert-one.md, SRV-8).
func TestUserCertsOfSeveralCAs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, ci := t.Context(), w.serviceUser(t, "ci")
		old := w.certificate(t, ci, "old")
		next := w.realSuccessor(t, old.Issuer)
		fresh := w.certificate(t, ci, "new")
		if fresh.Issuer != next || fresh.CA.Equal(old.CA) {
			t.Fatalf("the new certificate is by %s, want %s", fresh.Issuer, next)
		}
		var list []telamon.ClientCertID
		for _, cert := range got(w.UserCerts(ctx, ci, ""))(t) {
			list = append(list, cert.ID)
		}
		if want := []telamon.ClientCertID{old.ID, fresh.ID}; !slices.Equal(list, want) {
			t.Errorf("the list is %v, want %v", list, want)
		}
		for _, cert := range []*iam.IssuedUserCert{old, fresh} {
			actor := got(w.AuthenticateUser(ctx, iam.Shown{Certificate: cert.Certificate.Raw, AsksCertificate: true, Address: home}))(t)
			if actor.User != ci.User || actor.ClientCert != cert.ID {
				t.Errorf("%s authenticates %+v", cert.Name, actor)
			}
		}
	})
}

// realSuccessor makes an issuing CA that takes the place of another one now.
func (w *world) realSuccessor(t testing.TB, after telamon.IssuerID) telamon.IssuerID {
	t.Helper()
	ctx := t.Context()
	i := *got(w.dir.Issuer(ctx, after))(t)
	series, root := got(w.engine.Series(i.Series))(t), got(w.engine.Issuer(i.Parent))(t)
	i.ID, i.ActivateAt, i.Status = telamon.NewIssuerID(), w.clock.Now().Add(time.Minute), telamon.IssuerPlanned
	i.KeyName = "mtls-rsa-next"
	request := got(w.engine.RequestCA(issuance.NewCA{
		ID: i.ID, Root: root, Hierarchy: telamon.HierarchyClientAuth, Series: series, KeyName: i.KeyName, CommonName: "next", NotAfter: i.Certificate.NotAfter,
	}))(t)
	i.Certificate = got(w.engine.SignCA(ctx, root, request))(t)
	must(t, w.engine.AdoptCA(i.KeyName, series.EKUFamily, i.Certificate))
	must(t, w.db.PlanIssuer(ctx, operator, store.IssuerPlan{
		ID: i.ID, Series: i.Series, Parent: i.Parent, KeyName: i.KeyName, ActivateAt: i.ActivateAt, Request: []byte(`{}`),
	}))
	must(t, w.db.AddIssuer(ctx, operator, &i))
	w.clock.Advance(time.Minute)
	must(t, w.dir.Poll(ctx))
	return i.ID
}

// TestUserCertsOfOthers holds who may do what to the certificates of another user.
func TestUserCertsOfOthers(t *testing.T) {
	w := newWorld(t, sqlite(t)) // no statement is this test's own
	ctx, ci := t.Context(), w.serviceUser(t, "ci")
	cert := w.certificate(t, ci, "build")
	nosy, viewer, manager := w.serviceUser(t, "nosy"), w.serviceUser(t, "viewer"), w.serviceUser(t, "manager")
	viewer.Roles, manager.Roles = []string{"AM_VIEW_ONLY"}, []string{"AM_USER_MANAGER"}
	stranger := w.newUser(t, w.other, telamon.ServiceUser, "stranger", time.Time{})
	stranger.Roles = manager.Roles
	acts := map[string]func(telamon.Actor) error{
		"issue": func(by telamon.Actor) error {
			return errorOf(w.IssueUserCert(ctx, by, iam.UserCertRequest{User: ci.User, CSR: named(t, 0, "a"), Name: "for another"}))
		},
		"list":    func(by telamon.Actor) error { return errorOf(w.UserCerts(ctx, by, ci.User)) },
		"read":    func(by telamon.Actor) error { return errorOf(w.UserCert(ctx, by, cert.ID)) },
		"disable": func(by telamon.Actor) error { return errorOf(w.DisableUserCert(ctx, by, cert.ID)) },
	}
	reads := []string{"list", "read"}
	for name, act := range acts {
		mustBeKind(t, act(nosy), fault.NotFound)
		mustBeKind(t, act(stranger), fault.NotFound)
		if err := act(viewer); slices.Contains(reads, name) {
			must(t, err)
		} else {
			mustBeKind(t, err, fault.Denied)
		}
		must(t, act(manager))
	}
	must(t, w.DeleteUser(ctx, operator, w.account, ci.User))
	mustBeKind(t, acts["issue"](manager), fault.NotFound)
}

// TestNoCertSelfIssue holds the option that asks for an API key.
func TestNoCertSelfIssue(t *testing.T) {
	w := newWorld(t, sqlite(t))
	ctx, ci := t.Context(), w.serviceUser(t, "ci")
	cert := w.certificate(t, ci, "build")
	strict := iam.New(iam.Config{
		Store: w.db, Directory: w.dir, Issuance: w.engine, Keys: w.keys, Clock: w.clock, ClientSeriesRSA: "mtls-rsa", ClientSeriesEC: "mtls-ec",
		NoCertSelfIssue: true,
	})
	byCert := ci
	byCert.Token, byCert.ClientCert = "", cert.ID
	for name, act := range map[string]func(*iam.IAM, telamon.Actor) error{
		"issue": func(s *iam.IAM, by telamon.Actor) error {
			return errorOf(s.IssueUserCert(ctx, by, iam.UserCertRequest{CSR: named(t, 0, "a"), Name: "by " + by.Token.String()}))
		},
		"disable": func(s *iam.IAM, by telamon.Actor) error { return errorOf(s.DisableUserCert(ctx, by, cert.ID)) },
		"enable":  func(s *iam.IAM, by telamon.Actor) error { return errorOf(s.EnableUserCert(ctx, by, cert.ID)) },
	} {
		if err := act(strict, byCert); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v, want denied", name, err)
		}
		must(t, act(strict, ci))
		must(t, act(w.IAM, byCert))
	}
	bySession := ci
	bySession.Token, bySession.Session = "", telamon.NewSessionID()
	must(t, errorOf(strict.DisableUserCert(ctx, bySession, cert.ID))) // who has signed in has shown more than a certificate
	must(t, errorOf(strict.EnableUserCert(ctx, bySession, cert.ID)))
	must(t, errorOf(strict.UserCerts(ctx, byCert, "")))
	if n := len(ids(w.events(t, "client_certificate.issue"), func(e *audit.Payload) string { return e.Object })); n != 3 {
		t.Errorf("%d certificates were issued, want 3", n)
	}
}
