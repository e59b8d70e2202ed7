package page

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// ShortSerial is a serial number as a title has it.
func ShortSerial(s telamon.Serial) string {
	text := s.String()
	return text[:8] + "…" + text[len(text)-6:]
}

// KeyWords says what key a certificate is for.
func KeyWords(x *x509.Certificate) string {
	key, err := tbs.NewPublicKey(x.RawSubjectPublicKeyInfo)
	if err != nil {
		return x.PublicKeyAlgorithm.String()
	}
	return KeyOf(key)
}

// KeyOf writes a key's algorithm and size.
func KeyOf(key *tbs.PublicKey) string { return fmt.Sprintf("%s, %d bit", key.Algorithm, key.Bits) }

// PEM writes a certificate as PEM.
func PEM(x *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Raw}))
}

// HexLines writes octets as hexadecimal digits, 16 octets a line.
func HexLines(b []byte) string {
	var text bytes.Buffer
	for line := range slices.Chunk(b, 16) {
		fmt.Fprintf(&text, "% x\n", line)
	}
	return text.String()
}
