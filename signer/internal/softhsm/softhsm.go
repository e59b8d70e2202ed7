// Package softhsm gives tests a PKCS #11 token of their own, by SoftHSM. It is for
// tests only.
package softhsm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/telamon-ca/telamon/internal/testkit"
)

// Label is the token's name.
const Label = "telamon"

// A Token is a token that was just made.
type Token struct {
	URI  string // for devices
	PIN  string
	Conf string // the file that SOFTHSM2_CONF names
	Dir  string // where the token is; removing it is losing the token
}

// modules are where systems have the module.
var modules = []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"}

// Module returns the path of SoftHSM's PKCS #11 module.
func Module(t testing.TB) string {
	t.Helper()
	for _, pattern := range modules {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	testkit.Require(t, "SoftHSM (Debian: softhsm2)")
	return ""
}

// New makes a token and sets SOFTHSM2_CONF for the test and its children.
func New(t testing.TB) Token {
	t.Helper()
	module, dir := Module(t), t.TempDir()
	token := Token{
		URI: "pkcs11:module-path=" + module + ";token=" + Label, PIN: "1234", Conf: filepath.Join(dir, "softhsm2.conf"),
		Dir: filepath.Join(dir, "tokens"),
	}
	if err := os.Mkdir(token.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", token.Dir)
	if err := os.WriteFile(token.Conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", token.Conf)
	cmd := exec.Command("softhsm2-util", "--init-token", "--free", "--label", Label, "--pin", token.PIN, "--so-pin", "4321")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
	return token
}
