package policy

import (
	"encoding/binary"
	"encoding/hex"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// maxDepth bounds the nesting of DER that is accepted.
const maxDepth = 16

// isTLV reports whether text is the hexadecimal form of one DER element and of
// nothing else, all the way down. A value that only its tags and lengths hold
// together would make a certificate that clients cannot read.
func isTLV(text string) bool {
	der, err := hex.DecodeString(text)
	if err != nil || len(der) == 0 {
		return false
	}
	input := cryptobyte.String(der)
	return readElement(&input, 0) && input.Empty()
}

// The bits of a tag (X.690, Section 8.1.2).
const (
	tagConstructed = 0x20
	tagClass       = 0xc0
)

func readElement(s *cryptobyte.String, depth int) bool {
	var element, body cryptobyte.String
	var tag asn1.Tag
	if depth > maxDepth || !s.ReadAnyASN1Element(&element, &tag) {
		return false
	}
	whole := element
	if !element.ReadAnyASN1(&body, &tag) {
		return false
	}
	if tag&tagConstructed == 0 {
		return tag&tagClass != 0 || isPrimitive(tag, body, whole)
	}
	// DER has no constructed form of what is not made of parts (X.690, Section 10.2).
	if tag&tagClass == 0 && tag != asn1.SEQUENCE && tag != asn1.SET {
		return false
	}
	for !body.Empty() {
		if !readElement(&body, depth+1) {
			return false
		}
	}
	return true
}

// The universal tags that cryptobyte does not name (X.680, Section 8.4).
const (
	tagRelativeOID   = asn1.Tag(13)
	tagNumericString = asn1.Tag(18)
	tagVisibleString = asn1.Tag(26)
	tagUniversal     = asn1.Tag(28)
	tagBMPString     = asn1.Tag(30)
)

// isPrimitive reports whether body is the content of a primitive universal type as
// DER has it. Types that no certificate holds are refused.
func isPrimitive(tag asn1.Tag, body, whole cryptobyte.String) bool {
	switch tag {
	case asn1.BOOLEAN: // X.690, Section 11.1
		return len(body) == 1 && (body[0] == 0 || body[0] == 0xff)
	case asn1.INTEGER, asn1.ENUM:
		return isMinimalInteger(body)
	case asn1.BIT_STRING:
		return isBitString(body)
	case asn1.OCTET_STRING, asn1.T61String, asn1.GeneralString:
		return true
	case asn1.NULL:
		return len(body) == 0
	case asn1.OBJECT_IDENTIFIER, tagRelativeOID:
		return areSubidentifiers(body)
	case asn1.UTF8String:
		return utf8.Valid(body)
	case asn1.PrintableString:
		return isPrintable(string(body))
	case tagNumericString:
		return consistsOf(body, func(c byte) bool { return c == ' ' || c >= '0' && c <= '9' })
	case asn1.IA5String:
		return consistsOf(body, func(c byte) bool { return c < utf8.RuneSelf })
	case tagVisibleString:
		return consistsOf(body, func(c byte) bool { return c >= ' ' && c <= '~' })
	case tagBMPString:
		return isBMPString(body)
	case tagUniversal:
		return isUniversalString(body)
	case asn1.UTCTime:
		var t time.Time
		return whole.ReadASN1UTCTime(&t)
	case asn1.GeneralizedTime:
		var t time.Time
		return whole.ReadASN1GeneralizedTime(&t)
	}
	return false
}

// isMinimalInteger applies X.690, Section 8.3.2: the first nine bits differ.
func isMinimalInteger(body []byte) bool {
	if len(body) < 2 {
		return len(body) == 1
	}
	return body[0] != 0 && body[0] != 0xff || body[0]>>7 != body[1]>>7
}

// isBitString applies X.690, Sections 8.6.2 and 11.2.1: unused bits are zero.
func isBitString(body []byte) bool {
	if len(body) == 0 || body[0] > 7 || len(body) == 1 && body[0] != 0 {
		return false
	}
	return len(body) == 1 || body[len(body)-1]&(1<<body[0]-1) == 0
}

// areSubidentifiers applies X.690, Section 8.19.2: none starts with a zero septet,
// and the last one ends.
func areSubidentifiers(body []byte) bool {
	first := true
	for _, c := range body {
		if first && c == 0x80 {
			return false
		}
		first = c < 0x80
	}
	return len(body) > 0 && first
}

func consistsOf(body []byte, allowed func(byte) bool) bool {
	for _, c := range body {
		if !allowed(c) {
			return false
		}
	}
	return true
}

// isBMPString reports whether body is of whole characters of the Basic
// Multilingual Plane, without surrogates and noncharacters.
func isBMPString(body []byte) bool {
	for ; len(body) >= 2; body = body[2:] {
		c := binary.BigEndian.Uint16(body)
		if c >= 0xd800 && c <= 0xdfff || c >= 0xfdd0 && c <= 0xfdef || c >= 0xfffe {
			return false
		}
	}
	return len(body) == 0
}

func isUniversalString(body []byte) bool {
	for ; len(body) >= 4; body = body[4:] {
		if c := binary.BigEndian.Uint32(body); c > utf8.MaxRune || !utf8.ValidRune(rune(c)) {
			return false
		}
	}
	return len(body) == 0
}
