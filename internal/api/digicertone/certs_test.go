package digicertone

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestIssueCert holds the object that POST answers, member by member.
func TestIssueCert(t *testing.T) {
	w := newWorld(t, nil)
	c, user := w.serviceUser(t, "ci", time.Time{})
	subject := pkix.Name{
		CommonName: "build", Organization: []string{"Acme"}, Country: []string{"JP"}, OrganizationalUnit: []string{"CI"},
		Locality: []string{"Chiyoda"}, Province: []string{"Tokyo"},
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: "ops@example.com"}},
	}
	a := w.do(t, c, "POST", certsPath, body(t, map[string]any{
		"csr": csrOf(t, rsaKey(), subject), "name": "Build 1", "exp": "2027-01-31T12:00:00Z", "unknown": 1,
	}))
	order := `^{"id":"[0-9a-f-]{36}","user_id":"[0-9a-f-]{36}","name":"Build 1","common_name":"build",` +
		`"x509_cert":"-----BEGIN CERTIFICATE-----\\n[^"]+-----END CERTIFICATE-----\\n","ca_cert":"-----BEGIN CERTIFICATE-----\\n[^"]+-----END CERTIFICATE-----\\n",` +
		`"end_date":"2027-01-31T12:00:00Z","start_date":"2026-11-22T09:00:00Z","enabled":true,"serial_number":"[1-9A-F][0-9A-F]*","public_key":"[A-Za-z0-9+/=]+"}$`
	if a.status != 201 || !regexp.MustCompile(order).MatchString(a.body) {
		t.Fatalf("the answer is %d %s", a.status, a.body)
	}
	made := read[wireCert](t, a, 201)
	block, rest := pem.Decode([]byte(made.Certificate))
	ca, caRest := pem.Decode([]byte(made.CA))
	leaf, issuer := got(x509.ParseCertificate(block.Bytes))(t), got(x509.ParseCertificate(ca.Bytes))(t)
	spki := got(x509.MarshalPKIXPublicKey(rsaKey().Public()))(t)
	if len(rest)+len(caRest) > 0 || leaf.CheckSignatureFrom(issuer) != nil || made.UserID != uuidOf(user) ||
		made.SerialNumber != fmt.Sprintf("%X", leaf.SerialNumber) || made.PublicKey != base64.StdEncoding.EncodeToString(spki) ||
		made.EndDate != formatTime(leaf.NotAfter) || made.StartDate != formatTime(leaf.NotBefore) {
		t.Errorf("the answer is not that of its certificate: %s", a.body)
	}
	if want := "CN=build,OU=CI,O=Acme,L=Chiyoda,ST=Tokyo,C=JP"; leaf.Subject.String() != want {
		t.Errorf("the subject is %s, want %s", leaf.Subject, want)
	}
	made.Certificate, made.CA = "", ""
	if one := read[wireCert](t, w.do(t, c, "GET", certsPath+"/"+made.ID, ""), 200); one != made {
		t.Errorf("it is read as %+v, want %+v", one, made)
	}
}

// TestIssueCertChecks goes through the checks of digicert-one.md, Section 6.4, in their
// order: each request breaks one, and all that come later.
func TestIssueCertChecks(t *testing.T) {
	w := newWorld(t, nil)
	ending, _ := w.serviceUser(t, "ending", time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC))
	w.newCert(t, ending, "Taken")
	good := csrOf(t, rsaKey(), pkix.Name{CommonName: "build"})
	der, _ := pem.Decode([]byte(good))
	forged := slices.Clone(der.Bytes)
	forged[len(forged)-1] ^= 1
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	small := got(rsa.GenerateKey(rand.Reader, 1024))(t)
	large := csrOf(t, got(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))(t), pkix.Name{})
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())}))
	const (
		unreadable = "must be a PKCS #10 request in PEM or in base64"
		keyType    = "has a key of a type or size that is not allowed: make one of RSA with 2048 to 4096 bits, EC-P256, EC-P384"
		format     = "must be in the format YYYY-MM-DDTHH:MM:SSZ or YYYY-MM-DD"
		tooLate    = "must not be later than 397 days from today"
	)
	tests := []struct {
		name            string
		csr, title, exp any
		member, problem string
	}{
		{"no CSR", nil, 1, 1, "csr", unreadable},
		{"a CSR that is a number", 1, 1, 1, "csr", unreadable},
		{"a CSR that is an object", map[string]any{"csr": good}, 1, 1, "csr", unreadable},
		{"no PKCS #10", "request", 1, 1, "csr", unreadable},
		{"a certificate", strings.ReplaceAll(good, "CERTIFICATE REQUEST", "CERTIFICATE"), 1, 1, "csr", unreadable},
		{"two requests", good + good, 1, 1, "csr", unreadable},
		{"a bomb", strings.Repeat("-----BEGIN CERTIFICATE REQUEST-----\n", 9000), 1, 1, "csr", unreadable},
		{"a private key", good + private, 1, 1, "csr", "holds a private key: it was not stored; make a new key, and keep that one to yourself"},
		{"a forged signature", base64.StdEncoding.EncodeToString(forged), 1, 1, "csr", "has a signature that does not verify"},
		{"RSA of 1024 bits", csrOf(t, small, pkix.Name{}), 1, 1, "csr", keyType},
		{"P-521", large, 1, 1, "csr", keyType},
		{"Ed25519", csrOf(t, edwards, pkix.Name{}), 1, 1, "csr", "has a key of a type or form that is not allowed"},
		{"no common name", csrOf(t, rsaKey(), pkix.Name{Organization: []string{"Acme"}}), 1, 1, "csr", "the subject must have one common name (CN)"},
		{"a blank common name", csrOf(t, rsaKey(), pkix.Name{CommonName: "  "}), 1, 1, "csr", "the subject must have one common name (CN)"},
		{"a long common name", csrOf(t, rsaKey(), pkix.Name{CommonName: strings.Repeat("a", 65)}), 1, 1, "csr", "the subject's CN is not 1 to 64 characters"},
		{"a country of three letters", csrOf(t, rsaKey(), pkix.Name{CommonName: "a", Country: []string{"JPN"}}), 1, 1, "csr", "the subject's C is not a country code of two letters"},
		{"no name", good, nil, 1, "name", nameRule},
		{"a name that is a number", good, 1, 1, "name", nameRule},
		{"a blank name", good, " ", 1, "name", nameRule},
		{"a slash", good, "a/b", 1, "name", nameRule},
		{"a long name", good, strings.Repeat("a", 256), 1, "name", nameRule},
		{"a very long name", good, strings.Repeat("a", 600_000), 1, "name", "is longer than 524288 bytes"},
		{"an end that is a number", good, "taken", 1, "exp", format},
		{"an end that is empty", good, "taken", "", "exp", format},
		{"an end that is no date", good, "taken", "tomorrow", "exp", format},
		{"an end without a zone", good, "taken", "2026-12-01T00:00:00", "exp", format},
		{"an end that has passed", good, "taken", "2026-11-22T09:59:59Z", "exp", "must be in the future"},
		{"an end now", good, "taken", "2026-11-22T10:00:00Z", "exp", "must be in the future"},
		{"an end after 398 days", good, "taken", "2027-12-25T00:00:00Z", "exp", tooLate},
		{"an end past the user's", good, "taken", "2027-01-01T00:00:00Z", "exp", "must not be later than the end of the user, 2026-12-31T23:59:59Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			members := map[string]any{"csr": tt.csr, "name": tt.title, "exp": tt.exp}
			maps.DeleteFunc(members, func(_ string, value any) bool { return value == nil })
			a := w.do(t, ending, "POST", certsPath, body(t, members))
			if strings.HasPrefix(tt.problem, "is longer") {
				tt.member = "body"
			}
			a.mustBe(t, 400, invalid(tt.member, tt.problem))
		})
	}
	a := w.do(t, ending, "POST", certsPath, body(t, map[string]any{"csr": good, "name": "taken", "exp": "2026-12-31"}))
	a.mustBe(t, 409, taken("taken"))
	for _, text := range []string{"", "[]", `"csr"`, "null", "{", `{"csr":1,"csr":2}`} {
		if a := w.do(t, ending, "POST", certsPath, text, "Content-Type", "application/json"); a.status != 400 {
			t.Errorf("%q is answered by %d %s", text, a.status, a.body)
		}
	}
	if list := read[[]wireCert](t, w.do(t, ending, "GET", certsPath, ""), 200); len(list) != 1 {
		t.Errorf("what was refused left %+v", list)
	}
	if log := w.log.String(); strings.Contains(log, "PRIVATE KEY") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log is %s", log)
	}
}

// TestCertLists holds the list and its states, as monitoring reads it.
func TestCertLists(t *testing.T) {
	w := newWorld(t, nil)
	c, user := w.serviceUser(t, "ci", time.Time{})
	w.do(t, c, "GET", certsPath, "").mustBe(t, 200, "[]")
	var want []string
	for i := range 3 {
		made, _ := w.newCert(t, c, fmt.Sprintf("cert %d", i))
		want = append(want, made.ID)
	}
	w.do(t, c, "PUT", certsPath+"/"+want[1]+"/enable", `{"enabled":false}`)
	list := func(path string) (ids []string) {
		for _, cert := range read[[]wireCert](t, w.do(t, c, "GET", path, ""), 200) {
			if cert.Certificate+cert.CA != "" || cert.Enabled == (cert.ID == want[1]) {
				t.Errorf("the list has %+v", cert)
			}
			ids = append(ids, cert.ID)
		}
		return ids
	}
	if ids := list(certsPath); !slices.Equal(ids, want) {
		t.Errorf("the list is %v, want %v", ids, want)
	}
	if ids := list(certsPath + "?offset=1&limit=1"); !slices.Equal(ids, want[1:2]) {
		t.Errorf("a slice of the list is %v, want %v", ids, want[1:2])
	}
	other, _ := w.serviceUser(t, "other", time.Time{})
	notFound := `{"errors":[{"code":"resource_not_found","message":"Client authentication certificate not found"}]}`
	w.do(t, other, "GET", certsPath+"?user_id="+uuidOf(user), "").mustBe(t, 404, bodyNoUser)
	for _, path := range []string{certsPath + "/" + want[0], certsPath + "/x", certsPath + "/00000000-0000-7000-8000-000000000000"} {
		w.do(t, other, "GET", path, "").mustBe(t, 404, notFound)
	}
	w.do(t, other, "DELETE", certsPath+"/"+want[0], "").mustBe(t, 404, notFound)
	w.do(t, other, "PUT", certsPath+"/"+want[0]+"/enable", `{"enabled":false}`).mustBe(t, 404, notFound)
	if a := w.do(t, c, "GET", certsPath+"?user_id=x", ""); a.status != 400 {
		t.Errorf("a user_id that is none is answered by %d %s", a.status, a.body)
	}
	admin, _ := w.serviceUser(t, "admin", time.Time{}, "AM_USER_MANAGER")
	c = admin
	if ids := list(certsPath + "?user_id=" + uuidOf(user)); !slices.Equal(ids, want) {
		t.Errorf("an administrator's list of it is %v, want %v", ids, want)
	}
}

// TestCertStates disables, enables, revokes and deletes, and looks each time what the
// certificate is good for on the face that asks for it.
func TestCertStates(t *testing.T) {
	w := newWorld(t, nil)
	c, user := w.serviceUser(t, "ci", time.Time{})
	made, cert := w.newCert(t, c, "build")
	own := client{auth: true, cert: cert}
	over := w.open(t, own) // one connection
	enable := certsPath + "/" + made.ID + "/enable"
	usable := func(want bool) {
		t.Helper()
		if a := w.send(t, over, own, "GET", helloPath, ""); a.status != map[bool]int{true: 200, false: 403}[want] {
			t.Errorf("the certificate is answered by %d %s", a.status, a.body)
		}
	}
	set := func(enabled bool) {
		t.Helper()
		one := read[wireCert](t, w.do(t, c, "PUT", enable, fmt.Sprintf(`{"enabled":%t}`, enabled)), 200)
		if one.Enabled != enabled || one.Certificate+one.CA != "" || one.ID != made.ID {
			t.Errorf("the answer is %+v", one)
		}
	}
	usable(true)
	for _, enabled := range []bool{false, false, true, true} {
		set(enabled)
		usable(enabled)
	}
	for _, text := range []string{"{}", `{"enabled":null}`, `{"enabled":"true"}`, `{"enabled":1}`, "[]"} {
		w.do(t, c, "PUT", enable, text).mustBe(t, 400, invalid(map[bool]string{true: "body", false: "enabled"}[text == "[]"],
			map[bool]string{true: "is not a JSON object", false: "has to be true or false"}[text == "[]"]))
	}
	if a := w.do(t, own, "PUT", enable, `{"enabled":false}`); a.status != 200 { // a certificate may disable itself
		t.Errorf("disabling itself is answered by %d %s", a.status, a.body)
	}
	w.do(t, own, "PUT", enable, `{"enabled":true}`).mustBe(t, 403, bodyNoAuth)
	id := telamon.ClientCertIDFromBytes(mustUUID(t, made.ID))
	must(t, w.iam.RevokeClientCert(t.Context(), operator, w.account, id, telamon.ReasonPrivilegeWithdrawn))
	w.do(t, c, "PUT", enable, `{"enabled":true}`).mustBe(t, 400, `{"errors":[{"code":"invalid_request","message":"enabled: a revoked certificate cannot be enabled again"}]}`)
	set(false)
	usable(false)
	second, _ := w.newCert(t, c, "Second")
	w.do(t, c, "DELETE", certsPath+"/"+second.ID, "").mustBe(t, 204, "")
	if a := w.do(t, c, "DELETE", certsPath+"/"+second.ID, ""); a.status != 404 {
		t.Errorf("deleting it again is answered by %d %s", a.status, a.body)
	}
	again, _ := w.newCert(t, c, "second") // the name is free
	w.clock.Advance(366 * 24 * time.Hour)
	w.do(t, c, "PUT", certsPath+"/"+again.ID+"/enable", `{"enabled":true}`).mustBe(t, 400, `{"errors":[{"code":"invalid_request","message":"enabled: an expired certificate cannot be enabled"}]}`)
	if one := read[wireCert](t, w.do(t, c, "PUT", certsPath+"/"+again.ID+"/enable", `{"enabled":false}`), 200); one.Enabled {
		t.Error("an expired certificate was not disabled")
	}
	var ids []string
	for _, cert := range read[[]wireCert](t, w.do(t, c, "GET", certsPath, ""), 200) {
		ids = append(ids, cert.ID)
	}
	if want := []string{made.ID, again.ID}; !slices.Equal(ids, want) {
		t.Errorf("the list of user %s is %v, want the revoked and the expired one, %v", user, ids, want)
	}
}

func mustUUID(t testing.TB, text string) [16]byte {
	t.Helper()
	id, ok := parseUUID(text)
	if !ok {
		t.Fatalf("%q is no UUID", text)
	}
	return id
}

// TestCertSelfIssue exchanges a certificate by itself.
func TestCertSelfIssue(t *testing.T) {
	w := newWorld(t, nil)
	c, user := w.serviceUser(t, "ci", time.Time{})
	_, old := w.newCert(t, c, "old")
	made, next := w.newCert(t, client{auth: true, cert: old}, "new")
	if made.UserID != uuidOf(user) {
		t.Errorf("the certificate is user %s's, want %s's", made.UserID, uuidOf(user))
	}
	for _, cert := range []*tls.Certificate{old, next} {
		if a := w.do(t, client{auth: true, cert: cert}, "GET", helloPath, ""); a.status != 200 {
			t.Errorf("the answer is %d %s", a.status, a.body)
		}
	}
}

// TestGenerateCert fetches a key that was made here, once.
func TestGenerateCert(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.serviceUser(t, "ci", time.Time{})
	a := w.do(t, c, "POST", certsPath+"/generate", `{"name":"portal 1","end_date":"2027-02-01","encryption":"3DES","signature_hash":"SHA-512"}`)
	made := read[generatedCert](t, a, 201)
	if !regexp.MustCompile(`"public_key":"[^"]+","password":"[A-Za-z0-9]{12}","download_token":"[A-Za-z0-9_-]{43}"}$`).MatchString(a.body) ||
		made.CommonName != "portal 1" || made.EndDate != "2027-02-01T23:59:59Z" {
		t.Errorf("the answer is %s", a.body)
	}
	path := certsPath + "/" + made.ID + "/p12"
	for _, query := range []string{"", "?token=", "?token=x&token=y"} {
		if a := w.do(t, c, "GET", path+query, ""); a.status != 400 {
			t.Errorf("%q is answered by %d %s", query, a.status, a.body)
		}
	}
	notFound := `{"errors":[{"code":"resource_not_found","message":"Client authentication certificate not found"}]}`
	w.do(t, c, "GET", path+"?token=x", "").mustBe(t, 404, notFound)
	token := "?token=" + made.DownloadToken
	if a := w.do(t, c, "HEAD", path+token, ""); a.status != 405 {
		t.Errorf("HEAD is answered by %d", a.status)
	}
	other, _ := w.serviceUser(t, "other", time.Time{})
	w.do(t, other, "GET", path+token, "").mustBe(t, 404, notFound)
	file := w.do(t, c, "GET", path+token, "", "Accept", "application/x-pkcs12")
	for name, want := range map[string]string{
		"Content-Type": "application/x-pkcs12", "Content-Disposition": `attachment; filename="Certificate_pkcs12.p12"`, "Cache-Control": "no-store",
	} {
		if file.status != 200 || file.header.Get(name) != want {
			t.Errorf("the download is answered by %d, %s: %s", file.status, name, file.header.Get(name))
		}
	}
	w.do(t, c, "GET", path+token, "").mustBe(t, 404, notFound)
	secrets := []string{made.Password, made.DownloadToken, fmt.Sprintf("%x", sha256.Sum256([]byte(made.DownloadToken)))}
	events := got(w.db.AuditEvents(t.Context(), store.AuditFilter{}))(t)
	audited := string(got(json.Marshal(events))(t))
	if !strings.Contains(audited, "client_certificate.download") {
		t.Error("the download is not in the audit log")
	}
	for _, secret := range secrets {
		if strings.Contains(w.log.String(), secret) || strings.Contains(audited, secret) {
			t.Errorf("%q is in a log", secret)
		}
	}
	admin, _ := w.serviceUser(t, "admin", time.Time{}, "AM_VIEW_ONLY")
	log := w.do(t, admin, "GET", "/account/api/v1/audit-log?resource_types=client_auth_cert&resource_id="+made.ID, "")
	for _, action := range []string{`"action":"create"`, `"action":"download"`} {
		if log.status != 200 || strings.Count(log.body, action) != 1 || strings.Contains(log.body, made.DownloadToken) {
			t.Errorf("the account's audit log is %d %s", log.status, log.body)
		}
	}
	for _, bad := range []string{
		`{}`, `{"name":"portal 1"}`, `{"name":"a","encryption":"RC2"}`, `{"name":"a","signature_hash":"SHA-1"}`, `{"name":"a","end_date":"2028-01-01"}`,
		`{"name":"` + strings.Repeat("a", 65) + `"}`, `{"name":"a","encryption":1}`,
	} {
		if a := w.do(t, c, "POST", certsPath+"/generate", bad); a.status != 400 && a.status != 409 {
			t.Errorf("%s is answered by %d %s", bad, a.status, a.body)
		}
	}
}

// FuzzNewCert reads bodies that ask for a certificate. A member that is no string is one
// that no rule accepts, and strings are what they are.
func FuzzNewCert(f *testing.F) {
	if seeds, err := filepath.Glob("testdata/fuzz/FuzzNewCert/*"); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var in newCert
		if decodeObject([]byte(text), &in) != nil {
			return
		}
		var members map[string]any
		must(t, json.Unmarshal([]byte(text), &members))
		for name, got := range map[string]*member{"csr": &in.CSR, "name": &in.Name, "exp": in.Exp} {
			switch sent := members[name].(type) {
			case string:
				if got == nil || string(*got) != sent {
					t.Fatalf("%s of %q is read as %v", name, text, got)
				}
			case nil: // absent, null, or spelled in another case
			default:
				if got == nil || *got != noString {
					t.Fatalf("%s of %q is read as %v", name, text, got)
				}
			}
		}
	})
}
