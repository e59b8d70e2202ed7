package app_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/signing"
)

// A wireCert is a client authentication certificate on the wire.
type wireCert struct {
	ID, Name     string
	UserID       string `json:"user_id"`
	CommonName   string `json:"common_name"`
	Certificate  string `json:"x509_cert"`
	CA           string `json:"ca_cert"`
	StartDate    string `json:"start_date"`
	EndDate      string `json:"end_date"`
	Enabled      bool
	SerialNumber string `json:"serial_number"`
	PublicKey    string `json:"public_key"`
}

// post asks for a certificate by the user's key.
func (o *one) post(u login, body any) (wireCert, answer) {
	o.t.Helper()
	got := o.call(o.client(dial{}), "POST", oneHost, certPath, u.key, body)
	var cert wireCert
	if got.status == http.StatusCreated {
		if err := json.Unmarshal([]byte(got.body), &cert); err != nil {
			o.t.Fatal(err)
		}
	}
	return cert, got
}

// refused reports an error unless an answer is of the dialect's form, with a status and a
// code.
func (o *one) refused(what string, got answer, status int, code string) {
	o.t.Helper()
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != status || len(body.Errors) == 0 || body.Errors[0].Code != code ||
		body.Errors[0].Message == "" || got.header.Get("Content-Type") != "application/json" {
		o.t.Errorf("%s: %s, want %d %s", what, got, status, code)
	}
}

// The ends that certificates may have.
func TestConformance08Ends(t *testing.T) {
	o := newOne(t)
	free, bound := o.user(o.account, "free", time.Time{}), o.user(o.account, "bound", time.Date(2031, 12, 31, 23, 59, 59, 0, time.UTC))
	n := 0
	for _, tt := range []struct {
		name, exp string // "" leaves it out
		user      login
		want      string // the end date; "": refused
	}{
		{"397 days on", "2032-06-20T23:59:59Z", free, "2032-06-20T23:59:59Z"},
		{"397 days on, the first second", "2032-06-20T00:00:00Z", free, "2032-06-20T00:00:00Z"},
		{"398 days on", "2032-06-21T00:00:00Z", free, ""},
		{"a date", "2032-06-20", free, "2032-06-20T23:59:59Z"},
		{"with an offset", "2031-06-01T02:00:00+02:00", free, "2031-06-01T00:00:00Z"},
		{"fractions", "2031-06-01T00:00:00.75Z", free, "2031-06-01T00:00:00Z"},
		{"absent", "", free, "2032-05-19T23:59:59Z"},
		{"absent, of a user who ends before", "", bound, "2031-12-31T23:59:59Z"},
		{"at the user's end", "2031-12-31T23:59:59Z", bound, "2031-12-31T23:59:59Z"},
		{"beyond the user's end", "2032-01-01T00:00:00Z", bound, ""},
		{"past", "2031-05-20T11:59:59Z", free, ""},
		{"now", "2031-05-20T12:00:00Z", free, ""},
		{"another form", "20.5.2032", free, ""},
		{"no such day", "2032-02-30", free, ""},
		{"the year 10000", "10000-01-01T00:00:00Z", free, ""},
	} {
		n++
		body := map[string]any{"csr": csrFor(t, newKey(t), "svc"), "name": fmt.Sprintf("cert %d", n)}
		if tt.exp != "" {
			body["exp"] = tt.exp
		}
		cert, got := o.post(tt.user, body)
		if tt.want == "" {
			o.refused(tt.name, got, http.StatusBadRequest, "invalid_request")
			continue
		}
		if cert.EndDate != tt.want || cert.StartDate != "2031-05-20T00:00:00Z" {
			t.Errorf("%s: %s, want the end %s", tt.name, got, tt.want)
		}
	}
}

// The names that certificates may have.
func TestConformance09Names(t *testing.T) {
	o := newOne(t)
	a, b := o.user(o.account, "a", time.Time{}), o.user(o.account, "b", time.Time{})
	ask := func(u login, name any) answer {
		_, got := o.post(u, map[string]any{"csr": csrFor(t, newKey(t), "svc"), "name": name})
		return got
	}
	for _, name := range []string{"a b-c_1", strings.Repeat("x", 255), "Größe 1", "証明書"} {
		o.must(name, ask(a, name), "201")
	}
	for _, name := range []any{"a/b", "", " ", strings.Repeat("x", 256), "a\nb", "a.b", strings.Repeat("y", 1<<18), 1, nil, []string{"a"}} {
		o.refused(fmt.Sprintf("%.20v", name), ask(a, name), http.StatusBadRequest, "invalid_request")
	}
	for _, name := range []string{"a b-c_1", "A B-C_1"} {
		want := outcome(`409 {"errors":[{"code":"duplicate_error","message":"Nickname ` + name + ` already exists. Enter a different nickname."}]}`)
		o.must("a name twice", ask(a, name), want)
	}
	o.must("the name at another user", ask(b, "a b-c_1"), "201")
}

// A key pair that signs hashes for who shows a certificate.
func TestConformance13Sign(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "signer", time.Time{}, "SM_SIGNER")
	c := o.issue(u, "cert", newKey(t))
	pair, err := o.app.Signing.Create(t.Context(), oneOperator, signing.NewKeyPair{Account: o.account, Name: "code", KeyType: "EC-P256"})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("what is to be signed"))
	id := wire(t, pair.ID)
	path := "/signingmanager/api/v1/keypairs/" + id
	body := map[string]any{"account": wire(t, o.account), "sig_alg": "SHA256withECDSA", "hash": base64.StdEncoding.EncodeToString(digest[:])}
	const noFactor = `403 {"error":{"status":"access_denied","message":"User is not multi-factor authenticated. ` +
		`Missing Client Authentication Certificate. As per compliance rules, user needs to be authenticated using multi-factor for performing sign operation."}}`
	sign := func(d dial, host, key string) answer {
		return o.call(o.client(d), "POST", host, path+"/sign", key, body)
	}
	shown := dial{cert: &c.Certificate}
	o.must("the key pair by key", o.call(o.client(dial{}), "GET", oneHost, path, u.key, nil), isOK)
	o.must("by key on the API face", sign(dial{}, oneHost, u.key), noFactor)
	o.must("by key and a certificate that the API face does not see", sign(shown, oneHost, u.key), noFactor)
	o.must("by key on the face that asks for certificates", sign(dial{}, clientauthHost, u.key), noFactor)
	o.must("by key and a foreign certificate", sign(dial{cert: foreignCert(t)}, clientauthHost, u.key), noFactor)
	o.must("by nothing", sign(dial{}, clientauthHost, ""), isNoAuth)
	for what, key := range map[string]string{"by certificate": "", "by both": u.key} {
		got := sign(shown, clientauthHost, key)
		var signed struct{ ID, Signature string }
		if err := json.Unmarshal([]byte(got.body), &signed); err != nil || got.status != http.StatusOK {
			t.Errorf("%s: %s", what, got)
			continue
		}
		o.checkSignature(what, pair.SPKI, digest[:], signed.Signature)
	}
	o.enabled(u, c.id, false)
	o.must("by a certificate that is disabled", sign(shown, clientauthHost, ""), isNoAuth)
	o.must("by that and the key", sign(shown, clientauthHost, u.key), noFactor)
	admin := o.user(o.account, "auditor", time.Time{}, "AM_ACCOUNT_ADMIN")
	if list := o.audited(admin, "action=sign&resource_id="+id); len(list) != 2 || list[0].UserName != "signer" || list[0].ResourceType != "keypair" {
		t.Errorf("of signatures the audit log has %+v", list)
	}
}

func (o *one) checkSignature(what string, spki, digest []byte, signature string) {
	o.t.Helper()
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		o.t.Fatal(err)
	}
	octets, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !verifies(public, digest, octets) {
		o.t.Errorf("%s: the signature %q does not verify: %v", what, signature, err)
	}
}

// The rows of the table of digicert-one.md, Section 6.4, in its order: what comes first is
// what is told.
func TestIssueTable(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	good := csrFor(t, newKey(t), "svc")
	block := func(kind, text string) string {
		return strings.NewReplacer("CERTIFICATE REQUEST", kind).Replace(text)
	}
	bare := strings.NewReplacer("-----BEGIN CERTIFICATE REQUEST-----", "", "-----END CERTIFICATE REQUEST-----", "", "\n", "").Replace(good)
	forged := []byte(strings.TrimSpace(bare))
	forged[len(forged)-10] ^= 1 // in the signature
	with := func(change map[string]any) map[string]any {
		body := map[string]any{"csr": good, "name": "bad"}
		for member, value := range change {
			body[member] = value
			if value == nil {
				delete(body, member)
			}
		}
		return body
	}
	n := 0
	for _, tt := range []struct {
		name string
		body any
		ok   bool
	}{
		{"no object", "[]", false},
		{"no JSON", "{", false},
		{"nothing", "", false},
		{"no csr", with(map[string]any{"csr": nil}), false},
		{"a csr that is a number", with(map[string]any{"csr": 1}), false},
		{"no PKCS #10", with(map[string]any{"csr": "x"}), false},
		{"a certificate", with(map[string]any{"csr": block("CERTIFICATE", good)}), false},
		{"a bomb", with(map[string]any{"csr": strings.Repeat(good, 200)}), false},
		{"a wrong signature", with(map[string]any{"csr": string(forged)}), false},
		{"RSA 1024", with(map[string]any{"csr": csrFor(t, rsaKey(t, 1024), "svc")}), false},
		{"RSA 8192", with(map[string]any{"csr": csrFor(t, rsaKey(t, 8192), "svc")}), false},
		{"Ed25519", with(map[string]any{"csr": csrFor(t, edKey(t), "svc")}), false},
		{"no common name", with(map[string]any{"csr": csrFor(t, newKey(t), "")}), false},
		{"no name", with(map[string]any{"name": nil}), false},
		{"an end that is none", with(map[string]any{"exp": "soon"}), false},
		{"an end that is a number", with(map[string]any{"exp": 1}), false},
		{"PEM", with(map[string]any{"csr": good}), true},
		{"the old label", with(map[string]any{"csr": block("NEW CERTIFICATE REQUEST", good)}), true},
		{"CRLF and blanks", with(map[string]any{"csr": " \r\n" + strings.ReplaceAll(good, "\n", "\r\n") + "\r\n\t"}), true},
		{"bare base64", with(map[string]any{"csr": bare}), true},
		{"other members", with(map[string]any{"unknown": map[string]any{"a": 1}}), true},
	} {
		if body, ok := tt.body.(map[string]any); ok && tt.ok {
			n++
			body["name"] = fmt.Sprintf("good %d", n)
		}
		cert, got := o.post(u, tt.body)
		if !tt.ok {
			o.refused(tt.name, got, http.StatusBadRequest, "invalid_request")
			continue
		}
		if got.status != http.StatusCreated || cert.UserID != u.id || !cert.Enabled || cert.CommonName != "svc" || cert.ID == "" ||
			!strings.HasSuffix(cert.Certificate, "-----END CERTIFICATE-----\n") || strings.Count(cert.CA, "BEGIN") != 1 {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
	// Of two things that are wrong, the first of the table is told.
	_, got := o.post(u, with(map[string]any{"csr": "x", "name": "a/b", "exp": "soon"}))
	if !strings.Contains(got.body, `"message":"csr`) {
		t.Errorf("a csr, a name and an end that are wrong: %s", got)
	}
	_, got = o.post(u, with(map[string]any{"name": "a/b", "exp": "soon"}))
	if !strings.Contains(got.body, `"message":"name`) {
		t.Errorf("a name and an end that are wrong: %s", got)
	}
	_, got = o.post(u, with(map[string]any{"name": "good 1", "exp": "soon"}))
	if !strings.Contains(got.body, `"message":"exp`) {
		t.Errorf("a name that is taken and an end that is wrong: %s", got)
	}
}

// Enabling and deleting, of what is one's own and of what is not.
func TestCertificateCalls(t *testing.T) {
	o := newOne(t)
	a, b := o.user(o.account, "a", time.Time{}), o.user(o.account, "b", time.Time{})
	manager := o.user(o.account, "manager", time.Time{}, "AM_USER_MANAGER")
	c := o.issue(a, "cert", newKey(t))
	web := o.client(dial{})
	path := certPath + "/" + c.id
	for _, body := range []any{"{}", `{"enabled":"true"}`, `{"enabled":null}`, `{"enabled":1}`, "[]"} {
		o.refused(fmt.Sprint(body), o.call(web, "PUT", oneHost, path+"/enable", a.key, body), http.StatusBadRequest, "invalid_request")
	}
	for _, call := range []struct{ method, path string }{{"GET", path}, {"PUT", path + "/enable"}, {"DELETE", path}} {
		o.refused("of another user "+call.method, o.call(web, call.method, oneHost, call.path, b.key, `{"enabled":false}`),
			http.StatusNotFound, "resource_not_found")
	}
	o.must("by itself", o.call(o.client(dial{cert: &c.Certificate}), "PUT", clientauthHost, path+"/enable", "", `{"enabled":false}`), isOK)
	o.must("back by itself", o.call(o.client(dial{cert: &c.Certificate}), "PUT", clientauthHost, path+"/enable", "", `{"enabled":true}`), isNoAuth)
	o.must("by a manager", o.call(web, "PUT", oneHost, path+"/enable", manager.key, `{"enabled":true}`), isOK)
	o.must("good again", o.me(dial{cert: &c.Certificate}, clientauthHost, ""), isOK)
	if err := o.app.IAM.RevokeClientCert(t.Context(), oneOperator, o.account, c.ID, "superseded"); err != nil {
		t.Fatal(err)
	}
	o.refused("enabling what is revoked", o.call(web, "PUT", oneHost, path+"/enable", a.key, `{"enabled":true}`), http.StatusBadRequest, "invalid_request")
	o.must("delete", o.call(web, "DELETE", oneHost, path, a.key, nil), "204")
	o.refused("delete again", o.call(web, "DELETE", oneHost, path, a.key, nil), http.StatusNotFound, "resource_not_found")
	again := o.issue(a, "cert", newKey(t)) // its name is free
	o.setClock(o.clock.Now().AddDate(2, 0, 0))
	path = certPath + "/" + again.id
	o.must("disabling what has expired", o.call(web, "PUT", oneHost, path+"/enable", a.key, `{"enabled":false}`), isOK)
	o.refused("enabling what has expired", o.call(web, "PUT", oneHost, path+"/enable", a.key, `{"enabled":true}`), http.StatusBadRequest, "invalid_request")
	if got := o.call(web, "GET", oneHost, certPath, a.key, nil); got.status != http.StatusOK || !strings.Contains(got.body, again.id) {
		t.Errorf("the list lacks what has expired: %s", got)
	}
}

func verifies(public crypto.PublicKey, digest, signature []byte) bool {
	key, ok := public.(*ecdsa.PublicKey)
	return ok && ecdsa.VerifyASN1(key, digest, signature)
}
