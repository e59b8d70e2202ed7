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
	user := func(operator string) telamon.Actor {
		return telamon.Actor{Kind: telamon.ActorUser, User: telamon.NewUserID(), Session: telamon.NewSessionID(), Operator: operator}
	}
	cleo, dora, adaAgain := user(""), user(""), user("ada")
	machine := user("")
	machine.Session = ""
	socket := telamon.Proposal{RequestedBy: "ada"}
	portal := telamon.Proposal{RequestedBy: cleo.User.String(), User: cleo.User}
	linked := telamon.Proposal{RequestedBy: "ada", User: adaAgain.User}
	for _, tt := range []struct {
		name    string
		actor   telamon.Actor
		p       telamon.Proposal
		approve bool
		code    string // "" is allowed
	}{
		{"another operator approves", bob, socket, true, ""},
		{"another operator rejects", bob, socket, false, ""},
		{"the same one approves", ada, socket, true, "own_proposal"},
		{"the same one withdraws it", ada, socket, false, ""},
		{"an operator without a name approves", telamon.Actor{Kind: telamon.ActorOperator}, socket, true, "operator_unnamed"},
		{"an operator without a name rejects", telamon.Actor{Kind: telamon.ActorOperator}, socket, false, "operator_unnamed"},
		{"a credential of that name", telamon.Actor{Kind: telamon.ActorCredential, Operator: "bob"}, socket, true, "operator_unnamed"},
		{"the platform", telamon.Actor{Kind: telamon.ActorSystem, Operator: "bob"}, socket, true, "operator_unnamed"},
		{"a service user", machine, socket, true, "not_a_person"},
		{"a service user rejects", machine, socket, false, ""},
		{"a user of no ID", telamon.Actor{Kind: telamon.ActorUser, Operator: "bob"}, socket, true, "operator_unnamed"},
		{"the same human in the portal", adaAgain, socket, true, "own_proposal"},
		{"another operator in the portal", user("bob"), socket, true, ""},
		{"a user whom nobody knows as an operator", cleo, socket, true, "operator_unlinked"},
		{"the same rejects", cleo, socket, false, ""},
		{"the user who asked", cleo, portal, true, "own_proposal"},
		{"the user who asked withdraws it", cleo, portal, false, ""},
		{"another user", dora, portal, true, ""},
		{"another user, an operator as well", user("bob"), portal, true, ""},
		{"an operator, for a user who is none", bob, portal, true, "operator_unlinked"},
		{"an operator, for a user who is another one", bob, linked, true, ""},
		{"the same human on the socket", ada, linked, true, "own_proposal"},
		{"another user, for an operator's user", dora, linked, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := authz.MayDecide(tt.actor, &tt.p, tt.approve)
			if f := fault.From(err); (err == nil) != (tt.code == "") || err != nil && (f.Kind != fault.Denied || f.Code != tt.code) {
				t.Errorf("MayDecide() = %v, want %q", err, tt.code)
			}
		})
	}
	if authz.NeedsTwo(authz.CertificateRevoke) || authz.NeedsTwo("certificate.forge") || !authz.NeedsTwo(authz.ServiceUpdate) {
		t.Error("the table of what needs two is another one")
	}
}
