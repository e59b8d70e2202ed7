package authz_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

var kinds = []telamon.ActorKind{
	telamon.ActorCredential, telamon.ActorOperator, telamon.ActorSystem, telamon.ActorAnonymous,
}

// TestTable compares the whole table with its golden file, so that no right is
// given or taken without a line of a review.
func TestTable(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s", "action")
	for _, kind := range kinds {
		fmt.Fprintf(&b, " %-11s", kind)
	}
	b.WriteString(" four eyes\n")
	for _, action := range authz.Actions() {
		fmt.Fprintf(&b, "%-28s", action)
		for _, kind := range kinds {
			fmt.Fprintf(&b, " %-11s", authz.ReachOf(kind, action))
		}
		if authz.NeedsTwo(action) {
			b.WriteString(" two")
		}
		b.WriteByte('\n')
	}
	compare(t, "testdata/table.golden", b.String())
}

// compare compares a table with its golden file, line by line.
func compare(t *testing.T, golden, table string) {
	t.Helper()
	got := regexp.MustCompile(` +\n`).ReplaceAllString(table, "\n")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("%s:%d: the table says\n\t%s\nwant\n\t%s\n(go test -update writes it)", golden, i+1, g, w)
		}
	}
}

// TestActions holds Actions to the constants that are declared, and their texts
// to one form.
func TestActions(t *testing.T) {
	declared := declaredActions(t)
	if got := authz.Actions(); !slices.Equal(got, declared) {
		t.Errorf("Actions() = %v, want the declared constants in their order: %v", got, declared)
	}
	seen := map[authz.Action]bool{}
	form := regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	for _, action := range declared {
		if !form.MatchString(string(action)) || seen[action] {
			t.Errorf("action %q is not of the form object.verb, or is there twice", action)
		}
		seen[action] = true
	}
}

func declaredActions(t *testing.T) []authz.Action {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []authz.Action
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Action" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, authz.Action(text))
		}
		return true
	})
	return out
}

func TestCheck(t *testing.T) {
	mine, other := telamon.NewAccountID(), telamon.NewAccountID()
	credential := telamon.Actor{Kind: telamon.ActorCredential, Account: mine}
	const allowed = fault.Kind(255)
	tests := []struct {
		name   string
		actor  telamon.Actor
		action authz.Action
		owner  telamon.AccountID
		want   fault.Kind
	}{
		{"own object", credential, authz.CertificateRevoke, mine, allowed},
		{"another account's object", credential, authz.CertificateRevoke, other, fault.NotFound},
		{"the platform's object", credential, authz.CertificateRead, "", fault.NotFound},
		{"a public object", credential, authz.IssuerChain, "", allowed},
		{"a right that it has not", credential, authz.CredentialCreate, mine, fault.Denied},
		{"a right that it has not, elsewhere", credential, authz.CredentialCreate, other, fault.Denied},
		{"a credential without an account", telamon.Actor{Kind: telamon.ActorCredential}, authz.CertificateRead, "", fault.NotFound},
		{"operator", telamon.Actor{Kind: telamon.ActorOperator}, authz.CredentialCreate, other, allowed},
		{"operator issues", telamon.Actor{Kind: telamon.ActorOperator}, authz.CertificateIssue, other, fault.Denied},
		{"system reads the log", telamon.Actor{Kind: telamon.ActorSystem}, authz.AuditVerify, "", allowed},
		{"stranger logs in", telamon.Actor{Kind: telamon.ActorAnonymous}, authz.CredentialLogin, other, allowed},
		{"stranger reads", telamon.Actor{Kind: telamon.ActorAnonymous}, authz.CertificateRead, other, fault.Denied},
		{"no kind", telamon.Actor{Account: mine}, authz.CertificateRead, mine, fault.Denied},
		{"unknown kind", telamon.Actor{Kind: "root", Account: mine}, authz.CertificateRead, mine, fault.Denied},
		{"unknown action", telamon.Actor{Kind: telamon.ActorOperator}, "certificate.forge", mine, fault.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := authz.Check(tt.actor, tt.action, tt.owner)
			if tt.want == allowed {
				if err != nil {
					t.Errorf("Check(%s, %s, %q) = %v, want nil", tt.actor.Kind, tt.action, tt.owner, err)
				}
				return
			}
			if err == nil || !fault.Is(err, tt.want) {
				t.Errorf("Check(%s, %s, %q) = %v, want a fault of kind %s", tt.actor.Kind, tt.action, tt.owner, err, tt.want)
			}
		})
	}
}

// TestCheckNeverCrossesAccounts holds for every action: what is refused on
// another account's object is refused in a way that does not tell whether it
// exists.
func TestCheckNeverCrossesAccounts(t *testing.T) {
	mine, other := telamon.NewAccountID(), telamon.NewAccountID()
	actor := telamon.Actor{Kind: telamon.ActorCredential, Account: mine}
	for _, action := range authz.Actions() {
		err := authz.Check(actor, action, other)
		if authz.ReachOf(actor.Kind, action) == authz.Any {
			continue
		}
		absent := authz.Check(actor, action, "")
		if err == nil || absent == nil || err.Error() != absent.Error() {
			t.Errorf("%s on another account's object reports %v, on none %v; want the same fault", action, err, absent)
		}
	}
}
