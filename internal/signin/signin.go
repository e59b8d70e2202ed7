// Package signin holds the use cases by which people get into the portal: they register
// or are invited, sign in by a password or an OpenID provider, show a second factor, and
// have sessions. It says what a session may do next, and who acts by it.
//
// It knows no HTTP and no SQL. Passwords are kept as argon2id hashes, sessions as hashes
// of their values, recovery codes as MACs, secrets of one-time passwords sealed under the
// keystore, and the values of mailed links not at all. It trusts its caller for the
// client's address, and the directory for users, accounts and roles.
//
// Nothing that a stranger can ask tells whether an address is somebody's: the answers to
// a registration, a request for a reset and a wrong sign-in are the same, and take as long.
package signin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/mail"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/openid"
	"github.com/telamon-ca/telamon/internal/password"
	"github.com/telamon-ca/telamon/internal/store"
)

// The choices that are ours, by requirements 2, 5, 6 and 13.
const (
	// LinkLife is how long a mailed link is good.
	LinkLife = 24 * time.Hour
	// MaxFailures is how many failures in a row lock a user.
	MaxFailures = 6
	// IdleLimit ends a session that was not seen for so long.
	IdleLimit = 15 * time.Minute
	// SessionLife ends a session, however busy.
	SessionLife = 8 * time.Hour
	// seenEvery is how exactly it is kept when a session was seen.
	seenEvery = 15 * time.Second
)

// The pages of the portal to which mailed links lead, each followed by a link's value.
const (
	VerifyPath     = "/verify/"
	ResetPath      = "/reset/"
	InvitationPath = "/invitation/"
	// SignInPath is the page that mails without a link to use name.
	SignInPath = "/sign-in"
)

// Keys gives MACs, and seals what has to be read again, under secrets that never leave the
// keystore.
type Keys interface {
	// MAC returns the HMAC-SHA-256 of data under the secret of a label and version.
	MAC(label string, version int, data []byte) []byte
	// SealSecret encrypts a secret of a sort for its context, and OpenSecret decrypts it.
	SealSecret(label string, context, plain []byte) ([]byte, error)
	OpenSecret(label string, context, sealed []byte) ([]byte, error)
}

// Config names what the use cases are made of.
type Config struct {
	Store     *store.DB
	Directory *directory.Directory
	Keys      Keys
	Passwords *password.Hasher // nil: one of its own
	Clock     telamon.Clock
	Log       *slog.Logger
	// PortalURL is the address of the portal, without a final slash.
	PortalURL string
	// Platform is the name of the installation in mails and authenticator apps.
	Platform string
	// Agreement is the version of the service agreement that new accounts accept.
	Agreement string
	// OpenID asks OpenID providers; nil: nobody signs in by one.
	OpenID *openid.Client
	// WakeJobs is called when a mail was written, so that it is sent at once; nil is not.
	WakeJobs func()
}

// maxRefusals is how many different refusals are counted at a time.
const maxRefusals = 4096

// Service serves the use cases. It is safe for concurrent use.
type Service struct {
	store     *store.DB
	directory *directory.Directory
	keys      Keys
	passwords *password.Hasher
	clock     telamon.Clock
	log       *slog.Logger
	party     *webauthn.WebAuthn
	portalURL string
	platform  string
	agreement string

	wake   func()
	openid *openid.Client // nil: no OpenID providers

	refused   *audit.Counter
	unwritten audit.Backlog // of refusals
}

// New returns the use cases. It fails if passkeys cannot be bound to the portal's address.
func New(cfg Config) (*Service, error) {
	party, err := newRelyingParty(cfg.PortalURL, cfg.Platform)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	s := &Service{
		store: cfg.Store, directory: cfg.Directory, keys: cfg.Keys, passwords: cmp.Or(cfg.Passwords, password.NewHasher()),
		clock: cfg.Clock, log: cfg.Log, party: party, portalURL: cfg.PortalURL, platform: cfg.Platform, agreement: cfg.Agreement,
		wake: cfg.WakeJobs, openid: cfg.OpenID,
		refused: audit.NewCounter(cfg.Clock, actionSignIn, maxRefusals),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.wake == nil {
		s.wake = func() {}
	}
	return s, nil
}

// A Client is where a request comes from.
type Client struct {
	Address   netip.Addr
	Agent     string // what the browser says that it is; cut off after 200 octets
	RequestID string
}

// stranger is the actor of a request that nobody has signed in for.
func (c Client) stranger() telamon.Actor {
	return telamon.Actor{Kind: telamon.ActorAnonymous, Address: c.Address.Unmap(), RequestID: c.RequestID}
}

// agent is what is kept of what the browser says.
func (c Client) agent() string {
	const limit = 200
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(c.Agent, ""))
	for len(text) > limit {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// changed tells the directory of a change before the use case returns.
func (s *Service) changed(ctx context.Context, kind store.ChangeKind, object string) {
	s.directory.Refresh(ctx, store.Change{Kind: kind, Object: object})
}

// problems gathers what is wrong with a request.
type problems struct{ field.Problems }

// text checks a text of at most limit characters for display; an empty one is wrong if it
// is required.
func (p *problems) text(path, value string, limit int, required bool) {
	if value != "" || required {
		p.Text(path, value, limit)
	}
}

func (p *problems) password(text string) {
	if problem := password.Problem(text); problem != "" {
		p.Add("password", problem)
	}
}

// email reads an address and returns it as it is compared, in lower case.
func (p *problems) email(text string) string {
	email, ok := canonicalEmail(text)
	if !ok {
		p.Add("email", "is not an e-mail address")
	}
	return email
}

// canonicalEmail returns an address in the form by which it is compared, and false for
// what is not the plain form of an address (RFC 5322, Section 3.4.1).
func canonicalEmail(text string) (string, bool) {
	text = strings.TrimSpace(text)
	address, err := mail.ParseAddress(text)
	if err != nil || address.Address != text || len(text) > 254 || strings.ContainsAny(text, " \t\"") {
		return "", false
	}
	return strings.ToLower(text), true
}

// Locales are the languages of mails, the first of which stands in for others.
var Locales = []string{"en_US", "de_DE"}

// locale returns the one of Locales that is meant, by its language.
func locale(text string) string {
	language, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(text), "-", "_"), "_")
	for _, l := range Locales {
		if strings.HasPrefix(l, language+"_") {
			return l
		}
	}
	return Locales[0]
}
