package tbs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
)

// addValue adds a typed value as one TLV.
func addValue(b *cryptobyte.Builder, v telamon.TypedValue) {
	switch v.Type {
	case telamon.UTF8String:
		if !utf8.ValidString(v.Text) {
			b.SetError(errors.New("text is not UTF-8"))
			return
		}
		addText(b, asn1.UTF8String, v.Text)
	case telamon.PrintableString:
		if !IsPrintableString(v.Text) {
			b.SetError(fmt.Errorf("%q has characters that a PrintableString cannot hold", v.Text))
			return
		}
		addText(b, asn1.PrintableString, v.Text)
	case telamon.IA5String:
		if !IsIA5String(v.Text) {
			b.SetError(fmt.Errorf("%q has characters that an IA5String cannot hold", v.Text))
			return
		}
		addText(b, asn1.IA5String, v.Text)
	case telamon.Integer:
		n, ok := new(big.Int).SetString(v.Text, 10)
		if !ok {
			b.SetError(fmt.Errorf("%q is no decimal integer", v.Text))
			return
		}
		b.AddASN1BigInt(n)
	case telamon.DER:
		tlv, err := ParseTLV(v.Text)
		if err != nil {
			b.SetError(err)
			return
		}
		b.AddBytes(tlv)
	case telamon.Nil:
		b.AddASN1NULL()
	default:
		b.SetError(fmt.Errorf("a value has the unknown type %q", v.Type))
	}
}

func addText(b *cryptobyte.Builder, tag asn1.Tag, text string) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

// ParseTLV reads the hexadecimal text of exactly one DER element. It checks the
// outermost tag and length only.
func ParseTLV(text string) ([]byte, error) {
	der, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("not hexadecimal")
	}
	input := cryptobyte.String(der)
	var element cryptobyte.String
	var tag asn1.Tag
	if !input.ReadAnyASN1Element(&element, &tag) || !input.Empty() {
		return nil, errors.New("not exactly one DER element")
	}
	return der, nil
}

// IsPrintableString reports whether text fits a PrintableString (X.680, Section 41.4).
func IsPrintableString(text string) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case strings.IndexByte(" '()+,-./:=?", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// IsIA5String reports whether text is of the ASCII characters.
func IsIA5String(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
