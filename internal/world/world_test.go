package world

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func startWorld(t *testing.T) *World {
	t.Helper()
	w, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// control sends one request to the control API and returns its answer.
func control(t *testing.T, w *World, method, path, body string, edit ...func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.ControlURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(req)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(answer))
}

func TestControlDNS(t *testing.T) {
	w := startWorld(t)
	steps := []struct {
		method, path, body string
		status             int
		answer             string // "" is any
	}{
		{"GET", "/dns/records", "", 200, "[]"},
		{"POST", "/dns/records", `{"name":"example.test","type":"TXT","value":"a <b> & c","ttl":60}`, 201, `{"name":"example.test","type":"TXT","value":"a <b> & c","ttl":60}`},
		{"POST", "/dns/records", `{"name":"example.test","type":"A","value":"127.0.0.1"}`, 201, ""},
		{"POST", "/dns/records", `{"name":"www.example.test","type":"cname","value":"example.test"}`, 201, `{"name":"www.example.test","type":"CNAME","value":"example.test"}`},
		{"POST", "/dns/records", `{"name":"example.test","type":"TXT","value":"x","ttl":-1}`, 400, ""},
		{"POST", "/dns/records", `{"name":"example.test","type":"TXT","colour":"red"}`, 400, ""},
		{"POST", "/dns/records", `{"name":"example.test"} {}`, 400, ""},
		{"POST", "/dns/records", `{"type":"TXT","value":"x"}`, 400, ""},
		{"POST", "/dns/records", `{"name":"a b..","type":"A","value":"x"}`, 400, ""},
		{"POST", "/dns/records", `{"name":"example.test","type":"A","value":"not an address"}`, 400, ""},
		{"POST", "/dns/records", `not JSON`, 400, ""},
		{"POST", "/dns/records", `{"name":"` + strings.Repeat("x", maxControlBody) + `"}`, 413, ""},
		{"DELETE", "/dns/records", ``, 400, ""},
		{"DELETE", "/dns/records", `{"name":"example.test","value":"x"}`, 400, ""},
		{"DELETE", "/dns/records", `{"name":"example.test","type":"A"}`, 200, `{"removed":1}`},
		{"DELETE", "/dns/records?name=www.example.test", ``, 200, `{"removed":1}`},
		{"DELETE", "/dns/records?name=example.test&type=txt&value=other", ``, 200, `{"removed":0}`},
		{"POST", "/dns/faults", `{"name":"example.test","fault":"servfail"}`, 201, `{"name":"example.test","fault":"servfail"}`},
		{"POST", "/dns/faults", `{"name":"example.test","fault":"explode"}`, 400, ""},
		{"DELETE", "/dns/faults", ``, 400, ""},
		{"DELETE", "/dns/faults?name=example.test", ``, 200, `{"name":"example.test"}`},
	}
	for _, s := range steps {
		status, answer := control(t, w, s.method, s.path, s.body)
		if status != s.status || s.answer != "" && answer != s.answer {
			t.Errorf("%s %s %.80s = %d %.200s, want %d %s", s.method, s.path, s.body, status, answer, s.status, s.answer)
		}
		var problem struct {
			Error string `json:"error"`
		}
		if s.status >= 400 && (json.Unmarshal([]byte(answer), &problem) != nil || problem.Error == "") {
			t.Errorf("%s %s: the error %q is not as documented", s.method, s.path, answer)
		}
	}
	_, answer := control(t, w, "GET", "/dns/records", "")
	if !strings.Contains(answer, `"type":"TXT","value":"a <b> & c","ttl":60}`) || strings.Count(answer, `"name"`) != 1 {
		t.Errorf("the records are %s", answer)
	}
	if w.DNSControlURL() != w.ControlURL()+"/dns" {
		t.Errorf("DNSControlURL = %s", w.DNSControlURL())
	}
}

func TestControlHTTP(t *testing.T) {
	w := startWorld(t)
	if err := w.DNS.Add("other.test", "AAAA", "::1"); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"Example.test/.well-known/a/b.txt", "other.test/x", "127.0.0.1/y"} {
		if status, answer := control(t, w, "PUT", "/http/files/"+target, "content"); status != 201 {
			t.Errorf("PUT %s = %d %s", target, status, answer)
		}
	}
	if status, body := ask(t, "GET", "http", w.HTTP.Addr(), "example.test", "/.well-known/a/b.txt"); status != 200 || body != "content" {
		t.Errorf("the file is served as %d %q", status, body)
	}
	addresses := 0
	for _, r := range w.DNS.Records() {
		if r.Type == "A" {
			addresses++
			if r.Value != "127.0.0.1" || hostOnly(r.Name) != "example.test" {
				t.Errorf("the record is %+v", r)
			}
		}
	}
	if addresses != 1 {
		t.Errorf("%d A records, want that of the host that had none", addresses)
	}
	want := `[{"host":"127.0.0.1","path":"/y","size":7},{"host":"example.test","path":"/.well-known/a/b.txt","size":7},{"host":"other.test","path":"/x","size":7}]`
	if _, answer := control(t, w, "GET", "/http/files", ""); answer != want {
		t.Errorf("the files are %s, want %s", answer, want)
	}
	for _, s := range []struct {
		method, path, body string
		status             int
	}{
		{"DELETE", "/http/files/example.test/.well-known/a/b.txt", "", 200},
		{"DELETE", "/http/files/example.test/.well-known/a/b.txt", "", 404},
		{"PUT", "/http/files/a%20b/x", "content", 400},
		{"PUT", "/http/files/big.test/x", strings.Repeat("x", maxFile+1), 413},
	} {
		if status, answer := control(t, w, s.method, s.path, s.body); status != s.status {
			t.Errorf("%s %s = %d %s, want %d", s.method, s.path, status, answer, s.status)
		}
	}
}

func TestControlMail(t *testing.T) {
	w := startWorld(t)
	if err := submit(w.Mail, trusting(t, w.Mail), "a@example.test", alternatives); err != nil {
		t.Fatal(err)
	}
	if w.MailboxURL() != w.ControlURL()+"/mail" {
		t.Errorf("MailboxURL = %s", w.MailboxURL())
	}
	_, answer := control(t, w, "GET", "/mail", "")
	var mails []struct {
		From, Subject, Text, HTML, At string
		To                            []string
		TLS                           bool
	}
	if err := json.Unmarshal([]byte(answer), &mails); err != nil || len(mails) != 1 || mails[0].Text != "Grüße an alle" || !mails[0].TLS ||
		mails[0].To[0] != "a@example.test" || !strings.HasSuffix(mails[0].At, "Z") {
		t.Errorf("the mail is %s", answer)
	}
	if _, one := control(t, w, "GET", "/mail?to=a@example.test", ""); one != answer {
		t.Errorf("the mail to its mailbox is %s, want %s", one, answer)
	}
	if _, answer := control(t, w, "DELETE", "/mail", ""); answer != `{"removed":1}` {
		t.Errorf("DELETE /mail = %s", answer)
	}
	if _, answer := control(t, w, "GET", "/mail", ""); answer != "[]" {
		t.Errorf("after DELETE the mail is %s", answer)
	}
}

// TestControlGuard checks that a web page cannot drive the API.
func TestControlGuard(t *testing.T) {
	w := startWorld(t)
	host := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	origin := func(origin string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Origin", origin) }
	}
	tests := []struct {
		name, method, path string
		edit               func(*http.Request)
		status             int
	}{
		{"the help", "GET", "/", host("localhost"), 200},
		{"the IPv6 loopback address", "GET", "/dns/records", host("[::1]:80"), 200},
		{"a name that was rebound", "GET", "/dns/records", host("evil.test"), 403},
		{"a name that begins like an address", "GET", "/dns/records", host("127.0.0.1.evil.test"), 403},
		{"an address that is not loopback", "DELETE", "/mail", host("10.0.0.1"), 403},
		{"an origin", "DELETE", "/mail", origin("http://evil.test"), 403},
		{"an origin without a name", "DELETE", "/mail", origin("null"), 403},
		{"our own origin", "GET", "/mail", origin(w.ControlURL()), 403},
		{"an unknown path", "GET", "/nothing", host("localhost"), 404},
		{"an unknown method", "PATCH", "/mail", host("localhost"), 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, answer := control(t, w, tt.method, tt.path, "", tt.edit); status != tt.status {
				t.Errorf("%s %s = %d %s, want %d", tt.method, tt.path, status, answer, tt.status)
			}
		})
	}
}

func TestStart(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "localhost:0", ":0", "10.0.0.1:1", "127.0.0.1"} {
		if w, err := Start(Config{ControlAddr: addr}); err == nil {
			t.Errorf("a world starts with its control at %s", addr)
			w.Close()
		}
	}
	w := startWorld(t)
	if _, err := Start(Config{MailAddr: w.Mail.Addr()}); err == nil {
		t.Error("a world starts on a port that is taken")
	}
}

// FuzzControlRecord checks that no body adds a record but one that names it.
func FuzzControlRecord(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		var record recordBody
		if err := decodeStrictly(body, &record); err == nil && !json.Valid(body) {
			t.Errorf("%q was read as %+v", body, record)
		}
	})
}
