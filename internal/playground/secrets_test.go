package playground_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the PostgreSQL driver
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/playground"
)

// secrets are texts and octets that must be kept nowhere, by what they are.
type secrets map[string][]byte

// text adds a secret that is written with these characters, and its octets if they
// are hexadecimal digits.
func (s secrets) text(name, secret string) {
	s[name] = []byte(secret)
	if octets, err := hex.DecodeString(secret); err == nil {
		s[name+", decoded"] = octets
	}
}

// key adds what a private key consists of.
func (s secrets) key(name string, key *rsa.PrivateKey) {
	s[name+", exponent"], s[name+", prime"] = key.D.Bytes(), key.Primes[0].Bytes()
}

// forms are how a secret may be written: as it is, in hexadecimal, and in base64
// at each of the three places in which it can stand in a longer text.
func forms(secret []byte) map[string][]byte {
	digits := hex.EncodeToString(secret)
	all := map[string][]byte{"raw": secret, "hex": []byte(digits), "upper-case hex": []byte(strings.ToUpper(digits))}
	for shift := range 3 {
		part := secret[shift:]
		part = part[:len(part)/3*3]
		all[fmt.Sprintf("base64 from %d", shift)] = []byte(base64.StdEncoding.EncodeToString(part))
		all[fmt.Sprintf("base64url from %d", shift)] = []byte(base64.URLEncoding.EncodeToString(part))
	}
	return all
}

// absent reports the secrets that a place holds. The place must hold the text of
// control, or nothing was looked at.
func (s secrets) absent(t *testing.T, place string, content []byte, control string) {
	t.Helper()
	if !bytes.Contains(content, []byte(control)) {
		t.Errorf("%s does not hold %q, so this proves nothing", place, control)
	}
	// PEM breaks its lines, as they are and in JSON.
	unbroken := bytes.ReplaceAll(bytes.ReplaceAll(content, []byte(`\n`), nil), []byte("\n"), nil)
	for name, secret := range s {
		if len(secret) < 16 {
			t.Errorf("%s is too short to look for", name)
		}
		for form, needle := range forms(secret) {
			if bytes.Contains(content, needle) || bytes.Contains(unbroken, needle) {
				t.Errorf("%s holds the secret %s, %s", place, name, form)
			}
		}
	}
}

// TestForms has a secret be found wherever it stands in what is encoded.
func TestForms(t *testing.T) {
	secret := []byte("0f1e2d3c4b5a69788796")
	for before := range 4 {
		content := append(append(bytes.Repeat([]byte("x"), before), secret...), "yz"...)
		for name, encoded := range map[string]string{
			"raw": string(content), "hex": hex.EncodeToString(content), "base64": base64.StdEncoding.EncodeToString(content),
			"base64url": base64.RawURLEncoding.EncodeToString(content),
		} {
			found := false
			for _, form := range forms(secret) {
				found = found || strings.Contains(encoded, string(form))
			}
			if !found {
				t.Errorf("%s, after %d octets: the secret is not found in %s", name, before, encoded)
			}
		}
	}
}

// TestSecretsAreNotKept looks for every secret of a session in all that it left.
func TestSecretsAreNotKept(t *testing.T) {
	t.Setenv("TELAMON_LOG_LEVEL", "debug")
	each(t, func(t *testing.T, w *world) {
		s := secrets{}
		for i := range w.Description.Credentials {
			c := &w.Description.Credentials[i]
			s.text("API secret of "+c.Name, c.APISecret)
			s.key("mTLS key of "+c.Name, w.pair(c).PrivateKey.(*rsa.PrivateKey))
		}
		for _, u := range w.Description.Users {
			s.text("password of "+u.Email, u.Password)
			s.text("one-time passwords of "+u.Email, u.TOTPSecret)
		}
		kek, err := os.ReadFile(filepath.Join(w.dir, "kek"))
		if err != nil {
			t.Fatal(err)
		}
		s.text("key-encryption key", strings.TrimSpace(string(kek)))
		s.key("certified key", rsaKey())
		w.work(t, s)
		w.onboard(t, s)
		w.workAsServiceUser(t, s)
		w.mistakes(t, s)
		control := w.credential("dev_pkcs10").APIKey // which is none
		s.absent(t, "the directory", w.kept(t), "telamon key 1")
		s.absent(t, "the database", w.stored(t), control)
		w.stop()
		s.absent(t, "the directory at the end", w.kept(t), "telamon key 1")
		s.absent(t, "the log", w.log.Bytes(), "route=/v2/login")
		metrics := httptest.NewRecorder()
		promhttp.HandlerFor(w.App.Registry, promhttp.HandlerOpts{}).ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		s.absent(t, "the metrics", metrics.Body.Bytes(), `route="/v2/login"`)
	})
}

// TestOwnerAlone looks at who can read what a running playground keeps.
func TestOwnerAlone(t *testing.T) {
	t.Parallel()
	w := start(t, playground.Options{})
	files := 0
	err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == w.dir {
			return err // the test's own directory
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		files++
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// kept returns what lies in the directory, but for what is the users' to keep.
func (w *world) kept(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for path, text := range tree(t, w.dir) {
		name, err := filepath.Rel(w.dir, path)
		if err != nil {
			t.Fatal(err)
		}
		own, _ := filepath.Match("dev_*.key", name)
		config, _ := filepath.Match("hvclient-*.json", name)
		if !own && !config && name != "dev.json" && name != "kek" {
			all = append(append(all, text...), '\n')
		}
	}
	return all
}

// stored returns every value of every table, or the files of an embedded database.
func (w *world) stored(t *testing.T) []byte {
	t.Helper()
	if path, ok := strings.CutPrefix(w.App.Config.Database, "sqlite:"); ok {
		var all []byte
		for _, file := range []string{path, path + "-wal"} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		return all
	}
	db, err := sql.Open("pgx", w.App.Config.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var all []byte
	for _, name := range query(t, db, "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'") {
		for _, value := range query(t, db, `SELECT * FROM "`+string(name)+`"`) {
			all = append(append(all, value...), '\n')
		}
	}
	return all
}

// query returns all values that a query finds.
func query(t *testing.T, db *sql.DB, text string) (values [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for _, value := range row {
			octets, ok := value.([]byte)
			if !ok {
				octets = []byte(fmt.Sprint(value))
			}
			values = append(values, octets)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// work does what clients do: logins, requests, rekeys, revocations.
func (w *world) work(t *testing.T, s secrets) {
	t.Helper()
	for i := range w.Description.Credentials {
		credential := &w.Description.Credentials[i]
		c := w.loggedIn(credential.Name)
		s.text("token of "+credential.Name, c.token)
		if credential.DomainValidation {
			continue
		}
		serial, _ := c.issue(t, requestFor(t, credential))
		again := requestFor(t, credential)
		delete(again, "subject_dn")
		if a := c.do(http.MethodPost, "/certificates/"+serial+"/rekey", again); a.status != http.StatusCreated {
			t.Errorf("rekey as %s: %s", credential.Name, a)
		}
		revocation := map[string]any{"revocation_reason": "superseded"}
		if a := c.do(http.MethodPatch, "/certificates/"+serial, revocation); a.status != http.StatusNoContent {
			t.Errorf("revoke as %s: %s", credential.Name, a)
		}
	}
}

// onboard gives an account a user and two more credentials, one of them encrypted.
func (w *world) onboard(t *testing.T, s secrets) {
	t.Helper()
	ctx, use := t.Context(), w.App.IAM
	account, subscription, identity := w.parts(t, "dev_pkcs10")
	password := "correct horse battery staple"
	s.text("password", password)
	s.text("wrong password", "incorrect horse battery staple")
	user, err := use.CreateUser(ctx, operator, iam.NewUser{
		Account: account, Email: "ops@plant.example", Name: "Ops", Roles: []string{"administrator"}, Password: password,
	})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := use.User(ctx, operator, account, user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := use.CheckPassword(ctx, stored, password); err != nil {
		t.Error(err)
	}
	if err := use.CheckPassword(ctx, stored, "incorrect horse battery staple"); err == nil {
		t.Error("a wrong password is right")
	}
	spec := iam.CredentialSpec{Account: account, Name: "plain", Subscription: subscription, Identity: identity}
	_, secret, err := use.CreateCredential(ctx, operator, spec)
	if err != nil {
		t.Fatal(err)
	}
	s.text("API secret that was shown", secret.Reveal())
	spec.Name = "sealed"
	made, err := use.Onboard(ctx, operator, spec, csrFor(t, rsaKey()))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := rsa.DecryptOAEP(sha256.New(), nil, rsaKey(), made.Delivery, nil)
	var sealed map[string]string
	if err != nil || json.Unmarshal(opened, &sealed) != nil {
		t.Fatalf("open the delivery %s: %v", opened, err)
	}
	s.text("API secret that was sealed", sealed["api_secret"])
	cert, key := made.ClientCert.Certificate.Raw, rsaKey()
	c := w.connect(tlsCertificate(cert, key))
	if a := c.login(sealed["api_key"], sealed["api_secret"]); a.status != http.StatusOK {
		t.Errorf("log in as who was onboarded: %s", a)
	}
	s.text("token of who was onboarded", c.token)
}

// mistakes puts secrets where they do not belong.
func (w *world) mistakes(t *testing.T, s secrets) {
	t.Helper()
	credential := w.credential("dev_pkcs10")
	key, secret := credential.APIKey, credential.APISecret
	wrong := strings.Repeat("0123456789abcdef", 3)[:40]
	s.text("wrong API secret", wrong)
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	c := w.loggedIn("dev_pkcs10")
	s.text("token in a path", c.token)
	request := plainRequest(t) // members that nobody knows are ignored, and not kept
	request["private_key"], request["api_secret"] = private, secret
	c.issue(t, request)
	account, _, _ := w.parts(t, "dev_pkcs10")
	_, err = w.App.IAM.IssueClientCert(t.Context(), operator, iam.ClientCertRequest{
		Account: account, Credentials: []telamon.CredentialID{w.record(t, "dev_pkcs10").ID}, CSR: private,
	})
	if err == nil {
		t.Error("a private key got a certificate")
	}
	for name, a := range map[string]*answer{
		"a wrong secret":           c.login(key, wrong),
		"a wrong key":              c.login("0000000000000000", secret),
		"key and secret swapped":   c.login(secret, key),
		"no client certificate":    w.connect().login(key, secret),
		"another's certificate":    w.connect(w.pair(w.credential("dev_pkcs8"))).login(key, secret),
		"a secret for a name":      c.do(http.MethodPost, "/login", map[string]any{secret: key}),
		"a token for a serial":     c.do(http.MethodGet, "/certificates/"+c.token, nil),
		"a secret in the query":    c.do(http.MethodGet, "/stats/issued?api_secret="+secret+"&page="+secret, nil),
		"a secret for a path":      c.do(http.MethodGet, "/"+secret, nil),
		"a private key":            c.do(http.MethodPost, "/certificates", map[string]any{"public_key": private}),
		"a private key for a name": c.do(http.MethodPost, "/certificates", map[string]any{"public_key": csrFor(t, rsaKey()), "subject_dn": map[string]any{"common_name": private}}),
		"a token of another's connection": (&client{http: w.connect().http, url: c.url, token: c.token}).
			do(http.MethodGet, "/validationpolicy", nil),
	} {
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %s", name, a)
		}
	}
}
