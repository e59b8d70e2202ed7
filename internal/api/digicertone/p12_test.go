package digicertone

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/testkit"
)

// p12Lab is a directory with files of two certificates, one for each encryption, as their
// users have them, and what reaches the world from a process of its own.
type p12Lab struct {
	*world
	dir, port string
	made      map[string]generatedCert // by encryption
}

func newP12Lab(t *testing.T) *p12Lab {
	t.Helper()
	l := &p12Lab{world: newWorld(t, nil), dir: t.TempDir(), made: map[string]generatedCert{}}
	_, l.port, _ = net.SplitHostPort(l.address)
	c, _ := l.serviceUser(t, "ci", time.Time{})
	for _, encryption := range []string{"AES", "3DES"} {
		request := body(t, map[string]any{"name": "by " + encryption, "encryption": encryption, "end_date": "2027-02-01"})
		made := read[generatedCert](t, l.do(t, c, "POST", certsPath+"/generate", request), 201)
		file := l.do(t, c, "GET", certsPath+"/"+made.ID+"/p12?token="+made.DownloadToken, "")
		if file.status != 200 {
			t.Fatalf("the download is answered by %d %s", file.status, file.body)
		}
		if again := l.do(t, c, "GET", certsPath+"/"+made.ID+"/p12?token="+made.DownloadToken, ""); again.status != 404 {
			t.Errorf("a second download is answered by %d", again.status)
		}
		l.write(t, encryption+".p12", file.body)
		l.made[encryption] = made
	}
	l.writeTrust(t)
	return l
}

// writeTrust writes the server's certificate, and its address as Java reads it.
func (l *p12Lab) writeTrust(t testing.TB) {
	t.Helper()
	conn := got(tls.Dial("tcp", l.address, &tls.Config{ServerName: baseHost, RootCAs: l.roots}))(t)
	defer conn.Close()
	l.write(t, "ca.pem", pemOf(conn.ConnectionState().PeerCertificates[0].Raw))
	l.write(t, "hosts", "127.0.0.1 "+authHost+"\n")
}

func (l *p12Lab) write(t testing.TB, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600))
}

// run runs a program in the lab's directory and returns what it prints. The lab's facts
// are in its environment.
func (l *p12Lab) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		testkit.Require(t, name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "PORT="+l.port, "HOST="+authHost, "P12_AES="+l.made["AES"].Password, "P12_3DES="+l.made["3DES"].Password)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, stderr.Bytes())
	}
	return string(out)
}

// TestP12OfClients authenticates by the files in the clients that the documents name, over
// mutual TLS.
func TestP12OfClients(t *testing.T) {
	l := newP12Lab(t)
	t.Run("curl", func(t *testing.T) {
		for encryption, made := range l.made {
			l.write(t, "curl.conf", fmt.Sprintf("cert = \"%s.p12:%s\"\n", encryption, made.Password))
			out := l.run(t, "curl", "-sS", "-K", "curl.conf", "--cert-type", "P12", "--cacert", "ca.pem", "--resolve", authHost+":"+l.port+":127.0.0.1",
				"-w", " %{http_code} %{http_version}", "https://"+authHost+":"+l.port+helloPath)
			if out != hello+" 200 2" {
				t.Errorf("%s: curl prints %q", encryption, out)
			}
		}
	})
	t.Run("node", func(t *testing.T) {
		l.write(t, "client.js", nodeClient)
		if out, want := l.run(t, "node", "client.js"), "AES 200 "+hello+"\n3DES 200 "+hello+"\n"; out != want {
			t.Errorf("node prints %q, want %q", out, want)
		}
	})
	t.Run("java", func(t *testing.T) {
		if _, err := exec.LookPath("javac"); err != nil {
			t.Log("no JDK is on this machine: java was not tried")
			return
		}
		l.write(t, "Client.java", javaClient)
		out := l.run(t, "java", "-Djdk.net.hosts.file=hosts", "Client.java")
		if want := "AES 200 " + hello + "\n3DES 200 " + hello + "\n"; out != want {
			t.Errorf("java prints %q, want %q", out, want)
		}
	})
}

// nodeClient calls with each file.
const nodeClient = `
const fs = require('fs'), https = require('https');
function call(encryption, then) {
	https.get({
		host: '127.0.0.1', port: process.env.PORT, servername: process.env.HOST, path: '` + helloPath + `',
		headers: {Host: process.env.HOST + ':' + process.env.PORT}, ca: fs.readFileSync('ca.pem'), agent: false,
		pfx: fs.readFileSync(encryption + '.p12'), passphrase: process.env['P12_' + encryption],
	}, answer => {
		let text = '';
		answer.on('data', part => text += part).on('end', () => { console.log(encryption, answer.statusCode, text); then(); });
	});
}
call('AES', () => call('3DES', () => {}));
`

// javaClient calls with each file.
const javaClient = `
import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Client {
	public static void main(String[] args) throws Exception {
		KeyStore trusted = KeyStore.getInstance("PKCS12");
		trusted.load(null, null);
		try (InputStream in = new FileInputStream("ca.pem")) {
			trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
		trust.init(trusted);
		for (String encryption : new String[] {"AES", "3DES"}) {
			char[] password = System.getenv("P12_" + encryption).toCharArray();
			KeyStore own = KeyStore.getInstance("PKCS12");
			try (InputStream in = new FileInputStream(encryption + ".p12")) {
				own.load(in, password);
			}
			KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
			keys.init(own, password);
			SSLContext context = SSLContext.getInstance("TLS");
			context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
			HttpClient client = HttpClient.newBuilder().sslContext(context).build();
			URI uri = URI.create("https://" + System.getenv("HOST") + ":" + System.getenv("PORT") + "` + helloPath + `");
			HttpResponse<String> answer = client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
			System.out.println(encryption + " " + answer.statusCode() + " " + answer.body());
		}
	}
}
`

// TestP12OfOpenSSL reads the files as the documented monitoring does, whose pipe sees the
// first certificate alone, and looks by what they are encrypted.
func TestP12OfOpenSSL(t *testing.T) {
	l := newP12Lab(t)
	algorithms := map[string][]string{
		"AES":  {"MAC: sha256", "PBES2, PBKDF2, AES-256-CBC", "hmacWithSHA256"},
		"3DES": {"MAC: sha1", "pbeWithSHA1And3-KeyTripleDES-CBC"},
	}
	for encryption := range l.made {
		pass := "env:P12_" + encryption
		info := l.run(t, "sh", "-c", "openssl pkcs12 -in "+encryption+".p12 -info -noout -passin "+pass+" 2>&1")
		for _, want := range algorithms[encryption] {
			if !strings.Contains(info, want) {
				t.Errorf("the file of %s has no %s: %s", encryption, want, info)
			}
		}
		if strings.Contains(info, "RC2") {
			t.Errorf("the file of %s is encrypted by RC2: %s", encryption, info)
		}
		pipe := "openssl pkcs12 -in " + encryption + ".p12 -nokeys -passin " + pass + " 2>/dev/null | openssl x509 -noout -enddate"
		if out := l.run(t, "sh", "-c", pipe); out != "notAfter=Feb  1 23:59:59 2027 GMT\n" {
			t.Errorf("the end of %s is %q", encryption, out)
		}
		days := l.run(t, "sh", "-c", `end=$(`+pipe+` | cut -d= -f2)
			echo $(( ($(date -d "$end" +%s) - $(date -d 2026-11-22T10:00:00Z +%s)) / 86400 ))`)
		if days != "71\n" { // and so fewer than 90
			t.Errorf("the monitoring script counts %q days, want 71", days)
		}
		both := l.run(t, "sh", "-c", "openssl pkcs12 -in "+encryption+".p12 -passin "+pass+" -nodes | grep -i -A1 localKeyID")
		if strings.Count(both, "localKeyID") != 2 {
			t.Errorf("key and certificate do not name each other: %s", both)
		}
	}
}

// TestCertListInJQ pipes the list as the documents do, an empty one too.
func TestCertListInJQ(t *testing.T) {
	l := &p12Lab{world: newWorld(t, nil), dir: t.TempDir()}
	c, _ := l.serviceUser(t, "ci", time.Time{})
	list := func() string {
		l.write(t, "list.json", l.do(t, c, "GET", certsPath, "").body)
		return l.run(t, "jq", "-c", ".[] | {name,end_date,enabled}", "list.json")
	}
	if out := list(); out != "" {
		t.Errorf("of an empty list jq prints %q", out)
	}
	l.newCert(t, c, "build")
	var one struct {
		Name    string `json:"name"`
		EndDate string `json:"end_date"`
		Enabled bool   `json:"enabled"`
	}
	out := list()
	must(t, json.Unmarshal([]byte(out), &one))
	if one.Name != "build" || one.EndDate != "2027-11-22T23:59:59Z" || !one.Enabled {
		t.Errorf("jq prints %q", out)
	}
}
