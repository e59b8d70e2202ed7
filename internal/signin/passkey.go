package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// ceremonyLife is how long a browser and a person may take for a passkey.
const ceremonyLife = 5 * time.Minute

// maxPasskeys is how many passkeys a person may have.
const maxPasskeys = 20

// A ceremony is what a session's passkey ceremony was begun with.
type ceremony struct {
	Kind string               `json:"kind"` // "add" or "show"
	At   time.Time            `json:"at"`
	Data webauthn.SessionData `json:"data"`
}

// The kinds of ceremonies: one cannot be ended as the other.
const (
	ceremonyAdd  = "add"
	ceremonyShow = "show"
)

// newRelyingParty returns the relying party (WebAuthn, Section 4) that the portal is.
// Passkeys are bound to the host of its URL.
func newRelyingParty(portalURL, platform string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(portalURL)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("the portal has no address")
	}
	return webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: platform, RPOrigins: []string{u.Scheme + "://" + u.Host}})
}

// keyHolder is a person as package webauthn asks for them.
type keyHolder struct {
	user telamon.User
	keys []webauthn.Credential
}

func (h *keyHolder) WebAuthnID() []byte {
	id, _ := h.user.ID.Bytes()
	return id[:]
}

func (h *keyHolder) WebAuthnName() string                       { return h.user.Email }
func (h *keyHolder) WebAuthnDisplayName() string                { return h.user.Name }
func (h *keyHolder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func holderOf(u telamon.User, passkeys []store.Passkey) (*keyHolder, error) {
	h := &keyHolder{user: u}
	for _, k := range passkeys {
		var credential webauthn.Credential
		if err := json.Unmarshal(k.Credential, &credential); err != nil {
			return nil, fmt.Errorf("read passkey %s: %w", k.ID, err)
		}
		h.keys = append(h.keys, credential)
	}
	return h, nil
}

// BeginPasskey begins the ceremony that adds a passkey, and returns the JSON that
// navigator.credentials.create takes, with a member publicKey. It reports Denied as
// BeginTOTP does, and Conflict with too_many_passkeys.
func (s *Service) BeginPasskey(ctx context.Context, session *Session) ([]byte, error) {
	if err := s.mayEnrol(session); err != nil {
		return nil, err
	}
	holder, err := s.holder(ctx, session)
	if err != nil {
		return nil, err
	}
	if len(holder.keys) >= maxPasskeys {
		return nil, fault.New(fault.Conflict, "too_many_passkeys", fmt.Sprintf("There are %d passkeys already. Remove one first.", maxPasskeys))
	}
	options, data, err := s.party.BeginRegistration(holder,
		webauthn.WithExclusions(webauthn.Credentials(holder.keys).CredentialDescriptors()),
		webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementPreferred),
		webauthn.WithConveyancePreference(protocol.PreferNoAttestation))
	if err != nil {
		return nil, fmt.Errorf("begin to add a passkey: %w", err)
	}
	return s.begin(ctx, session, ceremonyAdd, data, options)
}

func (s *Service) holder(ctx context.Context, session *Session) (*keyHolder, error) {
	factors, err := s.store.Factors(ctx, session.User.ID)
	if err != nil {
		return nil, err
	}
	return holderOf(session.User, factors.Passkeys)
}

// begin keeps a ceremony with its session and returns its options as JSON.
func (s *Service) begin(ctx context.Context, session *Session, kind string, data *webauthn.SessionData, options any) ([]byte, error) {
	kept, err := json.Marshal(ceremony{Kind: kind, At: s.clock.Now(), Data: *data})
	if err != nil {
		return nil, fmt.Errorf("encode a ceremony: %w", err)
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("encode the options of a ceremony: %w", err)
	}
	return text, s.store.SetCeremony(ctx, session.ID, kept)
}

// take ends the ceremony that the session has begun, which can be ended once. It returns nil
// if there is none of the kind, or it is too old.
func (s *Service) take(ctx context.Context, session *Session, kind string) (*webauthn.SessionData, error) {
	if session.ceremony == nil {
		return nil, nil
	}
	var c ceremony
	if err := json.Unmarshal(session.ceremony, &c); err != nil {
		return nil, fmt.Errorf("read the ceremony of session %s: %w", session.ID, err)
	}
	taken, err := s.store.TakeCeremony(ctx, session.ID, session.ceremony)
	if age := s.clock.Now().Sub(c.At); err != nil || !taken || c.Kind != kind || age < 0 || age >= ceremonyLife {
		return nil, err
	}
	return &c.Data, nil
}

func errPasskey() error {
	return fault.New(fault.Denied, "passkey_refused", "The passkey was not accepted. Try again.")
}

// AddPasskey ends the ceremony that BeginPasskey began with what the browser answered, as
// JSON, and keeps the passkey under a name. It reports Invalid with invalid_passkey for
// the name; Denied with passkey_refused; and Conflict with factor_exists.
func (s *Service) AddPasskey(ctx context.Context, session *Session, name string, answer []byte) (*Enrolled, error) {
	if err := s.mayEnrol(session); err != nil {
		return nil, err
	}
	var p problems
	p.text("name", name, maxName, true)
	if err := p.Fault("invalid_passkey"); err != nil {
		return nil, err
	}
	data, err := s.take(ctx, session, ceremonyAdd)
	if err != nil {
		return nil, err
	}
	parsed, parseErr := protocol.ParseCredentialCreationResponseBytes(answer)
	if data == nil || parseErr != nil {
		return nil, errPasskey()
	}
	factors, err := s.store.Factors(ctx, session.User.ID)
	if err != nil {
		return nil, err
	}
	credential, err := s.party.CreateCredential(&keyHolder{user: session.User}, *data, parsed)
	if err != nil {
		return nil, errPasskey()
	}
	kept, err := json.Marshal(credential)
	if err != nil {
		return nil, fmt.Errorf("encode a passkey: %w", err)
	}
	codes, macs := s.recoveryFor(session.User.ID, factors)
	value := newValue()
	err = s.store.AddPasskey(ctx, session.own(), &session.User, &store.Passkey{
		ID: telamon.NewPasskeyID(), User: session.User.ID, Name: name, CredentialID: credential.ID, Credential: kept,
	}, macs, value, notice(noticeFactorAdded, session.from))
	if err != nil {
		return nil, err
	}
	return &Enrolled{Value: value, RecoveryCodes: codes}, nil
}

// BeginPasskeyFactor begins the ceremony that shows a passkey as a second factor, and
// returns the JSON that navigator.credentials.get takes, with a member publicKey. It
// reports NotFound with factor_not_found if the person has none, and Denied.
func (s *Service) BeginPasskeyFactor(ctx context.Context, session *Session) ([]byte, error) {
	if session.Need != NeedSecondFactor && session.Need != NeedNothing {
		return nil, session.ready()
	}
	holder, err := s.holder(ctx, session)
	if err != nil {
		return nil, err
	}
	if len(holder.keys) == 0 {
		return nil, fault.New(fault.NotFound, "factor_not_found", "There is no such second factor.")
	}
	options, data, err := s.party.BeginLogin(holder)
	if err != nil {
		return nil, fmt.Errorf("begin to show a passkey: %w", err)
	}
	return s.begin(ctx, session, ceremonyShow, data, options)
}

// PasskeyFactor ends the ceremony that BeginPasskeyFactor began with what the browser
// answered, as JSON. It does and reports what SecondFactor does. An authenticator whose
// counter went back, which may be a copy, is refused.
func (s *Service) PasskeyFactor(ctx context.Context, session *Session, answer []byte) (value string, err error) {
	data, err := s.take(ctx, session, ceremonyShow)
	if err != nil {
		return "", err
	}
	return s.showFactor(ctx, session, func(f store.Factors) (*store.Proof, error) {
		parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
		if data == nil || err != nil {
			return nil, nil
		}
		holder, err := holderOf(session.User, f.Passkeys)
		if err != nil {
			return nil, err
		}
		credential, err := s.party.ValidateLogin(holder, *data, parsed)
		if err != nil || credential.Authenticator.CloneWarning {
			return nil, nil
		}
		i := slices.IndexFunc(f.Passkeys, func(k store.Passkey) bool { return slices.Equal(k.CredentialID, credential.ID) })
		if i < 0 {
			return nil, nil
		}
		kept, err := json.Marshal(credential)
		if err != nil {
			return nil, fmt.Errorf("encode a passkey: %w", err)
		}
		return &store.Proof{Factor: factorPasskey, CredentialID: credential.ID, Was: f.Passkeys[i].Credential, Credential: kept}, nil
	})
}
