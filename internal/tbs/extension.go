package tbs

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/telamon-ca/telamon"
)

// The extensions that this package writes.
var (
	oidSubjectKeyID         = oid(2, 5, 29, 14)
	oidKeyUsage             = oid(2, 5, 29, 15)
	oidSubjectAltName       = oid(2, 5, 29, 17)
	oidBasicConstraints     = oid(2, 5, 29, 19)
	oidCRLDistributionPoint = oid(2, 5, 29, 31)
	oidCertificatePolicies  = oid(2, 5, 29, 32)
	oidAuthorityKeyID       = oid(2, 5, 29, 35)
	oidExtKeyUsage          = oid(2, 5, 29, 37)
	oidSubjectDirAttributes = oid(2, 5, 29, 9)
	oidAuthorityInfoAccess  = oid(1, 3, 6, 1, 5, 5, 7, 1, 1)
	oidQCStatements         = oid(1, 3, 6, 1, 5, 5, 7, 1, 3)
	oidMicrosoftTemplate    = oid(1, 3, 6, 1, 4, 1, 311, 21, 7)
	oidOCSPNoCheck          = oid(1, 3, 6, 1, 5, 5, 7, 48, 1, 5)

	oidCAIssuers = oid(1, 3, 6, 1, 5, 5, 7, 48, 2)
	oidOCSP      = oid(1, 3, 6, 1, 5, 5, 7, 48, 1)
)

// addExtension adds an extension whose value add writes.
func addExtension(b *cryptobyte.Builder, id x509.OID, critical bool, add func(*cryptobyte.Builder)) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, id)
		if critical {
			b.AddASN1Boolean(true) // DEFAULT FALSE is left out
		}
		b.AddASN1(asn1.OCTET_STRING, add)
	})
}

func sequence(add func(*cryptobyte.Builder)) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, add) }
}

// addExtensions adds every extension of the template in a fixed order.
func addExtensions(b *cryptobyte.Builder, t *Template) {
	c := &t.Content
	if t.Issuer != nil {
		if len(t.Issuer.SubjectKeyId) == 0 {
			b.SetError(errors.New("the issuer has no subject key identifier"))
			return
		}
		addExtension(b, oidAuthorityKeyID, false, sequence(func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(t.Issuer.SubjectKeyId) })
		}))
	}
	if !t.OmitKeyID {
		addExtension(b, oidSubjectKeyID, false, func(b *cryptobyte.Builder) {
			if t.CA != nil && t.CA.KeyID != nil {
				b.AddASN1OctetString(t.CA.KeyID)
				return
			}
			b.AddASN1OctetString(keyID(b, t.PublicKey.SPKI))
		})
	}
	addKeyUsage(b, t)
	if t.CA != nil {
		addExtension(b, oidBasicConstraints, true, sequence(func(b *cryptobyte.Builder) {
			b.AddASN1Boolean(true)
			if t.CA.MaxPathLen >= 0 {
				b.AddASN1Int64(int64(t.CA.MaxPathLen))
			}
		}))
	}
	if len(c.ExtKeyUsage.OIDs) > 0 {
		addExtension(b, oidExtKeyUsage, c.ExtKeyUsage.Critical, sequence(func(b *cryptobyte.Builder) {
			for _, id := range c.ExtKeyUsage.OIDs {
				addOID(b, id)
			}
		}))
	}
	addSubjectAltName(b, c)
	addPolicies(b, t.PolicyOIDs)
	addStatusURLs(b, t)
	if t.OCSPNoCheck {
		addExtension(b, oidOCSPNoCheck, false, func(b *cryptobyte.Builder) { b.AddASN1(asn1.NULL, func(*cryptobyte.Builder) {}) })
	}
	addDirectoryAttributes(b, c.DirectoryAttributes)
	addQCStatements(b, c.QCStatements)
	addMicrosoftTemplate(b, c.Template)
	for _, e := range c.Extensions {
		addExtension(b, e.ID, e.Critical, func(b *cryptobyte.Builder) { addValue(b, e.Value) })
	}
	addTransparency(b, t)
}

// keyID returns the SHA-1 hash of the public key's bits (RFC 5280, Section
// 4.2.1.2, method 1). It identifies and secures nothing.
func keyID(b *cryptobyte.Builder, spki []byte) []byte {
	input := cryptobyte.String(spki)
	var outer, key cryptobyte.String
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !outer.SkipASN1(asn1.SEQUENCE) || !outer.ReadASN1(&key, asn1.BIT_STRING) || len(key) < 2 {
		b.SetError(errors.New("the public key is no SubjectPublicKeyInfo"))
		return nil
	}
	sum := sha1.Sum(key[1:])
	return sum[:]
}

// keyUsages is the number of named bits of KeyUsage.
const keyUsages = 9

// addKeyUsage adds the usages, critical (RFC 5280, Section 4.2.1.3), with the
// named bits from the left and no zero bits after the last.
func addKeyUsage(b *cryptobyte.Builder, t *Template) {
	usage := t.Content.KeyUsage
	if usage == 0 {
		return
	}
	var octets [2]byte
	last := 0
	for bit := range keyUsages {
		if usage&(1<<bit) != 0 {
			octets[bit/8] |= 0x80 >> (bit % 8)
			last = bit
		}
	}
	addExtension(b, oidKeyUsage, true, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(uint8(7 - last%8))
			b.AddBytes(octets[:last/8+1])
		})
	})
}

// addSubjectAltName adds the names in the order DNS, e-mail, IP, URI, other; it is
// critical if the subject is empty (RFC 5280, Section 4.2.1.6).
func addSubjectAltName(b *cryptobyte.Builder, c *telamon.Content) {
	if c.SAN.IsEmpty() {
		return
	}
	addExtension(b, oidSubjectAltName, c.SAN.Critical || len(c.Subject) == 0, sequence(func(b *cryptobyte.Builder) {
		addNames := func(tag uint8, names []string) {
			for _, name := range names {
				if name == "" || !IsIA5String(name) {
					b.SetError(fmt.Errorf("alternative name %q is empty or not ASCII", name))
					return
				}
				addText(b, asn1.Tag(tag).ContextSpecific(), name)
			}
		}
		addNames(2, c.SAN.DNSNames)
		addNames(1, c.SAN.Emails)
		for _, ip := range c.SAN.IPAddresses {
			if !ip.IsValid() {
				b.SetError(errors.New("an alternative name is no IP address"))
				return
			}
			addText(b, asn1.Tag(7).ContextSpecific(), string(ip.Unmap().AsSlice()))
		}
		addNames(6, c.SAN.URIs)
		for _, other := range c.SAN.OtherNames {
			b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				addOID(b, other.Type)
				b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { addValue(b, other.Value) })
			})
		}
	}))
}

func addPolicies(b *cryptobyte.Builder, policies []x509.OID) {
	if len(policies) == 0 {
		return
	}
	addExtension(b, oidCertificatePolicies, false, sequence(func(b *cryptobyte.Builder) {
		for _, id := range policies {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, id) })
		}
	}))
}

// addStatusURLs adds the CRL distribution point and the authority information
// access. All URLs are http: a relying party fetches them before it trusts TLS.
func addStatusURLs(b *cryptobyte.Builder, t *Template) {
	addURL := func(b *cryptobyte.Builder, text string) {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" || u.Host == "" || !IsIA5String(text) {
			b.SetError(fmt.Errorf("status URL %q is no http URL", text))
			return
		}
		addText(b, asn1.Tag(6).ContextSpecific(), text)
	}
	if len(t.CRLURLs) > 0 {
		addExtension(b, oidCRLDistributionPoint, false, sequence(func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // one distribution point, all its URLs
				b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
						for _, u := range t.CRLURLs {
							addURL(b, u)
						}
					})
				})
			})
		}))
	}
	if len(t.OCSPURLs)+len(t.CAIssuersURLs) == 0 {
		return
	}
	addExtension(b, oidAuthorityInfoAccess, false, sequence(func(b *cryptobyte.Builder) {
		for _, part := range []struct {
			method x509.OID
			urls   []string
		}{{oidOCSP, t.OCSPURLs}, {oidCAIssuers, t.CAIssuersURLs}} {
			for _, u := range part.urls {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, part.method)
					addURL(b, u)
				})
			}
		}
	}))
}

// The subject directory attributes of RFC 3739, Section 3.2.2.
var (
	oidDateOfBirth          = oid(1, 3, 6, 1, 5, 5, 7, 9, 1)
	oidPlaceOfBirth         = oid(1, 3, 6, 1, 5, 5, 7, 9, 2)
	oidGender               = oid(1, 3, 6, 1, 5, 5, 7, 9, 3)
	oidCountryOfCitizenship = oid(1, 3, 6, 1, 5, 5, 7, 9, 4)
	oidCountryOfResidence   = oid(1, 3, 6, 1, 5, 5, 7, 9, 5)
)

func addDirectoryAttributes(b *cryptobyte.Builder, a *telamon.SubjectDirectoryAttributes) {
	if a == nil || hasNoAttribute(a) {
		return // an empty extension is not allowed (RFC 5280, Section 4.2.1.8)
	}
	addExtension(b, oidSubjectDirAttributes, false, sequence(func(b *cryptobyte.Builder) {
		attribute := func(id x509.OID, values ...func(*cryptobyte.Builder)) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, id)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
					for _, add := range values {
						add(b)
					}
				})
			})
		}
		text := func(t telamon.ValueType, text string) func(*cryptobyte.Builder) {
			return func(b *cryptobyte.Builder) { addValue(b, telamon.TypedValue{Type: t, Text: text}) }
		}
		if !a.DateOfBirth.IsZero() {
			y, m, d := a.DateOfBirth.Date()
			attribute(oidDateOfBirth, func(b *cryptobyte.Builder) {
				b.AddASN1GeneralizedTime(time.Date(y, m, d, 12, 0, 0, 0, time.UTC))
			})
		}
		if a.PlaceOfBirth != "" {
			attribute(oidPlaceOfBirth, text(telamon.UTF8String, a.PlaceOfBirth))
		}
		if a.Gender != "" {
			if len(a.Gender) != 1 || !strings.Contains("MFmf", a.Gender) {
				b.SetError(fmt.Errorf("gender %q is none of M, F, m, f", a.Gender))
				return
			}
			attribute(oidGender, text(telamon.PrintableString, a.Gender))
		}
		// One attribute for each country: a SET OF would have to be sorted.
		for _, country := range a.CountryOfCitizenship {
			attribute(oidCountryOfCitizenship, text(telamon.PrintableString, country))
		}
		for _, country := range a.CountryOfResidence {
			attribute(oidCountryOfResidence, text(telamon.PrintableString, country))
		}
		for _, extra := range a.Extra {
			attribute(extra.Type, func(b *cryptobyte.Builder) { addValue(b, extra.Value) })
		}
	}))
}

func hasNoAttribute(a *telamon.SubjectDirectoryAttributes) bool {
	return a.Gender == "" && a.DateOfBirth.IsZero() && a.PlaceOfBirth == "" &&
		len(a.CountryOfCitizenship)+len(a.CountryOfResidence)+len(a.Extra) == 0
}

// The statements of RFC 3739, Section 3.2.6 and ETSI EN 319 412-5, Section 4.
var (
	oidQCSyntaxV2   = oid(1, 3, 6, 1, 5, 5, 7, 11, 2)
	oidQCCompliance = oid(0, 4, 0, 1862, 1, 1)
	oidQCRetention  = oid(0, 4, 0, 1862, 1, 3)
	oidQCSSCD       = oid(0, 4, 0, 1862, 1, 4)
	oidQCPDS        = oid(0, 4, 0, 1862, 1, 5)
	oidQCType       = oid(0, 4, 0, 1862, 1, 6)
)

func addQCStatements(b *cryptobyte.Builder, q *telamon.QCStatements) {
	if q == nil {
		return
	}
	addExtension(b, oidQCStatements, false, sequence(func(b *cryptobyte.Builder) {
		statement := func(id x509.OID, add func(*cryptobyte.Builder)) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, id)
				if add != nil {
					add(b)
				}
			})
		}
		if q.SemanticsID != nil || len(q.NameAuthorities) > 0 {
			statement(oidQCSyntaxV2, sequence(func(b *cryptobyte.Builder) { addSemantics(b, q) }))
		}
		if q.Compliance {
			statement(oidQCCompliance, nil)
		}
		if q.RetentionYears != nil {
			statement(oidQCRetention, func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(*q.RetentionYears)) })
		}
		if q.SSCD {
			statement(oidQCSSCD, nil)
		}
		if len(q.PDS) > 0 {
			statement(oidQCPDS, sequence(func(b *cryptobyte.Builder) { addPDS(b, q.PDS) }))
		}
		if q.Type != nil {
			statement(oidQCType, sequence(func(b *cryptobyte.Builder) { addOID(b, *q.Type) }))
		}
	}))
}

func addSemantics(b *cryptobyte.Builder, q *telamon.QCStatements) {
	if q.SemanticsID != nil {
		addOID(b, *q.SemanticsID)
	}
	if len(q.NameAuthorities) == 0 {
		return
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, authority := range q.NameAuthorities { // GeneralNames, each a URI
			if !IsIA5String(authority) {
				b.SetError(fmt.Errorf("name authority %q is not ASCII", authority))
				return
			}
			addText(b, asn1.Tag(6).ContextSpecific(), authority)
		}
	})
}

func addPDS(b *cryptobyte.Builder, locations []telamon.PDSLocation) {
	for _, l := range locations {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addValue(b, telamon.TypedValue{Type: telamon.IA5String, Text: l.URL})
			if len(l.Language) != 2 {
				b.SetError(fmt.Errorf("%q is no language of ISO 639-1", l.Language))
				return
			}
			addValue(b, telamon.TypedValue{Type: telamon.PrintableString, Text: l.Language})
		})
	}
}

// addMicrosoftTemplate adds CertificateTemplateOID ([MS-WCCE], Section 2.2.2.7.7.2).
func addMicrosoftTemplate(b *cryptobyte.Builder, t *telamon.MicrosoftTemplate) {
	if t == nil {
		return
	}
	addExtension(b, oidMicrosoftTemplate, t.Critical, sequence(func(b *cryptobyte.Builder) {
		addOID(b, t.ID)
		if t.MajorVersion == nil && t.MinorVersion != nil {
			b.SetError(errors.New("a template has a minor version without a major one"))
			return
		}
		for _, version := range []*int{t.MajorVersion, t.MinorVersion} {
			if version == nil {
				continue
			}
			if *version < 0 || int64(*version) > math.MaxUint32 {
				b.SetError(fmt.Errorf("%d is no version of a template", *version))
				return
			}
			b.AddASN1Int64(int64(*version))
		}
	}))
}
