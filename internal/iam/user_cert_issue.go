package iam

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

const (
	// maxUserCertDays is how many days after that of its issue a user's certificate ends
	// at the latest, by dates in UTC (digicert-one.md, Section 3.2; Section 13, A9).
	maxUserCertDays = 397
	// defaultUserCertDays is the same of one that was asked for without an end
	// (digicert-one.md, Section 6.4; Section 13, A8).
	defaultUserCertDays = 365
	// maxUserRSA is the longest RSA modulus of a user's certificate, in bits
	// (digicert-one.md, Section 6.4).
	maxUserRSA = 4096
)

// A UserCertRequest asks for a client certificate of a user.
type UserCertRequest struct {
	Account telamon.AccountID // empty: the actor's
	User    telamon.UserID    // empty: the actor
	CSR     string            // PEM, or base64 of the DER
	Name    string            // unique among the user's, without regard to case
	End     *string           // the last second, in one of the forms of RFC 3339 or a date; nil: a year from today
}

// An IssuedUserCert is a client certificate of a user that was just issued.
type IssuedUserCert struct {
	telamon.ClientCert
	CA *x509.Certificate // its issuing CA
}

// IssueUserCert issues a client certificate for the key and the subject of a CSR. What
// else a CSR asks for is ignored. When it returns nil, the certificate is durable and
// authenticates its user.
//
// It checks in the order of digicert-one.md, Section 6.4, and reports Invalid with
// private_key, csr_unreadable, csr_signature, key_not_allowed, key_weak, key_blocked,
// invalid_subject, invalid_name or invalid_end; Conflict with name_taken or
// key_of_another_account; NotFound if the account has no such user; and Unavailable.
func (s *IAM) IssueUserCert(ctx context.Context, actor telamon.Actor, req UserCertRequest) (*IssuedUserCert, error) {
	user, err := s.certOwnerIn(ctx, actor, authz.ClientCertificateIssue, cmp.Or(req.Account, actor.Account), req.User)
	if err != nil {
		return nil, err
	}
	key, subject, err := s.readUserCSR(ctx, user.Account, req.CSR)
	if err != nil {
		return nil, err
	}
	name, end, err := s.nameAndEnd(ctx, user, req.Name, "exp", req.End)
	if err != nil {
		return nil, err
	}
	issued, err := s.signUserCert(ctx, user, userCert{name: name, subject: subject, key: key, notAfter: end, hash: hashSHA256})
	if err != nil {
		return nil, err
	}
	if err := s.store.CreateUserCert(ctx, actor, &issued.ClientCert, nil); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeClientCert, issued.ID.String())
	return issued, nil
}

// certOwner returns the user of the actor's account for whom the actor does the action,
// which may be the actor.
func (s *IAM) certOwner(ctx context.Context, actor telamon.Actor, action authz.Action, id telamon.UserID) (*telamon.User, error) {
	return s.certOwnerIn(ctx, actor, action, actor.Account, id)
}

// certOwnerIn is certOwner for a user of an account.
func (s *IAM) certOwnerIn(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.UserID) (*telamon.User, error) {
	if id == "" {
		id = actor.User
	}
	if err := authz.CheckUser(actor, action, account, id); err != nil {
		return nil, err
	}
	if action != authz.ClientCertificateRead {
		if err := s.maySelfIssue(actor); err != nil {
			return nil, err
		}
	}
	user, err := s.liveUser(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if action != authz.ClientCertificateRead && id != actor.User {
		if err := authz.MayGive(actor, user.Roles); err != nil { // who then could act with them
			return nil, err
		}
	}
	if action == authz.ClientCertificateIssue {
		if err := s.mustBeFreshFor(actor, user.Roles); err != nil {
			return nil, err
		}
	}
	// A machine of the staff gets none by its API token alone, which would be worth the
	// certificate that must be shown beside it: see AuthenticateMachine.
	if action == authz.ClientCertificateIssue && actor.Token != "" && actor.ClientCert == "" && slices.ContainsFunc(user.Roles, authz.IsStaffRole) {
		return nil, errCertificateNeeded()
	}
	return &user, nil
}

// maySelfIssue reports Denied to an actor who showed a certificate alone, if that is not
// enough to change certificates (digicert-one.md, Section 13, A25).
func (s *IAM) maySelfIssue(actor telamon.Actor) error {
	if s.noCertSelfIssue && actor.Kind == telamon.ActorUser && actor.Token == "" && actor.Session == "" {
		return fault.New(fault.Denied, "access_denied", "Client authentication certificates are changed with an API key.")
	}
	return nil
}

// readUserCSR returns the key and the subject of a CSR that can have a certificate of a
// user.
func (s *IAM) readUserCSR(ctx context.Context, account telamon.AccountID, text string) (*tbs.PublicKey, []telamon.Attribute, error) {
	key, subject, err := s.parseUserCSR(text)
	if err != nil {
		return nil, nil, err
	}
	return key, subject, s.mustNotBeBlocked(ctx, "csr", account, key)
}

// parseUserCSR is readUserCSR but for the list of blocked keys.
func (s *IAM) parseUserCSR(text string) (*tbs.PublicKey, []telamon.Attribute, error) {
	csr, err := tbs.ParseBareCSR(text)
	if errors.Is(err, tbs.ErrPEM) || errors.Is(err, tbs.ErrRequest) {
		return nil, nil, keyRefused("csr", "csr_unreadable", "must be a PKCS #10 request in PEM or in base64")
	}
	if err != nil {
		return nil, nil, keyFault("csr", err)
	}
	if kind := clientKeyType(csr.PublicKey); kind == "" || csr.PublicKey.Bits > maxUserRSA {
		return nil, nil, keyRefused("csr", "key_not_allowed",
			"has a key of a type or size that is not allowed: make one of RSA with 2048 to 4096 bits, EC-P256, EC-P384")
	}
	if err := s.mustBeStrong("csr", csr.PublicKey); err != nil {
		return nil, nil, err
	}
	subject, err := subjectOf(csr)
	if err != nil {
		return nil, nil, err
	}
	return csr.PublicKey, subject, nil
}

// nameAndEnd checks the name and the end of a certificate that is to be made now, and
// returns the name as it is kept.
func (s *IAM) nameAndEnd(ctx context.Context, user *telamon.User, name, path string, end *string) (string, time.Time, error) {
	kept, ok := field.DisplayName(name)
	if !ok {
		return "", time.Time{}, invalid("invalid_name", "name", field.DisplayNameRule)
	}
	last, err := s.lastEnd(ctx, user)
	if err != nil {
		return "", time.Time{}, err
	}
	at, problem := userCertEnd(end, s.clock.Now(), last)
	if problem != "" {
		return "", time.Time{}, invalid("invalid_end", path, problem)
	}
	taken, err := s.store.HasUserCert(ctx, user.Account, user.ID, kept)
	if err != nil {
		return "", time.Time{}, err
	}
	if taken { // before a signature is spent; the store says it for certain
		return "", time.Time{}, store.ErrCertName(kept)
	}
	return kept, at, nil
}

func invalid(code, path, problem string) error {
	var p problems
	p.Add(path, problem)
	return p.Fault(code)
}

// A lastEnd is the last second at which a certificate of a user may end, and whose that
// is. The zero one is no limit.
type lastEnd struct {
	at    time.Time
	whose string
}

// ownEnd is whose the end is that bounds a service user's certificates.
const ownEnd = "user"

// lastEnd returns how long certificates of the user may live: a service user's as long as
// the user, a person's as long as the API token that lives longest, if each of theirs that
// can be used has an end (digicert-one.md, Section 13, A10).
func (s *IAM) lastEnd(ctx context.Context, user *telamon.User) (lastEnd, error) {
	last := lastEnd{user.EndsAt.UTC().Truncate(time.Second), ownEnd}
	if user.EndsAt.IsZero() {
		last = lastEnd{}
	}
	if user.Kind != telamon.StandardUser {
		return last, nil
	}
	ends, err := s.store.TokenEnds(ctx, user.Account, user.ID)
	if err != nil {
		return lastEnd{}, err
	}
	var longest time.Time
	for _, end := range ends {
		if end.IsZero() {
			return last, nil
		}
		if !passed(end, s.clock.Now()) && end.After(longest) {
			longest = end
		}
	}
	if longest = longest.UTC().Truncate(time.Second); longest.Unix() > 0 && (last.at.IsZero() || longest.Before(last.at)) {
		last = lastEnd{longest, "user's API tokens"}
	}
	return last, nil
}

// userCertEnd returns the last second of a certificate that is made now, or what is wrong
// with the one that was asked for (digicert-one.md, Section 6.4).
func userCertEnd(asked *string, now time.Time, last lastEnd) (end time.Time, problem string) {
	if asked == nil {
		end = dayOf(now).AddDate(0, 0, defaultUserCertDays).Add(field.DayEnd)
		if !last.at.IsZero() && last.at.Before(end) {
			end = last.at
		}
	} else {
		var ok bool
		if end, ok = field.ParseEnd(*asked); !ok {
			return end, field.EndRule
		}
	}
	switch {
	case asked == nil && !end.After(now):
		return end, "cannot be set: the end of the " + last.whose + " has passed"
	case !end.After(now):
		return end, "must be in the future"
	case dayOf(end).After(dayOf(now).AddDate(0, 0, maxUserCertDays)):
		return end, fmt.Sprintf("must not be later than %d days from today", maxUserCertDays)
	case !last.at.IsZero() && end.After(last.at):
		return end, "must not be later than the end of the " + last.whose + ", " + last.at.Format(time.RFC3339)
	}
	return end, ""
}

// dayOf returns the beginning of the instant's day in UTC.
func dayOf(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour) }

// userCert is what a certificate of a user is to be.
type userCert struct {
	name     string
	subject  []telamon.Attribute
	key      *tbs.PublicKey
	notAfter time.Time
	hash     string // of its signature
}

// The hashes of signatures (digicert-one.md, Section 6.4, Portal issue).
const hashSHA256 = "SHA-256"

var userCertHashes = []string{hashSHA256, "SHA-384", "SHA-512"}

// signUserCert signs a certificate that is not stored yet.
func (s *IAM) signUserCert(ctx context.Context, user *telamon.User, c userCert) (*IssuedUserCert, error) {
	if _, err := s.ownsKey(ctx, user.Account, c.key); err != nil {
		return nil, err
	}
	issuer, err := s.clientIssuer(ctx, c.key)
	if err != nil {
		return nil, err
	}
	notBefore := dayOf(s.clock.Now()) // digicert-one.md, Section 7
	if made := issuer.Certificate.NotBefore; notBefore.Before(made) {
		notBefore = made // an issuing CA of today
	}
	token, err := s.issuance.Prepare(ctx, issuance.Request{
		Issuer: issuer.ID, NotBefore: notBefore, NotAfter: c.notAfter, Content: userCertContent(c.subject, c.key), PublicKey: c.key,
		HashAlgorithm: c.hash,
	})
	if err != nil {
		return nil, err
	}
	signed, err := s.issuance.Sign(ctx, token)
	if err != nil {
		return nil, err
	}
	issued := &IssuedUserCert{CA: issuer.Certificate}
	issued.ClientCert = telamon.ClientCert{
		ID: telamon.NewClientCertID(), Account: user.Account, User: user.ID, Name: c.name, Fingerprint: sha256.Sum256(signed.DER),
		Serial: signed.Serial, Issuer: signed.Issuer, SPKIHash: signed.SPKIHash, CRLShard: signed.CRLShard, NotAfter: signed.NotAfter,
	}
	if issued.Certificate, err = x509.ParseCertificate(signed.DER); err != nil {
		return nil, fmt.Errorf("parse client certificate %s: %w", signed.Serial, err)
	}
	return issued, nil
}

// userCertContent is what a user's certificate says beside its subject: that it belongs to
// no CA and authenticates clients (digicert-one.md, Section 7).
func userCertContent(subject []telamon.Attribute, key *tbs.PublicKey) telamon.Content {
	usage := x509.KeyUsageDigitalSignature
	if key.Algorithm == "RSA" {
		usage |= x509.KeyUsageKeyEncipherment
	}
	return telamon.Content{
		Subject: subject, KeyUsage: usage, ExtKeyUsage: telamon.ExtKeyUsage{OIDs: telamon.EKUClientAuth.OIDs()},
		Extensions: []telamon.Extension{{ID: mustOID("2.5.29.19"), Critical: true, Value: noCA}},
	}
}

// noCA is the value of basicConstraints whose cA is the default, FALSE (RFC 5280, Section
// 4.2.1.9): an empty SEQUENCE.
var noCA = telamon.TypedValue{Type: telamon.DER, Text: "3000"}
