package digicertone

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/signing"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// The bodies of refusals of Software Trust, to the letter.
const (
	bodyFactor = `{"error":{"status":"access_denied","message":"User is not multi-factor authenticated. Missing Client Authentication Certificate. ` +
		`As per compliance rules, user needs to be authenticated using multi-factor for performing sign operation."}}`
	bodySigningDenied = `{"error":{"status":"access_denied","message":"You do not have permission to perform this operation"}}`
	bodyNoKeyPair     = `{"error":{"status":"resource_not_found","message":"Key pair not found"}}`
	bodyNotActive     = `{"error":{"status":"invalid_request","message":"The key pair is disabled."}}`
)

// signer is a service user with an API token and a client certificate.
type signer struct {
	key  string
	cert *tls.Certificate
}

// signerWith makes a service user of an account with a role.
func (w *world) signerWith(t testing.TB, account telamon.AccountID, name, role string) *signer {
	t.Helper()
	user, key, err := w.iam.CreateServiceUser(t.Context(), operator, iam.NewServiceUser{
		Account: account, FriendlyName: name, Email: "ops@acme.example", Roles: []string{role},
	})
	must(t, err)
	private := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	csr := got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, private))(t)
	actor := telamon.Actor{Kind: telamon.ActorUser, Account: account, User: user.ID, UserName: user.Name, Roles: user.Roles}
	issued := got(w.iam.IssueUserCert(t.Context(), actor, iam.UserCertRequest{Name: name, CSR: base64.StdEncoding.EncodeToString(csr)}))(t)
	return &signer{key: key, cert: &tls.Certificate{Certificate: [][]byte{issued.Certificate.Raw}, PrivateKey: private, Leaf: issued.Certificate}}
}

func (w *world) keyPair(t testing.TB, account telamon.AccountID, name string, keyType tbs.KeyType) *telamon.KeyPair {
	t.Helper()
	return got(w.signing.Create(t.Context(), operator, signing.NewKeyPair{
		Account: account, Name: name, KeyType: string(keyType), Certify: &signing.NewCertificate{},
	}))(t)
}

func signBody(algorithm string, digest []byte) string {
	return fmt.Sprintf(`{"sig_alg":%q,"hash":%q}`, algorithm, base64.StdEncoding.EncodeToString(digest))
}

func signPathOf(k *telamon.KeyPair) string { return keyPairsPath + "/" + uuidOf(k.ID) + "/sign" }

// TestSigningNeedsCertificate holds the point of it all: a mere API key signs nothing
// (digicert-one.md, Section 12, check 13).
func TestSigningNeedsCertificate(t *testing.T) {
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprintf("both %v", both), func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) { cfg.SigningNeedsBoth = both })
			u := w.signerWith(t, w.account, "Build", "SM_SIGNER")
			k := w.keyPair(t, w.account, "release", tbs.ECP256)
			digest := sha256.Sum256([]byte("a file"))
			body := signBody("SHA256withECDSA", digest[:])
			sign := func(c client) answer { return w.do(t, c, "POST", signPathOf(k), body) }
			sign(client{}).mustBe(t, 401, bodyKey)
			sign(client{auth: true}).mustBe(t, 403, bodyNoAuth)
			sign(client{key: u.key}).mustBe(t, 403, bodyFactor)
			sign(client{key: u.key, cert: u.cert}).mustBe(t, 403, bodyFactor) // on the host that looks at none
			sign(client{auth: true, key: u.key}).mustBe(t, 403, bodyFactor)
			sign(client{auth: true, key: u.key, cert: newCertificate(t, nil, &x509.Certificate{})}).mustBe(t, 403, bodyFactor)
			for _, c := range []client{{auth: true, cert: u.cert}, {auth: true, cert: u.cert, key: u.key}} {
				a := sign(c)
				if c.key == "" && both {
					a.mustBe(t, 403, `{"error":{"status":"access_denied","message":"User is not multi-factor authenticated. Missing API key."}}`)
					continue
				}
				var signed signature
				if err := json.Unmarshal([]byte(a.body), &signed); err != nil || a.status != 200 {
					t.Fatalf("with the certificate: %d %s", a.status, a.body)
				}
				octets := got(base64.StdEncoding.DecodeString(signed.Signature))(t)
				if !ecdsa.VerifyASN1(k.Certificate.PublicKey.(*ecdsa.PublicKey), digest[:], octets) {
					t.Errorf("the signature does not verify: %s", a.body)
				}
				if _, ok := parseUUID(signed.ID); !ok {
					t.Errorf("the ID is %q", signed.ID)
				}
			}
		})
	}
}

// TestSigningRefuses holds what is answered to requests that cannot be met.
func TestSigningRefuses(t *testing.T) {
	w := newWorld(t, nil)
	u, reader := w.signerWith(t, w.account, "Build", "SM_SIGNER"), w.signerWith(t, w.account, "Reader", "AM_VIEW_ONLY")
	other := got(w.iam.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Globex"}))(t).ID
	k, disabled := w.keyPair(t, w.account, "release", tbs.ECP256), w.keyPair(t, w.account, "disabled", tbs.ECP256)
	foreign := w.keyPair(t, other, "release", tbs.ECP256)
	must(t, w.signing.Disable(t.Context(), operator, w.account, disabled.ID))
	digest := make([]byte, 32)
	good := signBody("SHA256withECDSA", digest)
	invalid := func(message string) string {
		return `{"error":{"status":"invalid_request","message":"` + message + `"}}`
	}
	const algorithms = "sig_alg: is none by which a key of type EC-P256 signs: SHA256withECDSA, SHA384withECDSA, SHA512withECDSA"
	tests := []struct {
		name   string
		by     *signer
		path   string
		body   string
		status int
		want   string
	}{
		{"without the permission", reader, signPathOf(k), good, 403, bodySigningDenied},
		{"another account's key pair", u, signPathOf(foreign), good, 404, bodyNoKeyPair},
		{"no key pair", u, signPathOf(&telamon.KeyPair{ID: telamon.NewKeyPairID()}), good, 404, bodyNoKeyPair},
		{"no UUID", u, keyPairsPath + "/release/sign", good, 404, bodyNoKeyPair},
		{"for another account", u, signPathOf(foreign), fmt.Sprintf(`{"account":{"id":%q},%s`, uuidOf(other), good[1:]), 404, bodyNoKeyPair},
		{"a disabled key pair", u, signPathOf(disabled), good, 409, bodyNotActive},
		{"a short digest", u, signPathOf(k), signBody("SHA256withECDSA", digest[:20]), 400, invalid("hash: has 20 octets, and one of SHA-256 has 32")},
		{"a long digest", u, signPathOf(k), signBody("SHA256withECDSA", make([]byte, 64)), 400, invalid("hash: has 64 octets, and one of SHA-256 has 32")},
		{"an unknown algorithm", u, signPathOf(k), signBody("MD5withRSA", digest), 400, invalid(algorithms)},
		{"an algorithm of another key", u, signPathOf(k), signBody("SHA256withRSA", digest), 400, invalid(algorithms)},
		{"no members", u, signPathOf(k), `{}`, 400, invalid("sig_alg: is required; hash: is required")},
		{"null", u, signPathOf(k), `{"account":null,"sig_alg":null,"hash":null}`, 400, invalid("sig_alg: is required; hash: is required")},
		{"no base64", u, signPathOf(k), `{"sig_alg":"SHA256withECDSA","hash":"%%"}`, 400, invalid("hash: has to be base64")},
		{"a number", u, signPathOf(k), `{"sig_alg":1,"hash":""}`, 400, invalid("sig_alg: has to be a string")},
		{"no account", u, signPathOf(k), `{"account":7,"sig_alg":"a","hash":""}`, 400, invalid("account: has to be an account's UUID, or an object with it as id")},
		{"an array", u, signPathOf(k), `[]`, 400, invalid("body: is not a JSON object")},
		{"no JSON", u, signPathOf(k), `x`, 400, invalid("body: is not JSON")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.do(t, client{auth: true, cert: tt.by.cert}, "POST", tt.path, tt.body).mustBe(t, tt.status, tt.want)
		})
	}
	w.do(t, client{key: reader.key}, "GET", certificatesPath, "").mustBe(t, 403, bodySigningDenied)
	w.do(t, client{key: reader.key}, "GET", keyPairsPath, "").mustBe(t, 403, bodySigningDenied)
	w.do(t, client{key: u.key}, "GET", keyPairsPath+"/"+uuidOf(foreign.ID), "").mustBe(t, 404, bodyNoKeyPair)
	w.do(t, client{key: u.key}, "GET", certificatesPath+"?certificate_status=GOOD", "").
		mustBe(t, 400, invalid("certificate_status: has to be one of ACTIVE, EXPIRED, REVOKED"))
	w.do(t, client{key: u.key}, "GET", certificatesPath+"?id=release", "").mustBe(t, 400, invalid("id: has to be a UUID"))
	w.do(t, client{key: u.key}, "GET", certificatesPath+"?limit=101", "").mustBe(t, 400, invalid("limit: has to be a number from 1 to 100"))
	if n := len(got(w.signatures(t.Context()))(t)); n != 1 { // the refusal of the disabled one
		t.Errorf("%d signatures are recorded", n)
	}
}

func (w *world) signatures(ctx context.Context) ([]telamon.EventID, error) {
	page, err := w.db.AuditEvents(ctx, auditOf("key_pair.sign"))
	if err != nil {
		return nil, err
	}
	var ids []telamon.EventID
	for _, e := range page.Events {
		ids = append(ids, e.ID)
	}
	return ids, nil
}

// TestSigningLists holds what lists of certificates and key pairs have.
func TestSigningLists(t *testing.T) {
	w := newWorld(t, nil)
	u := w.signerWith(t, w.account, "Build", "SM_SIGNER")
	active, revoked := w.keyPair(t, w.account, "active", tbs.RSA2048), w.keyPair(t, w.account, "revoked", tbs.ECP256)
	bare := got(w.signing.Create(t.Context(), operator, signing.NewKeyPair{Account: w.account, Name: "bare", KeyType: "EC-P384"}))(t)
	w.keyPair(t, got(w.iam.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Globex"}))(t).ID, "foreign", tbs.ECP256)
	must(t, w.signing.Revoke(t.Context(), operator, w.account, revoked.ID, telamon.ReasonSuperseded))
	get := func(path string, to any) {
		t.Helper()
		a := w.do(t, client{key: u.key}, "GET", path, "")
		if err := json.Unmarshal([]byte(a.body), to); err != nil || a.status != 200 {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	aliases := func(query string) (list string, total int64) {
		var certs envelope[signingCert]
		get(certificatesPath+query, &certs)
		for _, c := range certs.Items {
			list += " " + c.Alias + " " + c.Status
		}
		return list, certs.Total
	}
	for query, want := range map[string]string{
		"":                                  " active ACTIVE revoked REVOKED",
		"?certificate_status=ACTIVE":        " active ACTIVE",
		"?certificate_status=revoked":       " revoked REVOKED",
		"?certificate_status=EXPIRED":       "",
		"?limit=1&offset=1":                 " revoked REVOKED",
		"?alias=Active":                     " active ACTIVE",
		"?alias=foreign":                    "",
		"?id=" + formatUUID(revoked.Serial): " revoked REVOKED",
		"?id=" + uuidOf(revoked.ID):         "",
		"?sort_by=unknown":                  " active ACTIVE revoked REVOKED",
	} {
		if list, total := aliases(query); list != want || query == "?limit=1&offset=1" && total != 2 {
			t.Errorf("%q lists%s of %d, want%s", query, list, total, want)
		}
	}
	var pairs envelope[keyPairOnWire]
	get(keyPairsPath+"?limit=100", &pairs)
	if pairs.Total != 3 || len(pairs.Items) != 3 {
		t.Fatalf("there are %d of %d key pairs", len(pairs.Items), pairs.Total)
	}
	for i, want := range []keyPairOnWire{
		{ID: uuidOf(active.ID), Alias: "active", KeyAlg: "RSA", KeySize: 2048, KeyStatus: keyOnline, Active: 1, Signable: true},
		{ID: uuidOf(revoked.ID), Alias: "revoked", KeyAlg: "ECDSA", KeySize: 256, Curve: "P-256", KeyStatus: keyRevoked},
		{ID: uuidOf(bare.ID), Alias: "bare", KeyAlg: "ECDSA", KeySize: 384, Curve: "P-384", KeyStatus: keyOnline, Signable: true},
	} {
		var one keyPairOnWire
		get(keyPairsPath+"/"+want.ID, &one)
		for _, have := range []keyPairOnWire{pairs.Items[i], one} {
			if have.ID != want.ID || have.Alias != want.Alias || have.KeyAlg != want.KeyAlg || have.KeySize != want.KeySize || have.Curve != want.Curve ||
				have.KeyStatus != want.KeyStatus || have.Active != want.Active || have.Signable != want.Signable || have.Account != (named{uuidOf(w.account), "Acme"}) {
				t.Errorf("the key pair is %+v, want %+v", have, want)
			}
		}
	}
	w.clock.Set(active.Certificate.NotAfter.AddDate(0, 0, 1))
	later := w.signerWith(t, w.account, "Later", "SM_SIGNER")
	u.key = later.key
	if list, _ := aliases("?certificate_status=EXPIRED"); list != " active EXPIRED" {
		t.Errorf("expired are%s", list)
	}
}

// TestSigningWithOpenSSL signs the hash of a file for each kind of key, and has openssl
// verify it with the certificate and the chain from the list.
func TestSigningWithOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		testkit.Require(t, "openssl")
	}
	w := newWorld(t, nil)
	u := w.signerWith(t, w.account, "Build", "SM_SIGNER")
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	content := []byte("the file that is signed")
	must(t, os.WriteFile(filepath.Join(dir, "file"), content, 0o600))
	for _, tt := range []struct {
		keyType   tbs.KeyType
		algorithm string
		hash      crypto.Hash
		verify    []string
	}{
		{tbs.RSA2048, "SHA256withRSA", crypto.SHA256, []string{"-sha256"}},
		{tbs.RSA3072, "SHA512withRSAandMGF1", crypto.SHA512, []string{"-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"}},
		{tbs.ECP256, "SHA256WithECDSA", crypto.SHA256, []string{"-sha256"}},
		{tbs.ECP384, "SHA384withECDSA", crypto.SHA384, []string{"-sha384"}},
	} {
		k := w.keyPair(t, w.account, string(tt.keyType), tt.keyType)
		h := tt.hash.New()
		h.Write(content)
		a := w.do(t, client{auth: true, cert: u.cert, key: u.key}, "POST", signPathOf(k), signBody(tt.algorithm, h.Sum(nil)),
			"Content-Type", "application/json; charset=utf-8")
		var signed signature
		if err := json.Unmarshal([]byte(a.body), &signed); err != nil || a.status != 200 {
			t.Fatalf("%s: %d %s", tt.algorithm, a.status, a.body)
		}
		must(t, os.WriteFile(filepath.Join(dir, "signature"), got(base64.StdEncoding.DecodeString(signed.Signature))(t), 0o600))
		a = w.do(t, client{key: u.key}, "GET", certificatesPath+"?alias="+string(tt.keyType), "")
		var list envelope[signingCert]
		must(t, json.Unmarshal([]byte(a.body), &list))
		cert := list.Items[0]
		writePEM(t, filepath.Join(dir, "cert.pem"), cert.Cert)
		writePEM(t, filepath.Join(dir, "ca.pem"), cert.Chain[0].Blob)
		writePEM(t, filepath.Join(dir, "root.pem"), cert.Chain[1].Blob)
		public := run("x509", "-in", "cert.pem", "-noout", "-pubkey")
		must(t, os.WriteFile(filepath.Join(dir, "public.pem"), []byte(public), 0o600))
		run(append(append([]string{"dgst"}, tt.verify...), "-verify", "public.pem", "-signature", "signature", "file")...)
		at := fmt.Sprint(w.clock.Now().Unix())
		run("verify", "-attime", at, "-CAfile", "root.pem", "-untrusted", "ca.pem", "cert.pem")
	}
}

func writePEM(t *testing.T, path, base64DER string) {
	t.Helper()
	der := got(base64.StdEncoding.DecodeString(base64DER))(t)
	var text bytes.Buffer
	must(t, pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	must(t, os.WriteFile(path, text.Bytes(), 0o600))
}

// TestSigningClient has a client in Java, which sends what Jsign does, sign with the file
// of a certificate that was made here, which it cannot without.
func TestSigningClient(t *testing.T) {
	if _, err := exec.LookPath("javac"); err != nil {
		t.Log("no JDK is on this machine: java was not tried")
		return
	}
	program := got(filepath.Abs("testdata/SigningClient.java"))(t)
	l := &p12Lab{world: newWorld(t, nil), dir: t.TempDir()}
	_, l.port, _ = net.SplitHostPort(l.address)
	u := l.signerWith(t, l.account, "Build", "SM_SIGNER")
	l.keyPair(t, l.account, "release rsa", tbs.RSA2048)
	l.keyPair(t, l.account, "release-ec", tbs.ECP256)
	made := read[generatedCert](t, l.do(t, client{key: u.key}, "POST", certsPath+"/generate", `{"name":"java","end_date":"2027-02-01"}`), 201)
	file := l.do(t, client{key: u.key}, "GET", certsPath+"/"+made.ID+"/p12?token="+made.DownloadToken, "")
	l.write(t, "client.p12", file.body)
	l.write(t, "file", "what is signed")
	l.writeTrust(t)
	t.Setenv("KEY", u.key)
	t.Setenv("P12_PASSWORD", made.Password)
	out := l.run(t, "java", "-Djdk.net.hosts.file=hosts", program, "release rsa", "release-ec")
	if want := "403 access_denied: " + textFactor + "\nrelease rsa SHA256withRSA true\nrelease-ec SHA256withECDSA true\n"; out != want {
		t.Errorf("it prints %q, want %q", out, want)
	}
}

// FuzzSignRequest holds that any body gives a digest and an account, or is refused, and
// that the account is the caller's own if the body names none.
func FuzzSignRequest(f *testing.F) {
	own := telamon.NewAccountID()
	f.Add([]byte(signBody("SHA256withRSA", make([]byte, 32))))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in signRequest
		if decodeObject(body, &in) != nil {
			return
		}
		account, digest, err := in.parse(own)
		if err != nil {
			if account != "" || digest != nil {
				t.Errorf("%q is refused, and gives %s and %x", body, account, digest)
			}
			return
		}
		if in.Algorithm == nil || in.Hash == nil || base64.StdEncoding.EncodeToString(digest) != strings.NewReplacer("\r", "", "\n", "").Replace(*in.Hash) {
			t.Errorf("%q gives the digest %x", body, digest)
		}
		if given := len(in.Account) > 0 && string(in.Account) != "null"; !given && account != own || uuidOf(account) == "" {
			t.Errorf("%q gives the account %s, and the caller's is %s", body, account, own)
		}
	})
}

func auditOf(action string) store.AuditFilter { return store.AuditFilter{Action: action, Limit: 1000} }
