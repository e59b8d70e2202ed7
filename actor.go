package telamon

import (
	"net/netip"
	"time"
)

// An ActorKind says how an actor was authenticated.
type ActorKind string

// The kinds of actors.
const (
	ActorCredential ActorKind = "credential" // an API credential's token (Atlas)
	ActorUser       ActorKind = "user"       // a user, by an API token, a client certificate or both, or a session
	ActorOperator   ActorKind = "operator"   // the admin socket's owner
	ActorSystem     ActorKind = "system"     // the platform itself: jobs, start-up
	ActorAnonymous  ActorKind = "anonymous"  // nobody yet: a login that is being tried
)

// An Actor is who makes a request, after authentication. It is the first
// argument of every use case after the context.
type Actor struct {
	Kind      ActorKind
	Account   AccountID // empty for operators and the system
	Address   netip.Addr
	RequestID string
	// Operator is the name of an operator who has shown who it is; "" for others. Of a user
	// it is set only where two people are told apart.
	Operator string

	// The following are set for ActorUser only. Token or ClientCert or both, or Session, are
	// what the user showed.
	User           UserID
	UserName       string
	Roles          []string
	Token          APITokenID
	Session        SessionID
	SecondFactorAt time.Time // when the session last showed a second factor; zero: never

	// The following are set for ActorCredential only, but for ClientCert.
	Credential CredentialID
	Pair       PairID       // the credential's subscription and identity at login
	ClientCert ClientCertID // empty if none was needed or shown
	Issuer     IssuerID     // bound at login: issuance and trust chain agree
}

// Subject names the actor in an audit event: the credential's or user's ID, or the kind,
// with the name of an operator who has one.
func (a Actor) Subject() string {
	if a.User != "" {
		return a.User.String()
	}
	if a.Credential != "" {
		return a.Credential.String()
	}
	if a.Operator != "" {
		return string(a.Kind) + ":" + a.Operator
	}
	return string(a.Kind)
}

// StaffName is the name by which one of the CA's staff asks for what needs two people, and
// decides what another has asked for: that of an operator who has shown who it is, also of
// one who acts as a user, or else a user's ID, which is no operator's name; "" for others.
// What it is allowed is for the roles to say.
func (a Actor) StaffName() string {
	switch {
	case a.Kind == ActorUser && a.User == "", a.Kind != ActorUser && a.Kind != ActorOperator:
		return ""
	case a.Operator != "":
		return a.Operator
	}
	return a.User.String()
}

// A PairID numbers one (subscription, identity) of an account. All that an Atlas
// credential reads and writes is scoped to its pair. It is a number and not a
// prefixed ID because it leads the indexes of the largest tables.
type PairID int64

// An Event is one entry of the audit log, before it has a place in it.
type Event struct {
	ID      EventID
	At      time.Time
	Actor   Actor
	Action  string // object.verb, such as "certificate.issue"
	Object  string // the object's ID, serial or name
	Account AccountID
	Result  string // "ok", or the code of the fault
	Before  any    // marshalled to JSON; nil leaves it out; never a secret
	After   any
}
