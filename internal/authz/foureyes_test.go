package authz_test

import (
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

// TestFourEyes goes through who may approve and reject what somebody asked for.
func TestFourEyes(t *testing.T) {
	ada := telamon.Actor{Kind: telamon.ActorOperator, Operator: "ada"}
	bob := telamon.Actor{Kind: telamon.ActorOperator, Operator: "bob"}
	for _, tt := range []struct {
		name    string
		actor   telamon.Actor
		approve bool
		code    string // "" is allowed
	}{
		{"another operator approves", bob, true, ""},
		{"another operator rejects", bob, false, ""},
		{"the same one approves", ada, true, "own_proposal"},
		{"the same one withdraws it", ada, false, ""},
		{"an operator without a name approves", telamon.Actor{Kind: telamon.ActorOperator}, true, "operator_unnamed"},
		{"an operator without a name rejects", telamon.Actor{Kind: telamon.ActorOperator}, false, "operator_unnamed"},
		{"a credential of that name", telamon.Actor{Kind: telamon.ActorCredential, Operator: "bob"}, true, "operator_unnamed"},
		{"a user", telamon.Actor{Kind: telamon.ActorUser, User: "usr_x"}, true, ""},
		{"a user of no ID", telamon.Actor{Kind: telamon.ActorUser, Operator: "bob"}, true, "operator_unnamed"},
		{"the platform", telamon.Actor{Kind: telamon.ActorSystem, Operator: "bob"}, true, "operator_unnamed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := authz.MayDecide(tt.actor, "ada", tt.approve)
			if f := fault.From(err); (err == nil) != (tt.code == "") || err != nil && (f.Kind != fault.Denied || f.Code != tt.code) {
				t.Errorf("MayDecide() = %v, want %q", err, tt.code)
			}
		})
	}
	if authz.NeedsTwo(authz.CertificateRevoke) || authz.NeedsTwo("certificate.forge") || !authz.NeedsTwo(authz.ServiceUpdate) {
		t.Error("the table of what needs two is another one")
	}
}
