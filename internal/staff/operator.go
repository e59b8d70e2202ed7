package staff

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// An Operator is a person of the CA's staff. UID or token show who is there, or the portal.
type Operator struct {
	Name string
	// UID is the user of the system as whom the operator opens the admin socket; the
	// kernel vouches for it. Negative: none.
	UID int64
	// TokenSHA256 is the SHA-256 of the operator's token in hexadecimal; "" is none.
	TokenSHA256 string
	// Email is the address by which the operator signs in to the portal; "" is none.
	Email string
}

// Operators knows who the operators are. Its zero value knows none. It is safe for
// concurrent use.
type Operators struct {
	own    int64 // the user that the server runs as
	byUID  map[int64]string
	tokens map[[sha256.Size]byte]string
	emails map[string]string
	n      int
}

// maxOperatorName bounds a name, which stands in audit events.
const maxOperatorName = 64

// NewOperators returns the operators of a server that runs as the user own. Their names,
// users, tokens and addresses must each be different, so that two names are two people.
func NewOperators(list []Operator, own int64) (*Operators, error) {
	o := &Operators{own: own, byUID: map[int64]string{}, tokens: map[[sha256.Size]byte]string{}, emails: map[string]string{}, n: len(list)}
	names := map[string]bool{}
	for _, op := range list {
		if err := o.add(op, names); err != nil {
			return nil, fmt.Errorf("operator %q: %w", op.Name, err)
		}
	}
	return o, nil
}

func (o *Operators) add(op Operator, names map[string]bool) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	switch {
	case op.Name == "" || len(op.Name) > maxOperatorName || strings.Trim(op.Name, letters) != "":
		return fmt.Errorf("a name has 1 to %d of %s", maxOperatorName, letters)
	case isUser(op.Name):
		return errors.New("the name has the form of a user's ID")
	case names[op.Name]:
		return errors.New("the name is there twice")
	case op.UID < 0 && op.TokenSHA256 == "" && op.Email == "":
		return errors.New("give a uid, token_sha256 or email")
	case op.Email != "" && !strings.Contains(op.Email, "@"):
		return errors.New("the email is no address")
	case op.Email != "" && o.emails[strings.ToLower(op.Email)] != "":
		return errors.New("the email is another operator's")
	case op.UID >= 0 && (op.UID == 0 || op.UID == o.own):
		return errors.New("the uid is root's or the server's own, which is nobody's alone")
	case op.UID >= 0 && o.byUID[op.UID] != "":
		return errors.New("the uid is another operator's")
	}
	names[op.Name] = true
	if op.Email != "" {
		o.emails[strings.ToLower(op.Email)] = op.Name
	}
	if op.UID >= 0 {
		o.byUID[op.UID] = op.Name
	}
	if op.TokenSHA256 == "" {
		return nil
	}
	hash, err := hex.DecodeString(op.TokenSHA256)
	if err != nil || len(hash) != sha256.Size {
		return errors.New("token_sha256 is not 64 hexadecimal digits")
	}
	if o.tokens[[sha256.Size]byte(hash)] != "" {
		return errors.New("the token is another operator's")
	}
	o.tokens[[sha256.Size]byte(hash)] = op.Name
	return nil
}

// named returns the name of the operator who signs in to the portal by the address, "" if
// it is nobody's.
func (o *Operators) named(email string) string {
	if o == nil {
		return ""
	}
	return o.emails[strings.ToLower(email)]
}

// isUser reports whether a name would be taken for a user's where both ask for something:
// see [telamon.Actor.StaffName].
func isUser(name string) bool {
	_, err := telamon.ParseUserID(name)
	return err == nil
}

// Len returns how many operators there are.
func (o *Operators) Len() int { return o.n }

// Identify returns the name of who opened the admin socket as the user uid (negative if
// that is not known) and sent a token, which may be empty. The name is empty for whoever
// runs the server: the owner of the socket, or root, without a token.
//
// It reports Unauthenticated with operator_unknown for a token that is nobody's, and for
// any other user.
func (o *Operators) Identify(uid int64, token string) (string, error) {
	if token != "" {
		given := sha256.Sum256([]byte(token))
		for hash, name := range o.tokens {
			if subtle.ConstantTimeCompare(hash[:], given[:]) == 1 {
				return name, nil
			}
		}
		return "", fault.New(fault.Unauthenticated, "operator_unknown", "This token is no operator's.")
	}
	if name := o.byUID[uid]; name != "" {
		return name, nil
	}
	if uid < 0 || uid == 0 || uid == o.own {
		return "", nil
	}
	return "", fault.New(fault.Unauthenticated, "operator_unknown", "This user of the system is no operator.")
}
