package admin_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
)

// The names of the faces of a world with machines.
const adminHost, portalHost, oneHost = "admin.example.com", "portal.example.com", "one.example.com"

func withMachines(cfg *app.Config) {
	cfg.Names.Admin, cfg.Names.Portal, cfg.Names.DigiCertONE = []string{adminHost}, []string{portalHost}, []string{oneHost}
}

// machine is a service user as it calls over TLS.
type machine struct {
	w       *world
	account telamon.AccountID
	user    telamon.UserID
	token   string
	header  string           // that has the token
	cert    *tls.Certificate // nil: none
	http    *http.Client
}

// machine makes a service user of an account, with roles. Those of the staff need an account
// that is the staff's.
func (w *world) machine(account telamon.AccountID, name string, roles ...string) *machine {
	w.t.Helper()
	users := "/accounts/" + account.String() + "/users"
	made := do[admin.CreatedUser](w, post, users, admin.NewUser{Kind: telamon.ServiceUser, Email: "ops@example.com", Name: name, Roles: []string{}})
	m := &machine{w: w, account: account, user: made.ID, token: made.APIToken, header: "Authorization"}
	m.setRoles(roles)
	m.http = w.https(nil)
	return m
}

// setRoles gives the user roles: those of the portal by the one route, others by the other.
func (m *machine) setRoles(roles []string) {
	m.w.t.Helper()
	one := "/accounts/" + m.account.String() + "/users/" + m.user.String()
	portal, others := []string{}, []string{}
	for _, role := range roles {
		if role == strings.ToLower(role) {
			portal = append(portal, role)
		} else {
			others = append(others, role)
		}
	}
	if len(others) > 0 {
		m.w.done(put, one, admin.UserChange{Roles: others})
	}
	m.w.done(post, one+"/roles", admin.Roles{Roles: portal})
}

// certified returns the machine with a client certificate that an operator has it issued.
func (m *machine) certified() *machine {
	m.w.t.Helper()
	key := ecKey(m.w.t)
	made := do[admin.IssuedUserCertificate](m.w, post, "/accounts/"+m.account.String()+"/users/"+m.user.String()+"/client-certificates",
		admin.NewUserCertificate{Name: "a", CSR: csrNamed(m.w.t, key, "robot.example")})
	block, _ := pem.Decode([]byte(made.Certificate))
	other := *m
	other.cert = &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
	other.http = m.w.https(other.cert)
	return &other
}

// https returns a client of the TLS listener that shows a certificate, unless it is nil. What
// names it calls is for the requests to say.
func (w *world) https(cert *tls.Certificate) *http.Client {
	w.t.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.address)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.roots(), Time: w.clock.Now, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			return cert, nil
		}},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: hold(w.t)(transport), Timeout: patience}
}

// roots are the roots of the world's own hierarchies.
func (w *world) roots() *x509.CertPool {
	w.t.Helper()
	pool := x509.NewCertPool()
	issuers, _, err := w.app.Store.Issuers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range issuers {
		if i.Role == telamon.RoleRoot {
			pool.AddCert(i.Certificate)
		}
	}
	return pool
}

// answer is what a machine was answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// code returns the code of a refusal, "" of anything else.
func (a answer) code() string {
	var p admin.Problem
	if a.status < 400 || json.Unmarshal([]byte(a.body), &p) != nil {
		return ""
	}
	return p.Code
}

// call sends a body, which is encoded unless it is a text.
func (m *machine) call(method, path string, body any) answer {
	m.w.t.Helper()
	return m.at(adminHost, method, admin.MachinePrefix+path, body)
}

// at is call for any path of any host.
func (m *machine) at(host, method, path string, body any) answer {
	m.w.t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			m.w.t.Fatal(err)
		}
		text = string(encoded)
	}
	req, err := http.NewRequestWithContext(m.w.t.Context(), method, "https://"+host+path, strings.NewReader(text))
	if err != nil {
		m.w.t.Fatal(err)
	}
	if text != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case m.token == "":
	case m.header == "Authorization":
		req.Header.Set("Authorization", "Bearer "+m.token)
	default:
		req.Header.Set(m.header, m.token)
	}
	res, err := m.http.Do(req)
	if err != nil {
		m.w.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(got)}
}

// mustBe checks the status and code of an answer.
func (a answer) mustBe(t *testing.T, status int, code string) answer {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
	return a
}

// staff makes the account of the CA's own staff.
func (w *world) staff() telamon.AccountID {
	w.t.Helper()
	id := w.account("Our CA")
	w.done(post, "/accounts/"+id.String()+"/make-staff", nil)
	return id
}

func (w *world) account(name string) telamon.AccountID {
	w.t.Helper()
	return do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: name}).ID
}
