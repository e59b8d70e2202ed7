package app_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/testkit"
)

// Clients of the documents against the faces of DigiCert ONE.

// tools says that a test needs programs.
func tools(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			testkit.Require(t, program)
		}
	}
}

// A shell runs commands in a directory, as one whose host names lead to the server.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

func (o *one) shell(variables ...string) *shell {
	o.t.Helper()
	_, port, err := net.SplitHostPort(o.server.Addr.String())
	if err != nil {
		o.t.Fatal(err)
	}
	resolve := "--resolve " + oneHost + ":" + port + ":127.0.0.1 --resolve " + clientauthHost + ":" + port + ":127.0.0.1"
	return &shell{o.t, o.t.TempDir(), append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.t.TempDir(), "R=" + resolve + " --cacert " + o.caFile + " -sS", "CA=" + o.caFile, "PORT=" + port,
		"BASE=https://" + oneHost + ":" + port, "CLIENTAUTH=https://" + clientauthHost + ":" + port,
		"HOST=" + clientauthHost, "P12_PASSWORD=a-password", "CERTS=/account/api/v1/client-auth-certificate", "ME=/account/api/v1/user/me",
	}, variables...)}
}

// run runs a script, which must succeed, and returns what it prints.
func (s *shell) run(script string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-euc", script)
	cmd.Dir, cmd.Env = s.dir, s.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s\n%s%s%v", script, out, stderr.String(), err)
	}
	return string(out)
}

// prints reports an error unless a script prints a text.
func (s *shell) prints(script, want string) {
	s.t.Helper()
	if got := s.run(script); got != want {
		s.t.Errorf("%s\nprints %q, want %q", script, got, want)
	}
}

// The parts of the tutorial "set up service user multi-factor authentication".
const (
	enrol = `
openssl req -new -newkey rsa:2048 -nodes -keyout client_auth.key -out client_auth.csr -subj "/CN=ci-cd-pipeline/O=Example Corp/C=US" 2>/dev/null
chmod 400 client_auth.key
CSR=$(awk '{printf "%s\\n", $0}' client_auth.csr)
curl $R -X POST "$BASE$CERTS" -H "x-api-key: $KEY" -H "Content-Type: application/json" \
  -d "{\"csr\": \"$CSR\", \"name\": \"CI-CD Pipeline Certificate\", \"exp\": \"$EXP\"}" -o response.json -w '%{http_code} %{content_type}'
jq -r .x509_cert response.json >client_auth.crt
openssl pkcs12 -export -inkey client_auth.key -in client_auth.crt -out client_auth.p12 \
  -name "DigiCert Client Auth Certificate" -passout env:P12_PASSWORD
rm -f client_auth.key`
	whoami = `curl $R "$CLIENTAUTH$ME" --cert client_auth.p12:$P12_PASSWORD --cert-type P12 -w '\n%{http_code}'`
	list   = `curl $R "$BASE$CERTS" -H "x-api-key: $KEY" | jq -c '.[] | {name, end_date, enabled}'`
	enable = `curl $R -X PUT "$BASE$CERTS/$(jq -r .id response.json)/enable" -H "x-api-key: $KEY" -H "Content-Type: application/json" \
  -d '{"enabled": ENABLED}' -w '\n%{http_code}'`

	refusedByCurl = `{"errors":[{"code":"AUTHORIZATION_ERROR","message":"No authentication data provided"}]}` + "\n403"
)

// The tutorial from its first to its last step, with curl, openssl and jq.
func TestConformance01Tutorial(t *testing.T) {
	tools(t, "curl", "openssl", "jq")
	o := newOne(t)
	u := o.user(o.account, "CI-CD Pipeline", time.Time{})
	s := o.shell("KEY="+u.key, "EXP=2031-10-20T23:59:59Z")
	s.prints(enrol, "201 application/json")
	s.prints(`openssl x509 -in client_auth.crt -noout -enddate; openssl pkcs12 -in client_auth.p12 -noout -passin env:P12_PASSWORD; ls *.key 2>/dev/null || true`,
		"notAfter=Oct 20 23:59:59 2031 GMT\n")
	s.prints(whoami+` | jq -r 'if type == "object" then .id else . end'`, u.id+"\n200\n")
	s.prints(`test "$(curl $R "$BASE$ME" -H "x-api-key: $KEY")" = "$(curl $R "$CLIENTAUTH$ME" --cert client_auth.p12:$P12_PASSWORD --cert-type P12)"`, "")
	off, on := strings.Replace(enable, "ENABLED", "false", 1), strings.Replace(enable, "ENABLED", "true", 1)
	s.prints(off+` | jq -c 'if type == "object" then [.enabled, has("x509_cert"), has("ca_cert")] else . end'`, "[false,false,false]\n200\n")
	s.prints(whoami, refusedByCurl)
	s.prints(on+` | jq -c 'if type == "object" then .enabled else . end'`, "true\n200\n")
	s.prints(whoami+` | tail -n 1`, "200")
}

// An expired certificate is refused by HTTP and not by TLS: curl succeeds.
func TestConformance03Expired(t *testing.T) {
	tools(t, "curl", "openssl", "jq")
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	s := o.shell("KEY="+u.key, "EXP=2031-05-20T23:59:59Z")
	s.run(enrol)
	o.setClock(time.Date(2031, 5, 20, 23, 59, 59, 999_000_000, time.UTC))
	s.prints(whoami+` | tail -n 1`, "200")
	o.setClock(time.Date(2031, 5, 21, 0, 0, 0, 0, time.UTC))
	for _, flags := range []string{"", " --tls-max 1.2", " --http1.1", " --tls-max 1.2 --http1.1"} {
		s.prints(whoami+flags, refusedByCurl)
	}
	s.prints(whoami+` -H "x-api-key: $KEY" | tail -n 1`, "200")
	s.prints(`code=0; curl $R "$CLIENTAUTH$ME" --cert client_auth.p12:wrong --cert-type P12 2>/dev/null || code=$?; echo $code`, "58\n")
}

// The list as monitoring reads it.
func TestConformance10List(t *testing.T) {
	tools(t, "curl", "openssl", "jq")
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	s := o.shell("KEY="+u.key, "EXP=2031-10-20T23:59:59Z")
	s.prints(list, "")
	s.prints(`curl $R "$BASE$CERTS" -H "x-api-key: $KEY"`, "[]")
	s.run(enrol)
	off := o.issue(u, "off", newKey(t))
	o.enabled(u, off.id, false)
	s.prints(list, `{"name":"CI-CD Pipeline Certificate","end_date":"2031-10-20T23:59:59Z","enabled":true}`+"\n"+
		`{"name":"off","end_date":"2032-05-19T23:59:59Z","enabled":false}`+"\n")
}

// nodeClient prints the status that a request by each of its PKCS #12 files is answered.
const nodeClient = `
const https = require('https'), fs = require('fs'), dir = process.argv[2], e = process.env;
for (const name of ['AES', '3DES']) {
	https.get({
		host: '127.0.0.1', port: e.PORT, servername: e.HOST, path: e.ME, headers: {host: e.HOST}, agent: false,
		pfx: fs.readFileSync(name + '.p12'), passphrase: fs.readFileSync(name + '.password', 'utf8'), ca: fs.readFileSync(e.CA),
	}, res => { res.resume(); res.on('end', () => console.log(name, res.statusCode)); }).on('error', err => console.log(name, err.message));
}`

// javaClient does the same. Names are resolved by a file of jdk.net.hosts.file.
const javaClient = `
import java.net.URI; import java.net.http.*; import java.nio.file.*; import java.security.*; import java.security.cert.*; import javax.net.ssl.*;
public class Client {
	public static void main(String[] args) throws Exception {
		var env = System.getenv();
		var trust = KeyStore.getInstance(KeyStore.getDefaultType());
		trust.load(null);
		try (var in = Files.newInputStream(Path.of(env.get("CA")))) {
			trust.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		var trusts = TrustManagerFactory.getInstance("PKIX");
		trusts.init(trust);
		for (var name : new String[]{"AES", "3DES"}) {
			var password = Files.readString(Path.of(name + ".password")).toCharArray();
			var store = KeyStore.getInstance("PKCS12");
			try (var in = Files.newInputStream(Path.of(name + ".p12"))) { store.load(in, password); }
			var keys = KeyManagerFactory.getInstance("PKIX");
			keys.init(store, password);
			var tls = SSLContext.getInstance("TLS");
			tls.init(keys.getKeyManagers(), trusts.getTrustManagers(), null);
			var request = HttpRequest.newBuilder(URI.create(env.get("CLIENTAUTH") + env.get("ME"))).build();
			var response = HttpClient.newBuilder().sslContext(tls).build().send(request, HttpResponse.BodyHandlers.ofString());
			System.out.println(name + " " + response.version() + " " + response.statusCode());
		}
	}
}`

// The PKCS #12 files that the server makes, in both encryptions: each is handed out once,
// and curl, Node and Java authenticate by them.
func TestConformance11PKCS12(t *testing.T) {
	tools(t, "curl", "openssl", "node", "java")
	o := newOne(t)
	u := o.user(o.account, "agent", time.Time{})
	s := o.shell()
	web := o.client(dial{})
	for _, encryption := range []string{"AES", "3DES"} {
		got := o.call(web, "POST", oneHost, certPath+"/generate", u.key, map[string]string{
			"name": "portal " + encryption, "end_date": "2031-10-20", "encryption": encryption, "signature_hash": "SHA-256",
		})
		var made struct {
			ID       string
			Password string
			Token    string `json:"download_token"`
		}
		if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.status != http.StatusCreated {
			t.Fatalf("%s: %s", encryption, got)
		}
		download := func() answer {
			return o.call(web, "GET", oneHost, certPath+"/"+made.ID+"/p12?token="+made.Token, u.key, nil)
		}
		file := download()
		if file.status != http.StatusOK || file.header.Get("Content-Type") != "application/x-pkcs12" {
			t.Fatalf("%s: %d %v", encryption, file.status, file.header)
		}
		o.refused("a second download", download(), http.StatusNotFound, "resource_not_found")
		for name, data := range map[string]string{".p12": file.body, ".password": made.Password} {
			if err := os.WriteFile(filepath.Join(s.dir, encryption+name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(script string) string { return "for e in AES 3DES; do\n" + script + "\ndone" }
	s.prints(both(`openssl pkcs12 -in $e.p12 -passin file:$e.password -nokeys 2>/dev/null | openssl x509 -noout -enddate`),
		strings.Repeat("notAfter=Oct 20 23:59:59 2031 GMT\n", 2))
	s.prints(both(`curl $R "$CLIENTAUTH$ME" --cert $e.p12:$(cat $e.password) --cert-type P12 -o /dev/null -w '%{http_code}\n'`), "200\n200\n")
	s.prints(both(ninetyDays), strings.Repeat("ok\n", 2))
	for name, text := range map[string]string{
		"client.js": nodeClient, "Client.java": javaClient, "hosts": "127.0.0.1 " + clientauthHost + "\n",
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.prints("node client.js | sort", "3DES 200\nAES 200\n")
	s.prints("java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djdk.net.hosts.file=hosts Client.java | sort", "3DES HTTP_2 200\nAES HTTP_2 200\n")
}

// ninetyDays is how the tutorial's script computes the days that are left, by a clock that
// is set to the test's.
const ninetyDays = `
end=$(openssl pkcs12 -in $e.p12 -passin file:$e.password -nokeys 2>/dev/null | openssl x509 -noout -enddate | cut -d= -f2)
days=$(( ($(date -d "$end" +%s) - $(date -d "2031-07-01T00:00:00Z" +%s)) / 86400 ))
if [ "$days" -lt 90 ]; then echo "expires in $days days"; else echo ok; fi`
