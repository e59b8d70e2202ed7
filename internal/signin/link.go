package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// The value in a link is the 16 octets of its ID and linkOctets of a MAC: more than the
// 128 bits of requirement 2.
const (
	linkOctets  = 32
	linkLabel   = "mailed_link"
	linkVersion = 1
)

// newLink returns a link that ends in a day.
func (s *Service) newLink() store.MailedLink {
	nonce := make([]byte, 32)
	rand.Read(nonce) // does not fail (crypto/rand)
	return store.MailedLink{ID: telamon.NewMailedLinkID(), Nonce: nonce, ExpiresAt: s.clock.Now().Add(LinkLife)}
}

// linkValue returns the value in a link, which is as good as the link itself.
func (s *Service) linkValue(l *store.MailedLink) string {
	id, _ := l.ID.Bytes()
	mac := s.keys.MAC(linkLabel, linkVersion, slices.Concat(id[:], []byte(l.Purpose), []byte{0}, l.Nonce))
	return base64.RawURLEncoding.EncodeToString(append(id[:], mac[:linkOctets]...))
}

// errLink is the fault of every value that is not that of a link which can be used.
func errLink() error {
	return fault.New(fault.NotFound, "link_invalid", "This link is no longer valid. Request a new one.")
}

// link returns the link of a value, which can be used for the purpose. It reports
// NotFound with link_invalid.
func (s *Service) link(ctx context.Context, value string, purpose store.LinkPurpose) (*store.MailedLink, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != 16+linkOctets {
		return nil, errLink()
	}
	l, err := s.store.MailedLink(ctx, telamon.MailedLinkIDFromBytes([16]byte(b[:16])))
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(value), []byte(s.linkValue(l))) != 1 || l.Purpose != purpose || l.Subject == "" {
		return nil, errLink()
	}
	return l, nil
}
