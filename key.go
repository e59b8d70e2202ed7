package telamon

import "time"

// A KeyBlockSource says on whose word a key is blocked.
type KeyBlockSource string

// The sources. A key's own attestation and the CA's staff block it for everybody; what
// an account says of a key blocks it for that account alone, since anybody can have
// a certificate for a public key that is another's.
const (
	BlockedByAttestation KeyBlockSource = "attestation"
	BlockedByStaff       KeyBlockSource = "staff"
	BlockedByAccount     KeyBlockSource = "account"
)

// A KeyBlock says that a key is certified no more.
type KeyBlock struct {
	SPKIHash [32]byte  // SHA-256 of the DER SubjectPublicKeyInfo
	Account  AccountID // empty: for everybody
	Source   KeyBlockSource
	Serial   *Serial // the certificate whose revocation blocked it; nil if none did
	At       time.Time
}

// Why returns why the key is blocked, in words that finish the sentence "is blocked: …".
func (b *KeyBlock) Why() string {
	switch b.Source {
	case BlockedByAttestation:
		return "the key itself has attested that it is compromised"
	case BlockedByStaff:
		return "this CA knows that it is compromised"
	}
	if b.Serial != nil {
		return "certificate " + b.Serial.String() + " of this account was revoked for keyCompromise"
	}
	return "this account has said that it is compromised"
}
