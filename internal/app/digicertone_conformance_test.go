package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

// The conformance checks of digicert-one.md, Section 12, each by its number. Those that
// need the clients of the documents are in digicertone_tools_test.go.

// enabled changes whether a certificate is enabled, by its user's key.
func (o *one) enabled(u login, id string, on bool) {
	o.t.Helper()
	got := o.call(o.client(dial{}), "PUT", oneHost, certPath+"/"+id+"/enable", u.key, map[string]bool{"enabled": on})
	var cert map[string]any
	if got.status != http.StatusOK || json.Unmarshal([]byte(got.body), &cert) != nil || cert["enabled"] != on {
		o.t.Fatalf("enable %t: %s", on, got)
	}
	if cert["x509_cert"] != nil || cert["ca_cert"] != nil {
		o.t.Errorf("the answer holds certificates: %s", got)
	}
}

// must reports an error unless an answer is an outcome.
func (o *one) must(what string, got answer, want outcome) {
	o.t.Helper()
	if !got.is(want) {
		o.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// traced returns a request, which sets reused to whether its connection had been used.
func (o *one) traced(host, path, key string, reused *bool) *http.Request {
	o.t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { *reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(o.t.Context(), trace), "GET", "https://"+host+path, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("x-api-key", key)
	}
	return req
}

// A certificate that is disabled is refused by the next request of an open connection, of
// each kind, and of a resumed session; one that is enabled again is good in the same way.
func TestConformance02OpenConnections(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	c := o.issue(u, "cert", newKey(t))
	for how, d := range connections {
		t.Run(how, func(t *testing.T) {
			d.cert, d.cache = &c.Certificate, tls.NewLRUClientSessionCache(4)
			open := o.client(d)
			for i, on := range []bool{true, false, true, false, true} {
				o.enabled(u, c.id, on)
				want := isNoAuth
				if on {
					want = isOK
				}
				var reused bool
				o.must(fmt.Sprintf("request %d on the open connection", i), send(open, o.traced(clientauthHost, helloPath, "", &reused)), want)
				if reused != (i > 0) {
					t.Errorf("request %d: on a connection that was used: %t", i, reused)
				}
				resumed := send(o.client(d), o.traced(clientauthHost, helloPath, "", &reused))
				o.must(fmt.Sprintf("request %d of a session", i), resumed, want)
				if resumed.tls == nil || !resumed.tls.DidResume || reused {
					t.Errorf("request %d was not the first one of a session that is resumed", i)
				}
			}
		})
	}
}

// What comes with what on the face that asks for certificates.
func TestConformance04ClientauthFace(t *testing.T) {
	o := newOne(t)
	a := o.user(o.account, "a", time.Time{})
	stranger := foreignCert(t)
	o.must("no certificate and a key", o.me(dial{}, clientauthHost, a.key), isOK)
	o.must("no certificate and no key", o.me(dial{}, clientauthHost, ""), isNoAuth)
	o.must("a foreign certificate", o.me(dial{cert: stranger}, clientauthHost, ""), isNoAuth)
	o.must("a foreign certificate and a key", o.me(dial{cert: stranger}, clientauthHost, a.key), isOK)
	o.must("an empty key is none", send(o.client(dial{}), o.emptyKey(clientauthHost)), isNoAuth)
}

// emptyKey returns a request with a key that is empty.
func (o *one) emptyKey(host string) *http.Request {
	var reused bool
	req := o.traced(host, helloPath, "", &reused)
	req.Header.Set("x-api-key", "")
	return req
}

// The API face asks for no certificate and looks at none.
func TestConformance05APIFace(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	c := o.issue(u, "cert", newKey(t))
	for how, d := range connections {
		d.cert = &c.Certificate
		o.must("a certificate without a key over "+how, o.me(d, oneHost, ""), isKey)
		o.must("with the key over "+how, o.me(d, oneHost, u.key), isOK)
	}
	o.must("an empty key is none", send(o.client(dial{}), o.emptyKey(oneHost)), isKey)
	for name, header := range map[string]string{"a bearer token": "Authorization", "another header": "api-key"} {
		var reused bool
		req := o.traced(oneHost, helloPath+"?api_key="+u.key, "", &reused)
		req.Header.Set(header, "Bearer "+u.key)
		o.must(name, send(o.client(dial{}), req), isKey)
	}
}

// A key and a certificate of two users, and a key that is none beside a good certificate.
func TestConformance06Mismatch(t *testing.T) {
	o := newOne(t)
	a, b := o.user(o.account, "a", time.Time{}), o.user(o.account, "b", time.Time{})
	c := o.issue(b, "cert", newKey(t))
	o.must("the key of A and the certificate of B", o.me(dial{cert: &c.Certificate}, clientauthHost, a.key), isMismatch)
	o.must("the same on the face that sees no certificate", o.me(dial{cert: &c.Certificate}, oneHost, a.key), isOK)
	o.must("both of B", o.me(dial{cert: &c.Certificate}, clientauthHost, b.key), isOK)
	for name, key := range map[string]string{
		"a wrong secret": a.wrongKey(), "an unknown key": "01" + strings.Repeat("0", 24) + a.key[26:],
		"no key": "x", "a key and more": b.key + "0", "upper case": strings.ToUpper(b.key),
	} {
		o.must(name+" and a good certificate", o.me(dial{cert: &c.Certificate}, clientauthHost, key), isKey)
		o.must(name, o.me(dial{}, oneHost, key), isKey)
	}
}

// A user who is disabled takes all of theirs with them, and has it back when they are
// enabled, but for the certificate that is disabled itself.
func TestConformance07DisabledUser(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	good, off := o.issue(u, "good", newKey(t)), o.issue(u, "off", newKey(t))
	o.enabled(u, off.id, false)
	open, keyed := o.client(dial{cert: &good.Certificate}), o.client(dial{})
	check := func(when string, cert, key outcome) {
		t.Helper()
		o.must("by certificate "+when, o.call(open, "GET", clientauthHost, helloPath, "", nil), cert)
		o.must("by key "+when, o.call(keyed, "GET", oneHost, helloPath, u.key, nil), key)
		o.must("by the certificate that is disabled "+when, o.me(dial{cert: &off.Certificate}, clientauthHost, ""), isNoAuth)
	}
	check("before", isOK, isOK)
	for range 2 {
		if err := o.app.IAM.DisableUser(t.Context(), oneOperator, o.account, u.User); err != nil {
			t.Fatal(err)
		}
		check("of a disabled user", isNoAuth, isKey)
		if err := o.app.IAM.EnableUser(t.Context(), oneOperator, o.account, u.User); err != nil {
			t.Fatal(err)
		}
		check("of a user who was enabled again", isOK, isOK)
	}
}

// Two certificates at once, and a switch from one to the other while requests go on: none
// fails, neither then nor when the old one is disabled.
func TestConformance12Rotation(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	before, after := o.issue(u, "2031-05", newKey(t)), o.issue(u, "2031-06", newKey(t))
	const workers, most = 4, 20_000
	var configured atomic.Pointer[tls.Certificate] // what clients are told to use
	var using [workers]atomic.Pointer[tls.Certificate]
	var answered atomic.Int64
	configured.Store(&before.Certificate)
	stop, work := make(chan struct{}), sync.WaitGroup{}
	for w := range workers {
		work.Go(func() {
			var c *http.Client
			for range most {
				if next := configured.Load(); using[w].Load() != next {
					using[w].Store(next) // no request by the one before is under way
					c = o.client(dial{cert: next, http1: w%2 == 0})
				}
				if got := o.call(c, "GET", clientauthHost, helloPath, "", nil); !got.is(isOK) {
					t.Errorf("a request failed: %s", got)
					return
				}
				answered.Add(1)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	more := func() {
		until := answered.Load() + 10*workers
		o.await("more answers", func() bool { return answered.Load() >= until })
	}
	more()
	configured.Store(&after.Certificate)
	o.await("the switch of all clients", func() bool {
		for w := range using {
			if using[w].Load() != &after.Certificate {
				return false
			}
		}
		return true
	})
	o.must("the old one, before it is disabled", o.me(dial{cert: &before.Certificate}, clientauthHost, ""), isOK)
	o.enabled(u, before.id, false)
	o.must("the old one", o.me(dial{cert: &before.Certificate}, clientauthHost, ""), isNoAuth)
	more()
	close(stop)
	work.Wait()
	t.Logf("%d requests", answered.Load())
}

// Versions of TLS and HTTP, what is sent beside the leaf, and names that are not those of
// the connection.
func TestConformance14Connections(t *testing.T) {
	o := newOne(t)
	a, b := o.user(o.account, "a", time.Time{}), o.user(o.account, "b", time.Time{})
	leaf, other := o.issue(a, "leaf", newKey(t)), o.issue(b, "other", newKey(t))
	sent := map[string][][]byte{
		"the leaf": {leaf.raw()}, "the leaf and its CA": {leaf.raw(), leaf.ca.Raw}, "two leaves": {leaf.raw(), other.raw()},
	}
	for what, chain := range sent {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, http1 := range []bool{true, false} {
				got := o.me(dial{
					cert: &tls.Certificate{Certificate: chain, PrivateKey: leaf.PrivateKey}, version: version, http1: http1,
				}, clientauthHost, a.key) // of another user it would be a mismatch
				o.must(what, got, isOK)
				if proto := map[bool]string{true: "HTTP/1.1", false: "HTTP/2.0"}[http1]; got.err == nil && (got.tls.Version != version || got.proto != proto) {
					t.Errorf("%s: TLS %x and %s, want %x and %s", what, got.tls.Version, got.proto, version, proto)
				}
			}
		}
	}
	first := &tls.Certificate{Certificate: [][]byte{other.raw(), leaf.raw()}, PrivateKey: other.PrivateKey}
	o.must("another leaf first", o.me(dial{cert: first}, clientauthHost, a.key), isMismatch)
	ca := &tls.Certificate{Certificate: [][]byte{leaf.ca.Raw, leaf.raw()}, PrivateKey: leaf.PrivateKey}
	if got := o.me(dial{cert: ca}, clientauthHost, ""); got.err == nil {
		t.Errorf("a certificate of another key: %s", got)
	}
	const misdirected = `421 {"errors":[{"code":"invalid_request","message":"Misdirected request"}]}`
	for _, tt := range []struct{ sni, host string }{{oneHost, clientauthHost}, {clientauthHost, oneHost}, {clientauthHost, "ca.example.com"}} {
		for how, d := range connections {
			d.sni, d.cert = tt.sni, &leaf.Certificate
			if got := o.me(d, tt.host, a.key); !got.is(misdirected) {
				t.Errorf("%s over a connection for %s, %s: %s", tt.host, tt.sni, how, got)
			}
		}
	}
}

func (c *clientCert) raw() []byte { return c.Certificate.Certificate[0] }

// Paths that are none, preflights of browsers, methods and media types.
func TestConformance15Paths(t *testing.T) {
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	c := o.client(dial{})
	const noPath = `404 {"errors":[{"code":"INTERNAL_SERVER_ERROR","message":"Path not found"}]}`
	for _, path := range []string{"/", "/account/api/v1", "/account/api/v1/service-user", "/account/api/v2/user/me", "/x%00", "/account/api/v1/api-key"} {
		o.must(path, o.call(c, "GET", oneHost, path, u.key, nil), noPath)
		o.must(path, o.call(c, "POST", clientauthHost, path, "", "{}"), noPath)
	}
	for _, host := range []string{oneHost, clientauthHost} {
		var reused bool
		req := o.traced(host, certPath, "", &reused)
		req.Method = http.MethodOptions
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Access-Control-Request-Method", "POST")
		got := send(c, req)
		if got.status != http.StatusForbidden || got.body != "Invalid CORS request" || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a preflight to %s: %s, %v", host, got, got.header)
		}
	}
	got := o.call(c, "PATCH", oneHost, certPath, u.key, "{}")
	if !got.is(`405 {"errors":[{"code":"invalid_request","message":"Method not allowed"}]}`) || got.header.Get("Allow") == "" {
		t.Errorf("a method that is not allowed: %s, %v", got, got.header)
	}
	var reused bool
	req := o.traced(oneHost, certPath, u.key, &reused)
	req.Method, req.Body = http.MethodPost, http.NoBody
	req.Header.Set("Content-Type", "text/plain")
	o.must("another media type", send(c, req), `415 {"errors":[{"code":"invalid_request","message":"Content-Type must be application/json"}]}`)
	o.must("doubled and last slashes", o.call(c, "GET", oneHost, "//mpki/api//v1/hello/", u.key, nil), isOK)
}

// An auditEntry is an item of the audit log on the wire.
type auditEntry struct {
	UserID       string `json:"user_id"`
	UserName     string `json:"user_name"`
	AccountID    string `json:"account_id"`
	Action       string `json:"action"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
	Status       string `json:"status"`
	Description  string `json:"description"`
	IPAddress    string `json:"ip_address"`
}

// audited returns what the audit log answers to a query, once all is in it.
func (o *one) audited(reader login, query string) []auditEntry {
	o.t.Helper()
	if err := o.app.IAM.WriteRefusals(o.t.Context(), true); err != nil {
		o.t.Fatal(err)
	}
	got := o.call(o.client(dial{}), "GET", oneHost, auditPath+"?"+query, reader.key, nil)
	var page struct {
		Total, Offset, Limit *int
		Items                []auditEntry
	}
	err := json.Unmarshal([]byte(got.body), &page)
	if err != nil || got.status != http.StatusOK || page.Total == nil || page.Offset == nil || page.Limit == nil || page.Items == nil {
		o.t.Fatalf("the audit log for %s: %s", query, got)
	}
	return page.Items
}

// The audit log has the true reason of each refusal whose answer tells none.
func TestConformance16AuditLog(t *testing.T) {
	o := newOne(t)
	now := o.clock.Now()
	admin, blind := o.user(o.account, "auditor", time.Time{}, "AM_VIEW_ONLY"), o.user(o.account, "blind", time.Time{}, "AM_ACCOUNT_USER")
	elsewhere, err := o.app.IAM.CreateAccount(t.Context(), oneOperator, iam.NewAccount{Name: "Elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	stranger := o.user(elsewhere.ID, "other auditor", time.Time{}, "AM_ACCOUNT_ADMIN")
	a, b := o.user(o.account, "Agent A", time.Time{}), o.user(o.account, "Agent B", time.Time{})
	certs := map[string]clientCert{}
	for _, name := range []string{"expired", "disabled", "mismatched", "of a disabled user"} {
		certs[name] = o.issue(a, name, newKey(t))
	}
	refused := func(name string, host, key string, want outcome) {
		t.Helper()
		cert := certs[name].Certificate
		o.must(name, o.me(dial{cert: &cert}, host, key), want)
	}
	o.strangersAreAudited()
	refused("mismatched", clientauthHost, b.key, isMismatch)
	o.enabled(a, certs["disabled"].id, false)
	refused("disabled", clientauthHost, "", isNoAuth)
	if err := o.app.IAM.DisableUser(t.Context(), oneOperator, o.account, a.User); err != nil {
		t.Fatal(err)
	}
	refused("of a disabled user", clientauthHost, "", isNoAuth)
	refused("of a disabled user", oneHost, a.key, isKey)
	if err := o.app.IAM.EnableUser(t.Context(), oneOperator, o.account, a.User); err != nil {
		t.Fatal(err)
	}
	if n := len(o.audited(admin, "status=failure")); n != 5 {
		t.Errorf("the log has %d failures, want 5", n)
	}
	o.setClock(now.AddDate(1, 0, 0))
	refused("expired", clientauthHost, "", isNoAuth)

	for name, reason := range map[string]string{
		"expired": "The certificate has expired.", "disabled": "The certificate is disabled.", "of a disabled user": "The user is disabled.",
		"mismatched": "The API key and the certificate belong to different users.",
	} {
		list := o.audited(admin, "status=failure&resource_id="+certs[name].id)
		want := auditEntry{
			UserID: a.id, UserName: "Agent A", AccountID: wire(t, o.account), Action: "authenticate", ResourceType: "client_auth_cert",
			ResourceID: certs[name].id, Status: "failure", Description: reason, IPAddress: "127.0.0.1",
		}
		if len(list) != 1 || list[0] != want {
			t.Errorf("%s: the log has\n%+v, want\n%+v", name, list, want)
		}
	}
	keys := o.audited(admin, "status=FAILURE&resource_types=api_access_token&user_name=agent")
	if len(keys) != 2 || keys[0].ResourceID == keys[1].ResourceID {
		t.Errorf("of keys the log has %+v", keys)
	}
	for _, e := range keys {
		want := map[string]string{a.id: "The user is disabled.", b.id: "The API key and the certificate belong to different users."}[e.UserID]
		if e.Description != want {
			t.Errorf("of a key the log has %+v, want %q", e, want)
		}
	}
	created := o.audited(admin, "action=create&resource_types=client_auth_cert&user_name=Agent+A&limit=3&sort=created_at:asc")
	if len(created) != 3 || created[0].ResourceID != certs["expired"].id {
		t.Errorf("of new certificates the log has %+v", created)
	}
	if day := now.Format(time.DateOnly); len(o.audited(admin, "from="+day+"&to="+day+"&status=failure&resource_types=client_auth_cert")) != 3 {
		t.Errorf("of the first day, other entries are listed than its own")
	}
	foreign := foreignCert(t)
	o.must("a stranger's certificate beside a key", o.me(dial{cert: foreign}, clientauthHost, b.key), isOK)
	serial := fmt.Sprintf("%X", leafOf(t, foreign).SerialNumber.Bytes())
	if list := o.audited(admin, "status=failure&resource_id="+strings.ToLower(serial)); len(list) != 1 || list[0].ResourceID != serial ||
		list[0].Description != "The certificate is none of this platform." || list[0].UserName != "anonymous" {
		t.Errorf("of a stranger's certificate beside a key the log has %+v", list)
	}
	o.auditLogIsPrivate(admin, blind, stranger)
}

// strangersAreAudited checks that the platform's own log has the reason of what is refused
// and is no account's.
func (o *one) strangersAreAudited() {
	o.t.Helper()
	foreign := foreignCert(o.t)
	serial := fmt.Sprintf("%X", leafOf(o.t, foreign).SerialNumber.Bytes())
	o.must("nothing", o.me(dial{}, clientauthHost, ""), isNoAuth)
	o.must("a stranger's certificate", o.me(dial{cert: foreign}, clientauthHost, ""), isNoAuth)
	if err := o.app.IAM.WriteRefusals(o.t.Context(), true); err != nil {
		o.t.Fatal(err)
	}
	for reason, object := range map[string]string{"nothing_shown": "", "certificate_unknown": serial} {
		page, err := o.app.Store.AuditEvents(o.t.Context(), store.AuditFilter{Action: "user.authenticate", Result: reason})
		if err != nil {
			o.t.Fatal(err)
		}
		if e := page.Events; len(e) != 1 || e[0].Object != object || e[0].Account != "" || !e[0].Address.IsLoopback() {
			o.t.Errorf("of %s the platform's log has %+v", reason, e)
		}
	}
}

func leafOf(t *testing.T, cert *tls.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// auditLogIsPrivate checks who sees what of the audit log.
func (o *one) auditLogIsPrivate(admin, blind, stranger login) {
	o.t.Helper()
	c := o.client(dial{})
	o.must("without the permission", o.call(c, "GET", oneHost, auditPath, blind.key, nil),
		`403 {"errors":[{"code":"access_denied","message":"You do not have permission to perform this operation"}]}`)
	for _, e := range o.audited(stranger, "limit=100") {
		if e.AccountID != wire(o.t, stranger.Account) {
			o.t.Errorf("another account sees %+v", e)
		}
	}
	if list := o.audited(admin, "account_id="+wire(o.t, stranger.Account)); len(list) != 0 {
		o.t.Errorf("of another account, %+v are listed", list)
	}
	if list := o.audited(admin, "account_id="+strings.ToUpper(wire(o.t, o.account))); len(list) == 0 {
		o.t.Error("of the own account, nothing is listed")
	}
	for _, query := range []string{"limit=0", "limit=101", "offset=-1", "offset=9999", "status=bad", "action=none", "from=2031-02-30", "sort=user_id:asc", "resource_types=x"} {
		got := o.call(c, "GET", oneHost, auditPath+"?"+query, admin.key, nil)
		if got.status != http.StatusBadRequest || !strings.HasPrefix(got.body, `{"errors":[{"code":"invalid_request","message":"`) {
			o.t.Errorf("%s: %s", query, got)
		}
	}
	o.must("no key", o.call(c, "GET", oneHost, auditPath, "", nil), isKey)
}
