package digicertone

import (
	"encoding/hex"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// The IDs of the wire are UUIDs: the 16 bytes of the platform's prefixed IDs. Which kind
// of object one names follows from where it stands.

// parseUUID reads a UUID of 36 characters in either case (RFC 9562, Section 4).
func parseUUID(text string) ([16]byte, bool) {
	var id [16]byte
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, false
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	_, err := hex.Decode(id[:], []byte(digits))
	return id, err == nil
}

// pathID returns the ID in the path of a call, made by of, such as
// telamon.UserIDFromBytes. It reports NotFound for what is no UUID.
func pathID[ID any](c *call, of func([16]byte) ID) (ID, error) {
	b, ok := parseUUID(c.r.PathValue("id"))
	if !ok {
		var none ID
		return none, fault.New(fault.NotFound, "not_found", "There is no such object.")
	}
	return of(b), nil
}

// memberID returns the ID in a member or parameter of a request. It reports Malformed,
// naming path, for what is no UUID.
func memberID[ID any](path, text string, of func([16]byte) ID) (ID, error) {
	b, ok := parseUUID(text)
	if !ok {
		var none ID
		return none, badRequest(path, "has to be a UUID")
	}
	return of(b), nil
}

// uuidOf returns an ID as the wire spells it, in lower case, and "" for the empty ID.
func uuidOf(id interface{ Bytes() ([16]byte, bool) }) string {
	b, ok := id.Bytes()
	if !ok {
		return ""
	}
	return formatUUID(b)
}

func formatUUID(b [16]byte) string {
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// UserID returns a user's ID as the wire spells it.
func UserID(id telamon.UserID) string { return uuidOf(id) }

// KeyPairID returns a key pair's ID as the wire spells it.
func KeyPairID(id telamon.KeyPairID) string { return uuidOf(id) }
