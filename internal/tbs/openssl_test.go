package tbs_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/testkit"
)

// A workshop is a directory in which openssl works.
type workshop struct {
	testing.TB
	dir string
}

func newWorkshop(t testing.TB) *workshop {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		testkit.Require(t, "openssl")
	}
	return &workshop{t, t.TempDir()}
}

// run runs openssl in the workshop with input, and returns what it writes.
func (w *workshop) run(input []byte, args ...string) []byte {
	w.Helper()
	var out, complaint bytes.Buffer
	cmd := exec.Command("openssl", args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = w.dir, bytes.NewReader(input), &out, &complaint
	if err := cmd.Run(); err != nil {
		w.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return out.Bytes()
}

// key makes a private key in key.pem by the arguments of genpkey, and returns its
// public half as PEM.
func (w *workshop) key(genpkey ...string) string {
	w.Helper()
	w.run(nil, append([]string{"genpkey", "-out", "key.pem", "-algorithm"}, genpkey...)...)
	return string(w.run(nil, "pkey", "-in", "key.pem", "-pubout"))
}

// own writes signer into key.pem, and returns its public half as PEM.
func (w *workshop) own(signer crypto.Signer) string {
	w.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		w.Fatal(err)
	}
	w.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return string(w.run(nil, "pkey", "-in", "key.pem", "-pubout"))
}

// write puts a file into the workshop.
func (w *workshop) write(name string, content []byte) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), content, 0o600); err != nil {
		w.Fatal(err)
	}
}

// asn1 returns what openssl makes of DER, an element a line.
func (w *workshop) asn1(der []byte) string {
	w.Helper()
	return string(w.run(der, "asn1parse", "-inform", "DER", "-i"))
}
