package tbs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestRequestsOfOpenSSL reads what openssl makes by each way of signing.
func TestRequestsOfOpenSSL(t *testing.T) {
	pss := []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"}
	tests := []struct {
		name    string
		genpkey []string // none: a key of RSA 2048
		req     []string
		want    error
	}{
		{"RSA with SHA-256", nil, []string{"-sha256"}, nil},
		{"RSA with SHA-384", nil, []string{"-sha384"}, nil},
		{"RSA with SHA-512", nil, []string{"-sha512"}, nil},
		{"RSA-PSS with SHA-256", nil, append(pss, "-sha256"), nil},
		{"RSA-PSS with SHA-384", nil, append(pss, "-sha384"), nil},
		{"RSA-PSS with SHA-512", nil, append(pss, "-sha512"), nil},
		{"P-256 with SHA-256", ecCurve("P-256"), []string{"-sha256"}, nil},
		{"P-384 with SHA-384", ecCurve("P-384"), []string{"-sha384"}, nil},
		{"P-521 with SHA-512", ecCurve("P-521"), []string{"-sha512"}, nil},
		{"P-521 with SHA-256", ecCurve("P-521"), []string{"-sha256"}, nil},
		{"the older name of the block", ecCurve("P-256"), []string{"-sha256", "-newhdr"}, nil},
		{"with extensions", ecCurve("P-256"), []string{"-sha256", "-addext", "subjectAltName=DNS:other.example"}, nil},
		{"an empty subject", ecCurve("P-256"), []string{"-sha256", "-subj", "/"}, nil},
		{"RSA with SHA-1", nil, []string{"-sha1"}, tbs.ErrSelfSignature},
		{"RSA with MD5", nil, []string{"-md5"}, tbs.ErrSelfSignature},
		{"RSA with SHA-224", nil, []string{"-sha224"}, tbs.ErrSelfSignature},
		{"P-256 with SHA-1", ecCurve("P-256"), []string{"-sha1"}, tbs.ErrSelfSignature},
		{"P-256 with SHA3-256", ecCurve("P-256"), []string{"-sha3-256"}, tbs.ErrSelfSignature},
		{"P-224", ecCurve("P-224"), []string{"-sha256"}, tbs.ErrKey},
		{"a curve that crypto/x509 does not know", ecCurve("brainpoolP256r1"), []string{"-sha256"}, tbs.ErrRequest},
		{"Ed25519", []string{"ED25519"}, nil, tbs.ErrKey},
		{"RSA for PSS alone", []string{"RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"}, []string{"-sha256"}, tbs.ErrKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorkshop(t)
			var public string
			if tt.genpkey == nil {
				public = w.own(signers[tbs.RSA2048]())
			} else {
				public = w.key(tt.genpkey...)
			}
			text := string(w.run(nil, append([]string{"req", "-new", "-key", "key.pem", "-subj", "/CN=claimed.example"}, tt.req...)...))
			csr, err := tbs.ParseCSR(text)
			if tt.want != nil {
				if !errors.Is(err, tt.want) || csr != nil {
					t.Fatalf("ParseCSR = %v, %v, want %v", csr, err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseCSR: %v", err)
			}
			key, err := tbs.ParsePublicKey(public)
			if err != nil {
				t.Fatal(err)
			}
			if csr.PublicKey.Hash != key.Hash || csr.PublicKey.Algorithm != key.Algorithm || csr.PublicKey.Bits != key.Bits {
				t.Errorf("the request's key is %+v, want %+v", csr.PublicKey, key)
			}
			block, _ := pem.Decode([]byte(text))
			if !bytes.Equal(csr.Raw, block.Bytes) || !bytes.Equal(csr.Request.Raw, block.Bytes) {
				t.Errorf("the request is %x, want %x", csr.Raw, block.Bytes)
			}
			if _, err := tbs.ParsePublicKey(text); !errors.Is(err, tbs.ErrPEM) {
				t.Errorf("ParsePublicKey of a request: %v, want ErrPEM", err)
			}
			if _, err := tbs.ParseCSR(public); !errors.Is(err, tbs.ErrPEM) {
				t.Errorf("ParseCSR of a public key: %v, want ErrPEM", err)
			}
		})
	}
}

// request returns the DER of a request that signer signs.
func request(t testing.TB, signer crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "claimed.example"}}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestBrokenRequests(t *testing.T) {
	signer := signers[tbs.ECP256]()
	good := request(t, signer)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// stolen is the request with another's key in it, of the same length.
	stolen := bytes.Replace(good, spkiOf(t, signer.Public()), spkiOf(t, &other.PublicKey), 1)
	renamed := bytes.Replace(good, []byte("claimed"), []byte("renamed"), 1)
	cut := bytes.Clone(good)
	cut[len(cut)-1] ^= 1
	tests := []struct {
		name, text string
		want       error
	}{
		{"as it was signed", pemOf("CERTIFICATE REQUEST", good), nil},
		{"another's key", pemOf("CERTIFICATE REQUEST", stolen), tbs.ErrSelfSignature},
		{"another name", pemOf("CERTIFICATE REQUEST", renamed), tbs.ErrSelfSignature},
		{"another signature", pemOf("CERTIFICATE REQUEST", cut), tbs.ErrSelfSignature},
		{"trailing data", pemOf("CERTIFICATE REQUEST", append(bytes.Clone(good), 0)), tbs.ErrRequest},
		{"cut short", pemOf("CERTIFICATE REQUEST", good[:len(good)-1]), tbs.ErrRequest},
		{"empty", pemOf("CERTIFICATE REQUEST", nil), tbs.ErrRequest},
		{"a key within", pemOf("CERTIFICATE REQUEST", spkiOf(t, signer.Public())), tbs.ErrRequest},
		{"a certificate", pemOf("CERTIFICATE", good), tbs.ErrPEM},
		{"two requests", pemOf("CERTIFICATE REQUEST", good) + pemOf("CERTIFICATE REQUEST", good), tbs.ErrPEM},
		{"a key behind", pemOf("CERTIFICATE REQUEST", good) + vectorKey, tbs.ErrPEM},
		{"nothing", "", tbs.ErrPEM},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if csr, err := tbs.ParseCSR(tt.text); !errors.Is(err, tt.want) || (csr == nil) != (err != nil) {
				t.Errorf("ParseCSR = %v, %v, want %v", csr, err, tt.want)
			}
		})
	}
}

// TestRequestOfAWeakKey holds that a key which is too short to verify anything is
// refused with its request.
func TestRequestOfAWeakKey(t *testing.T) {
	w := newWorkshop(t)
	w.key("RSA", "-pkeyopt", "rsa_keygen_bits:512")
	text := string(w.run(nil, "req", "-new", "-key", "key.pem", "-subj", "/CN=x", "-sha256"))
	if csr, err := tbs.ParseCSR(text); !errors.Is(err, tbs.ErrSelfSignature) {
		t.Errorf("ParseCSR = %v, %v, want ErrSelfSignature", csr, err)
	}
}

// TestPossessionVector is the test vector of the Atlas specification, Section 5.3.
func TestPossessionVector(t *testing.T) {
	const signature = "MEYCIQDND25PK9YHeV0FtkmNMkB/toTPnnmuEFPbHNQn9Q0bqAIhAOSlyYBui+4zpEv/BBQC0qSf48cUY0Yt1AlOZbMbKk2n"
	key, err := tbs.ParsePublicKey(vectorKey)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(key.Hash[:]); got != "12cce134df2f5da66d278d98aff62c14a476d9e40d073a76acfec0d6186289f1" {
		t.Errorf("the key's hash is %s", got)
	}
	if len(key.SPKI) != 91 || key.Algorithm != "ECDSA" || key.Bits != 256 {
		t.Errorf("the key is %s of %d bits in %d octets", key.Algorithm, key.Bits, len(key.SPKI))
	}
	if err := tbs.VerifyPossession(key, signature); err != nil {
		t.Errorf("VerifyPossession: %v", err)
	}
	// What a client could write in its place.
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":                   "",
		"without padding":           base64.RawStdEncoding.EncodeToString(append(raw, 0)),
		"the URL alphabet":          strings.NewReplacer("/", "_", "+", "-").Replace(signature),
		"hexadecimal":               hex.EncodeToString(raw),
		"no base64":                 "signature",
		"trailing data":             base64.StdEncoding.EncodeToString(append(bytes.Clone(raw), 0)),
		"cut short":                 base64.StdEncoding.EncodeToString(raw[:len(raw)-1]),
		"the two numbers alone":     base64.StdEncoding.EncodeToString(append(bytes.Clone(raw[5:37]), raw[40:]...)),
		"zeros for the two numbers": base64.StdEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 0, 2, 1, 0}),
	} {
		t.Run(name, func(t *testing.T) {
			if err := tbs.VerifyPossession(key, text); !errors.Is(err, tbs.ErrPossession) {
				t.Errorf("VerifyPossession = %v, want ErrPossession", err)
			}
		})
	}
}

// TestPossession holds that every key proves itself by the one signature that the
// specification names, and by no other.
func TestPossession(t *testing.T) {
	for _, keyType := range tbs.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			signer := signers[keyType]()
			key := publicKey(t, signer)
			sign := func(digest []byte, options crypto.SignerOpts) string {
				t.Helper()
				sig, err := signer.Sign(rand.Reader, digest, options)
				if err != nil {
					t.Fatal(err)
				}
				return base64.StdEncoding.EncodeToString(sig)
			}
			if err := tbs.VerifyPossession(key, sign(key.Hash[:], crypto.SHA256)); err != nil {
				t.Errorf("its own signature: %v", err)
			}
			text := sha256.Sum256([]byte(pemOf("PUBLIC KEY", key.SPKI)))
			longer := sha512.Sum384(key.SPKI)
			twice := sha256.Sum256(key.Hash[:])
			refused := map[string]string{
				"over the PEM text": sign(text[:], crypto.SHA256), "with SHA-384": sign(longer[:], crypto.SHA384),
				"over the hash's hash": sign(twice[:], crypto.SHA256),
			}
			if keyType.Family() == "RSA" {
				refused["by PSS"] = sign(key.Hash[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
			}
			for name, signature := range refused {
				if err := tbs.VerifyPossession(key, signature); !errors.Is(err, tbs.ErrPossession) {
					t.Errorf("%s: %v, want ErrPossession", name, err)
				}
			}
			other, err := tbs.ParsePublicKey(vectorKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := tbs.VerifyPossession(other, sign(key.Hash[:], crypto.SHA256)); !errors.Is(err, tbs.ErrPossession) {
				t.Errorf("another's key: %v, want ErrPossession", err)
			}
		})
	}
	t.Run("a key of another kind", func(t *testing.T) {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := tbs.VerifyPossession(&tbs.PublicKey{Key: public}, "AAAA"); !errors.Is(err, tbs.ErrPossession) {
			t.Errorf("VerifyPossession = %v, want ErrPossession", err)
		}
	})
}

// TestPossessionByOpenSSL signs as a user of the command line does.
func TestPossessionByOpenSSL(t *testing.T) {
	for _, keyType := range tbs.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			w := newWorkshop(t)
			key, err := tbs.ParsePublicKey(w.own(signers[keyType]()))
			if err != nil {
				t.Fatal(err)
			}
			signature := w.run(w.run(nil, "pkey", "-in", "key.pem", "-pubout", "-outform", "DER"), "dgst", "-sha256", "-sign", "key.pem")
			if err := tbs.VerifyPossession(key, string(w.run(signature, "base64", "-A"))); err != nil {
				t.Errorf("VerifyPossession: %v", err)
			}
		})
	}
}

// TestParseBareCSR reads a request with its PEM lines and without them.
func TestParseBareCSR(t *testing.T) {
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	old, err2 := rsa.GenerateKey(rand.Reader, 2048)
	der, err3 := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	pkcs8, err4 := x509.MarshalPKCS8PrivateKey(key)
	sec1, err5 := x509.MarshalECPrivateKey(key)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(old)
	bare := base64.StdEncoding.EncodeToString(der)
	armoured := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	for name, text := range map[string]string{
		"one line": bare, "blanks around it": " \r\n" + bare + "\n\n", "lines": bare[:64] + "\r\n" + bare[64:], "PEM": armoured,
		"PEM with CRLF":           strings.ReplaceAll(armoured, "\n", "\r\n"),
		"NEW CERTIFICATE REQUEST": strings.ReplaceAll(armoured, "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
	} {
		if csr, err := tbs.ParseBareCSR(text); err != nil || !bytes.Equal(csr.Raw, der) {
			t.Errorf("%s: ParseBareCSR = %+v, %v", name, csr, err)
		}
	}
	forged := bytes.Clone(der)
	forged[len(forged)-1] ^= 1
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"nothing":       {"", tbs.ErrRequest},
		"a word":        {"request", tbs.ErrPEM},
		"a bomb":        {strings.Repeat("A", 1<<20), tbs.ErrPEM},
		"many blocks":   {strings.Repeat("-----BEGIN X-----\n-----END X-----\n", 1<<15), tbs.ErrPEM},
		"more than one": {base64.StdEncoding.EncodeToString(append(bytes.Clone(der), der...)), tbs.ErrRequest},
		"a forged one":  {base64.StdEncoding.EncodeToString(forged), tbs.ErrSelfSignature},
		"PKCS #8":       {base64.StdEncoding.EncodeToString(pkcs8), tbs.ErrPrivateKey},
		"SEC 1":         {base64.StdEncoding.EncodeToString(sec1), tbs.ErrPrivateKey},
		"PKCS #1":       {base64.StdEncoding.EncodeToString(pkcs1), tbs.ErrPrivateKey},
		"private PEM":   {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), tbs.ErrPrivateKey},
	} {
		if csr, err := tbs.ParseBareCSR(tt.text); csr != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: ParseBareCSR = %+v, %v, want %v", name, csr, err, tt.want)
		}
	}
}
