package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/telamon-ca/telamon/internal/ocsp"
)

// now is when answers are made.
var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// ecdsaWithSHA256 is the DER of its AlgorithmIdentifier.
var ecdsaWithSHA256, _ = hex.DecodeString("300a06082a8648ce3d040302")

// A pair is a key and its certificate.
type pair struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// sign makes a certificate by the issuer, or by itself if that is nil.
func sign(t testing.TB, template *x509.Certificate, issuer *pair) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{key: key}
	if issuer == nil {
		issuer = &pair{key, template}
	}
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(0, 1, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

// newCA returns a CA and its responder.
func newCA(t testing.TB) (ca, responder *pair) {
	t.Helper()
	ca = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	return ca, sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "responder"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
	}, ca)
}

// TestParseRequestOfOthers reads the requests that Go makes.
func TestParseRequestOfOthers(t *testing.T) {
	ca, leaf := newCA(t)
	issuer, err := ocsp.NewIssuer(ca.cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		der, err := xocsp.CreateRequest(leaf.cert, ca.cert, &xocsp.RequestOptions{Hash: hash})
		if err != nil {
			t.Fatal(err)
		}
		r, err := ocsp.ParseRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Certs) != 1 || r.Certs[0].Hash != hash || r.Certs[0].Serial.Cmp(leaf.cert.SerialNumber) != 0 || r.Nonce != nil {
			t.Errorf("by %s it asks for %+v", hash, r)
		}
		if !issuer.Issued(&r.Certs[0]) {
			t.Errorf("by %s the issuer does not know its own certificate", hash)
		}
		if again, err := r.Marshal(); err != nil || !bytes.Equal(again, der) {
			t.Errorf("by %s the request is written as %x, %v, want %x", hash, again, err, der)
		}
	}
	t.Run("an unknown hash is of no issuer", func(t *testing.T) {
		der, err := xocsp.CreateRequest(leaf.cert, ca.cert, &xocsp.RequestOptions{Hash: crypto.SHA512})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := ocsp.ParseRequest(der); err != nil || issuer.Issued(&r.Certs[0]) {
			t.Errorf("it is read as %+v, %v", r, err)
		}
	})
}

func TestIssued(t *testing.T) {
	ca, leaf := newCA(t)
	issuer, err := ocsp.NewIssuer(ca.cert)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ocsp.NewIssuer(leaf.cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		own, foreign := issuer.CertID(hash, big.NewInt(7)), other.CertID(hash, big.NewInt(7))
		if !issuer.Issued(&own) || issuer.Issued(&foreign) {
			t.Errorf("by %s the issuer does not tell its own from a foreign certificate", hash)
		}
		mixed := own
		mixed.KeyHash = foreign.KeyHash
		if issuer.Issued(&mixed) {
			t.Errorf("by %s a CA of the same name and another key is taken for the issuer", hash)
		}
		mixed = own
		mixed.NameHash = nil
		if issuer.Issued(&mixed) {
			t.Errorf("by %s an empty hash is taken for the issuer's name", hash)
		}
	}
}

// The pieces of requests, in hexadecimal.
const (
	sha1ID  = "300906052b0e03021a0500"
	hashes  = "0414" + "1111111111111111111111111111111111111111" + "0414" + "2222222222222222222222222222222222222222"
	nonce   = "0609" + "2b0601050507300102"
	unknown = "0603" + "2a0304"
)

// tlv returns a TLV of hexadecimal text.
func tlv(tag string, content ...string) string {
	text := strings.Join(content, "")
	switch n := len(text) / 2; {
	case n < 0x80:
		return tag + hex.EncodeToString([]byte{byte(n)}) + text
	case n < 0x100:
		return tag + "81" + hex.EncodeToString([]byte{byte(n)}) + text
	default:
		return tag + "82" + hex.EncodeToString([]byte{byte(n >> 8), byte(n)}) + text
	}
}

func sequence(content ...string) string { return tlv("30", content...) }

// id names a certificate, in hexadecimal.
func id() string { return sequence(sha1ID, hashes, "0203010203") }

// request returns a request for a certificate that says more before and after.
func request(before, after string) string {
	return sequence(sequence(before, sequence(sequence(id())), after))
}

// extensions returns requestExtensions, of which each is the content of one.
func extensions(list ...string) string {
	var all string
	for _, e := range list {
		all += sequence(e)
	}
	return tlv("a2", sequence(all))
}

// nonceOf returns the content of a nonce of n octets.
func nonceOf(n int) string { return nonce + tlv("04", tlv("04", strings.Repeat("ab", n))) }

func TestParseRequest(t *testing.T) {
	name := tlv("a1", tlv("82", hex.EncodeToString([]byte("client.example"))))
	signature := func(certs string) string { return tlv("a0", sequence(sequence(unknown), tlv("03", "00ff"), certs)) }
	signed := func(signature string) string { return sequence(sequence(sequence(sequence(id()))), signature) }
	tests := []struct {
		name  string
		input string
		ok    bool
	}{
		{"plain", request("", ""), true},
		{"version 1", request(tlv("a0", "020100"), ""), true},
		{"version 2", request(tlv("a0", "020101"), ""), false},
		{"a name", request(name, ""), true},
		{"version and name", request(tlv("a0", "020100")+name, ""), true},
		{"name and version", request(name+tlv("a0", "020100"), ""), false},
		{"an empty name", request(tlv("a1"), ""), false},
		{"two names", request(tlv("a1", tlv("82", "61"), tlv("82", "61")), ""), false},
		{"signed", signed(signature("")), true},
		{"signed with certificates", signed(signature(tlv("a0", sequence(sequence("020100"))))), true},
		{"signed without a signature", signed(tlv("a0", sequence(sequence(unknown)))), false},
		{"signed twice", signed(signature("") + signature("")), false},
		{"something after the signature", signed(tlv("a0", sequence(sequence(unknown), "030200ff", "0500"))), false},
		{"nonce of 1 octet", request("", extensions(nonceOf(1))), true},
		{"nonce of 32 octets", request("", extensions(nonceOf(32))), true},
		{"nonce of 128 octets", request("", extensions(nonceOf(128))), true},
		{"nonce of 129 octets", request("", extensions(nonceOf(129))), false},
		{"nonce of no octets", request("", extensions(nonceOf(0))), false},
		{"nonce that is no octet string", request("", extensions(nonce+tlv("04", "abcd"))), false},
		{"nonce with something behind", request("", extensions(nonce+tlv("04", "0401aa", "0500"))), false},
		{"two nonces", request("", extensions(nonceOf(1), nonceOf(1))), false},
		{"critical nonce", request("", extensions(nonce+"0101ff"+tlv("04", "0401aa"))), true},
		{"unknown extension", request("", extensions(unknown+"04020500")), true},
		{"unknown extension and nonce", request("", extensions(unknown+"04020500", nonceOf(16))), true},
		{"unknown critical extension", request("", extensions(unknown+"0101ff"+"04020500")), false},
		{"no extensions", request("", tlv("a2", sequence())), false},
		{"extension without a value", request("", extensions(unknown)), false},
		{"something after the extensions", request("", extensions(nonceOf(1))+"0500"), false},
		{"something else than extensions", request("", "0500"), false},
		{"extension of one certificate", sequence(sequence(sequence(sequence(id(), tlv("a0", sequence(sequence(unknown, "04020500"))))))), true},
		{"critical extension of one certificate", sequence(sequence(sequence(sequence(id(), tlv("a0", sequence(sequence(unknown, "0101ff", "04020500"))))))), false},
		{"something after the extension of one certificate", sequence(sequence(sequence(sequence(id(), tlv("a0", sequence(sequence(unknown, "04020500"))), "0500")))), false},
		{"no certificate", sequence(sequence(sequence())), false},
		{"16 certificates", sequence(sequence(sequence(strings.Repeat(sequence(id()), 16)))), true},
		{"17 certificates", sequence(sequence(sequence(strings.Repeat(sequence(id()), 17)))), false},
		{"hash without parameters", sequence(sequence(sequence(sequence(sequence("300706052b0e03021a", hashes, "020101"))))), true},
		{"hash with parameters", sequence(sequence(sequence(sequence(sequence(sequence("06052b0e03021a", "020101"), hashes, "020101"))))), false},
		{"unknown hash with parameters", sequence(sequence(sequence(sequence(sequence(sequence(unknown, "020101"), hashes, "020101"))))), true},
		{"hash of two algorithms", sequence(sequence(sequence(sequence(sequence(sequence("06052b0e03021a", "0500", "0500"), hashes, "020101"))))), false},
		{"serial number that is too long written", sequence(sequence(sequence(sequence(sequence(sha1ID, hashes, "02020001"))))), false},
		{"no serial number", sequence(sequence(sequence(sequence(sequence(sha1ID, hashes))))), false},
		{"something after the serial number", sequence(sequence(sequence(sequence(sequence(sha1ID, hashes, "020101", "0500"))))), false},
		{"empty", "", false},
		{"empty sequence", "3000", false},
		{"something behind", request("", "") + "00", false},
		{"cut off", request("", "")[:40], false},
		{"no sequence", "0400", false},
		{"indefinite length", "3080" + request("", "")[4:] + "0000", false},
		{"a length of 4 GB", "3084ffffffff", false},
		{"a length that is not the shortest", "3081" + request("", "")[2:], false},
		{"a tag of several octets", "3f8101" + "00", false},
		{"deep", strings.Repeat("3080", 4000), false},
		{"deep and definite", nested(900), false},
		{"too long", request("", extensions(unknown+tlv("04", strings.Repeat("00", ocsp.MaxRequest)))), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der, err := hex.DecodeString(tt.input)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ocsp.ParseRequest(der)
			if tt.ok != (err == nil) || tt.ok != (r != nil) || err != nil && !errors.Is(err, ocsp.ErrMalformed) {
				t.Errorf("ParseRequest(%s) = %+v, %v; want ok %t", tt.input, r, err, tt.ok)
			}
		})
	}
}

// nested returns so many sequences, each in the one before.
func nested(n int) string {
	var text string
	for range n {
		text = sequence(text)
	}
	return text
}

// respond signs a response.
func respond(t testing.TB, responder *pair, r ocsp.Response) []byte {
	t.Helper()
	var err error
	if r.ResponderKeyHash, err = ocsp.KeyHash(responder.cert); err != nil {
		t.Fatal(err)
	}
	data, err := r.Data()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	signature, err := ecdsa.SignASN1(rand.Reader, responder.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := ocsp.Assemble(data, ecdsaWithSHA256, signature, responder.cert)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestResponse has Go read and verify what is written.
func TestResponse(t *testing.T) {
	ca, responder := newCA(t)
	issuer, err := ocsp.NewIssuer(ca.cert)
	if err != nil {
		t.Fatal(err)
	}
	serial := new(big.Int).Lsh(big.NewInt(0x81), 120)
	tests := []struct {
		name   string
		single ocsp.Single
		status int
		reason int
	}{
		{"good", ocsp.Single{ID: issuer.CertID(crypto.SHA1, serial)}, xocsp.Good, 0},
		{"good by SHA-256", ocsp.Single{ID: issuer.CertID(crypto.SHA256, serial)}, xocsp.Good, 0},
		{"revoked", ocsp.Single{ID: issuer.CertID(crypto.SHA1, serial), RevokedAt: now.Add(-time.Hour)}, xocsp.Revoked, 0},
		{"revoked for a reason", ocsp.Single{ID: issuer.CertID(crypto.SHA1, serial), RevokedAt: now, Reason: 1}, xocsp.Revoked, xocsp.KeyCompromise},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.single.ThisUpdate, tt.single.NextUpdate = now, now.AddDate(0, 0, 4)
			der := respond(t, responder, ocsp.Response{ProducedAt: now.Add(time.Second / 2), Singles: []ocsp.Single{tt.single}, Nonce: []byte("nonce")})
			got, err := xocsp.ParseResponse(der, ca.cert)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != tt.status || got.RevocationReason != tt.reason || got.SerialNumber.Cmp(serial) != 0 || got.IssuerHash != tt.single.ID.Hash ||
				!got.RevokedAt.Equal(tt.single.RevokedAt) {
				t.Errorf("it says %+v", got)
			}
			if !got.ThisUpdate.Equal(now) || !got.ProducedAt.Equal(now) || !got.NextUpdate.Equal(now.AddDate(0, 0, 4)) {
				t.Errorf("it is of %s, from %s to %s", got.ProducedAt, got.ThisUpdate, got.NextUpdate)
			}
			if !got.Certificate.Equal(responder.cert) || !bytes.Contains(der, []byte("\x04\x05nonce")) {
				t.Error("the responder's certificate or the nonce is missing")
			}
			noNonce := respond(t, responder, ocsp.Response{ProducedAt: now, Singles: []ocsp.Single{tt.single}})
			if _, err := xocsp.ParseResponse(noNonce, ca.cert); err != nil || bytes.Contains(noNonce, []byte("\x2b\x06\x01\x05\x05\x07\x30\x01\x02")) {
				t.Errorf("without a nonce it is %x, %v", noNonce, err)
			}
		})
	}
	t.Run("several", func(t *testing.T) {
		var singles []ocsp.Single
		for n := range 3 {
			singles = append(singles, ocsp.Single{ID: issuer.CertID(crypto.SHA1, big.NewInt(int64(n+5))), ThisUpdate: now, NextUpdate: now})
		}
		der := respond(t, responder, ocsp.Response{ProducedAt: now, Singles: singles})
		got, err := xocsp.ParseResponseForCert(der, &x509.Certificate{SerialNumber: big.NewInt(6)}, ca.cert)
		if err != nil || got.Status != xocsp.Good {
			t.Errorf("it says %+v, %v", got, err)
		}
	})
	t.Run("an unknown hash", func(t *testing.T) {
		r := ocsp.Response{Singles: []ocsp.Single{{ID: ocsp.CertID{Hash: crypto.MD5, Serial: serial}}}}
		if der, err := r.Data(); err == nil {
			t.Errorf("it is written as %x", der)
		}
	})
}

func TestError(t *testing.T) {
	for _, status := range []ocsp.ResponseStatus{ocsp.MalformedRequest, ocsp.InternalError, ocsp.TryLater, ocsp.Unauthorized} {
		_, err := xocsp.ParseResponse(ocsp.Error(status), nil)
		refused, ok := errors.AsType[xocsp.ResponseError](err)
		if !ok || uint8(refused.Status) != uint8(status) {
			t.Errorf("status %d is read as %v", status, err)
		}
	}
	if !slices.Equal(ocsp.Error(ocsp.Unauthorized), xocsp.UnauthorizedErrorResponse) {
		t.Errorf("unauthorized is %x", ocsp.Error(ocsp.Unauthorized))
	}
}
