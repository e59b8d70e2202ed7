package clients

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
)

// FuzzDayEnd holds that a day is its last second, and that nothing else is one.
func FuzzDayEnd(f *testing.F) {
	for _, seed := range []string{"2027-01-31", "", " 2027-01-31 ", "2027-02-30", "31.1.2027", "2027-01-31T00:00:00Z", "0000-01-01", "99999-01-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := dayEnd(text)
		trimmed := strings.TrimSpace(text)
		switch {
		case ok && trimmed == "":
			if !at.IsZero() {
				t.Errorf("no day is %s", at)
			}
		case ok:
			if at.Format(time.DateOnly) != trimmed || at.Format(time.TimeOnly) != "23:59:59" || at.Location() != time.UTC {
				t.Errorf("dayEnd(%q) = %s", text, at)
			}
		case !at.IsZero():
			t.Errorf("dayEnd(%q) = %s, and false", text, at)
		}
	})
}

var plainName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// FuzzFileName holds that names of files are what headers, file systems and shells take as
// they are, whatever the certificate is called.
func FuzzFileName(f *testing.F) {
	for _, seed := range []string{"CI pipeline", "証明書", "../../etc/passwd", "a\"; rm -rf ~", "", "-x-", strings.Repeat("a", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := fileName(telamon.ClientCert{Name: name}); !plainName.MatchString(got) || strings.HasPrefix(got, "-") {
			t.Errorf("the file of %q is %q", name, got)
		}
	})
}
