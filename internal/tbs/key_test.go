package tbs_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// vectorKey is the public key of the Atlas specification's test vector.
const vectorKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHpkcthbQBOggyDBPe+pNoZff5lxU
Hvqw0Qcxy3hAk7V70HJhHyrrgjZPTFCIdUI2DqHGdcyHvL2nwLn62p804g==
-----END PUBLIC KEY-----`

func pemOf(blockType string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

// spkiOf returns the DER of a public key that crypto/x509 encodes.
func spkiOf(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// rsaKey returns a public key with an odd modulus of so many bits. It has no
// private half, which reading it does not need.
func rsaKey(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(3), uint(bits-2))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(0x10001)), E: exponent}
}

func TestParsePublicKeyText(t *testing.T) {
	block, _ := pem.Decode([]byte(vectorKey))
	base64Lines := strings.Split(vectorKey, "\n")[1:3]
	const begin, end = "-----BEGIN PUBLIC KEY-----\n", "\n-----END PUBLIC KEY-----"
	tests := []struct {
		name, text string
		want       error
	}{
		{"without a line break at the end", vectorKey, nil},
		{"with one", vectorKey + "\n", nil},
		{"CRLF", strings.ReplaceAll(vectorKey, "\n", "\r\n") + "\r\n", nil},
		{"one long line", begin + strings.Join(base64Lines, "") + end, nil},
		{"short lines", begin + strings.Join(strings.SplitAfter(base64Lines[0], "A"), "\n") + "\n" + base64Lines[1] + end, nil},
		{"white space around", " \n\t" + vectorKey + "\n\n ", nil},
		{"nothing", "", tbs.ErrPEM},
		{"base64 alone", strings.Join(base64Lines, "\n"), tbs.ErrPEM},
		{"DER", string(block.Bytes), tbs.ErrPEM},
		{"text before", "key:\n" + vectorKey, tbs.ErrPEM},
		{"text behind", vectorKey + "\nkey", tbs.ErrPEM},
		{"a byte order mark", "\ufeff" + vectorKey, tbs.ErrPEM},
		{"twice", vectorKey + "\n" + vectorKey, tbs.ErrPEM},
		{"a certificate behind", vectorKey + "\n" + pemOf("CERTIFICATE", []byte{0x30, 0}), tbs.ErrPEM},
		{"a broken block before", begin + "!" + end + "\n" + vectorKey, tbs.ErrPEM},
		{"a beginning without an end before", begin + vectorKey, tbs.ErrPEM},
		{"a header", strings.Replace(vectorKey, "\n", "\nProc-Type: 4,CLEAR\n\n", 1), tbs.ErrPEM},
		{"no end", strings.TrimSuffix(vectorKey, end), tbs.ErrPEM},
		{"another end", strings.Replace(vectorKey, "END PUBLIC", "END EC PUBLIC", 1), tbs.ErrPEM},
		{"broken base64", strings.Replace(vectorKey, "MFkw", "MF?w", 1), tbs.ErrPEM},
		{"a certificate", pemOf("CERTIFICATE", block.Bytes), tbs.ErrPEM},
		{"a request", pemOf("CERTIFICATE REQUEST", block.Bytes), tbs.ErrPEM},
		{"PKCS #1", pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaKey(2048, 65537))), tbs.ErrPEM},
		{"lower case", pemOf("public key", block.Bytes), tbs.ErrPEM},
		{"64 KiB", vectorKey + strings.Repeat("\n", 64<<10-len(vectorKey)), nil},
		{"longer than 64 KiB", vectorKey + strings.Repeat("\n", 64<<10-len(vectorKey)+1), tbs.ErrPEM},
		{"an empty block", pemOf("PUBLIC KEY", nil), tbs.ErrKey},
		{"no DER", pemOf("PUBLIC KEY", []byte("key")), tbs.ErrKey},
		{"trailing data within", pemOf("PUBLIC KEY", append(block.Bytes[:len(block.Bytes):len(block.Bytes)], 0)), tbs.ErrKey},
		{"a key cut short", pemOf("PUBLIC KEY", block.Bytes[:len(block.Bytes)-1]), tbs.ErrKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := tbs.ParsePublicKey(tt.text)
			if !errors.Is(err, tt.want) || (key == nil) != (err != nil) {
				t.Fatalf("ParsePublicKey = %v, %v, want %v", key, err, tt.want)
			}
			if err == nil && string(key.SPKI) != string(block.Bytes) {
				t.Errorf("the key is %x, want %x", key.SPKI, block.Bytes)
			}
		})
	}
}

// TestPrivateKeyPasted holds that a private key is called by its name wherever it
// is pasted, so that its owner learns that it is lost.
func TestPrivateKeyPasted(t *testing.T) {
	w := newWorkshop(t)
	public := w.key("EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	plain := string(w.run(nil, "pkey", "-in", "key.pem"))
	w.key("RSA", "-pkeyopt", "rsa_keygen_bits:2048")
	texts := map[string]string{
		"PKCS #8":             plain,
		"PKCS #8, CRLF":       strings.ReplaceAll(plain, "\n", "\r\n"),
		"PKCS #8, encrypted":  string(w.run(nil, "pkey", "-in", "key.pem", "-aes256", "-passout", "pass:secret")),
		"PKCS #1":             string(w.run(nil, "rsa", "-in", "key.pem", "-traditional")),
		"OpenSSH":             pemOf("OPENSSH PRIVATE KEY", []byte("openssh-key-v1")),
		"before a public key": plain + public,
		"behind a public key": public + plain,
		"with text before":    "here it is:\n" + plain,
		"with its end lost":   plain[:len(plain)-40],
	}
	w.key("EC", "-pkeyopt", "ec_paramgen_curve:P-384")
	texts["SEC 1"] = string(w.run(nil, "ec", "-in", "key.pem"))
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			if key, err := tbs.ParsePublicKey(text); !errors.Is(err, tbs.ErrPrivateKey) {
				t.Errorf("ParsePublicKey = %v, %v, want ErrPrivateKey", key, err)
			}
			if csr, err := tbs.ParseCSR(text); !errors.Is(err, tbs.ErrPrivateKey) {
				t.Errorf("ParseCSR = %v, %v, want ErrPrivateKey", csr, err)
			}
		})
	}
	t.Run("called a public key", func(t *testing.T) {
		block, _ := pem.Decode([]byte(plain))
		if key, err := tbs.ParsePublicKey(pemOf("PUBLIC KEY", block.Bytes)); !errors.Is(err, tbs.ErrKey) {
			t.Errorf("ParsePublicKey = %v, %v, want ErrKey", key, err)
		}
	})
}

func TestRSAKeys(t *testing.T) {
	even := rsaKey(2048, 65537)
	even.N.Add(even.N, big.NewInt(1))
	tests := []struct {
		name string
		key  *rsa.PublicKey
		ok   bool
	}{
		{"1024 bits", rsaKey(1024, 65537), true}, // a policy's to refuse
		{"2040 bits", rsaKey(2040, 65537), true},
		{"2047 bits", rsaKey(2047, 65537), false},
		{"2048 bits", rsaKey(2048, 65537), true},
		{"2049 bits", rsaKey(2049, 65537), false},
		{"3072 bits", rsaKey(3072, 65537), true},
		{"4096 bits", rsaKey(4096, 65537), true},
		{"8192 bits", rsaKey(8192, 65537), true},
		{"16384 bits", rsaKey(16384, 65537), true},
		{"16392 bits", rsaKey(16392, 65537), false},
		{"exponent 1", rsaKey(2048, 1), false},
		{"exponent 2", rsaKey(2048, 2), false},
		{"exponent 3", rsaKey(2048, 3), true},
		{"an even exponent", rsaKey(2048, 65536), false},
		{"an even modulus", even, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der := spkiOf(t, tt.key)
			key, err := tbs.ParsePublicKey(pemOf("PUBLIC KEY", der))
			if !tt.ok {
				if !errors.Is(err, tbs.ErrKey) {
					t.Fatalf("ParsePublicKey = %v, %v, want ErrKey", key, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if key.Algorithm != "RSA" || key.Bits != tt.key.N.BitLen() || key.Hash != sha256.Sum256(der) || !tt.key.Equal(key.Key) {
				t.Errorf("the key is %s of %d bits with the hash %x", key.Algorithm, key.Bits, key.Hash)
			}
		})
	}
}

// TestNewPublicKeyEncoding holds that a key has one encoding here, and that points
// are points of their curve.
func TestNewPublicKeyEncoding(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, rsaDER := hex.EncodeToString(spkiOf(t, &ec.PublicKey)), hex.EncodeToString(spkiOf(t, rsaKey(2048, 65537)))
	replace := func(der, old, with string) string {
		if !strings.Contains(der, old) {
			t.Fatalf("%s has no %s", der, old)
		}
		return strings.Replace(der, old, with, 1)
	}
	const p256Header = "3059301306072a8648ce3d020106082a8648ce3d030107034200"
	tests := []struct{ name, der string }{
		{"P-224", hex.EncodeToString(spkiOf(t, &p224.PublicKey))},
		{"Ed25519", hex.EncodeToString(spkiOf(t, edwards))},
		{"a point beside the curve", p256Header + "04" + strings.Repeat("11", 64)},
		{"the point at infinity", "3019301306072a8648ce3d020106082a8648ce3d03010703020000"},
		{"a hybrid point", replace(ecDER, p256Header+"04", p256Header+"06")},
		{"unused bits", replace(ecDER, "03420004", "03420104")},
		{"a length of more octets than needed", replace(ecDER, "3059", "308159")},
		{"an indefinite length", replace(ecDER, "3059", "3080") + "0000"},
		{"RSA without parameters", replace(replace(rsaDER, "30820122300d", "30820120300b"), "0101010500", "010101")},
		{"a negative modulus", replace(rsaDER, "0282010100c0", "0282010180c0")},
		{"RSA with PSS's identifier", replace(rsaDER, "2a864886f70d010101", "2a864886f70d01010a")},
		{"more behind the key", replace(ecDER, "3059", "305b") + "0500"},
		{"more in the algorithm", replace(replace(ecDER, "30593013", "305b3015"), "03420004", "050003420004")},
		{"more in the RSA key", replace(replace(replace(rsaDER, "30820122", "30820124"), "0382010f00", "0382011100"), "3082010a", "3082010c") + "0500"},
		{"nothing", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der, err := hex.DecodeString(tt.der)
			if err != nil {
				t.Fatal(err)
			}
			if key, err := tbs.NewPublicKey(der); !errors.Is(err, tbs.ErrKey) || key != nil {
				t.Errorf("NewPublicKey = %v, %v, want ErrKey", key, err)
			}
		})
	}
}

// TestKeysOfOpenSSL reads what openssl makes of each kind of key.
func TestKeysOfOpenSSL(t *testing.T) {
	tests := []struct {
		name      string
		genpkey   []string
		encoding  []string // of the public key
		algorithm string   // empty: refused
		bits      int
	}{
		{"RSA 2048", []string{"RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, nil, "RSA", 2048},
		{"RSA 1032", []string{"RSA", "-pkeyopt", "rsa_keygen_bits:1032"}, nil, "RSA", 1032},
		{"RSA 1031", []string{"RSA", "-pkeyopt", "rsa_keygen_bits:1031"}, nil, "", 0},
		{"RSA with exponent 3", []string{"RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"}, nil, "RSA", 2048},
		{"RSA for PSS alone", []string{"RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"}, nil, "", 0},
		{"P-256", ecCurve("P-256"), nil, "ECDSA", 256},
		{"P-384", ecCurve("P-384"), nil, "ECDSA", 384},
		{"P-521", ecCurve("P-521"), nil, "ECDSA", 521},
		{"P-224", ecCurve("P-224"), nil, "", 0},
		{"secp256k1", ecCurve("secp256k1"), nil, "", 0},
		{"brainpoolP256r1", ecCurve("brainpoolP256r1"), nil, "", 0},
		{"P-256 by its parameters", append(ecCurve("P-256"), "-pkeyopt", "ec_param_enc:explicit"), nil, "", 0},
		{"P-256 compressed", ecCurve("P-256"), []string{"-ec_conv_form", "compressed"}, "", 0},
		{"P-256 hybrid", ecCurve("P-256"), []string{"-ec_conv_form", "hybrid"}, "", 0},
		{"Ed25519", []string{"ED25519"}, nil, "", 0},
		{"Ed448", []string{"ED448"}, nil, "", 0},
		{"X25519", []string{"X25519"}, nil, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorkshop(t)
			text := w.key(tt.genpkey...)
			if tt.encoding != nil {
				text = string(w.run(nil, append([]string{"pkey", "-in", "key.pem", "-pubout"}, tt.encoding...)...))
			}
			key, err := tbs.ParsePublicKey(text)
			if tt.algorithm == "" {
				if !errors.Is(err, tbs.ErrKey) {
					t.Errorf("ParsePublicKey = %v, %v, want ErrKey", key, err)
				}
				return
			}
			if err != nil || key.Algorithm != tt.algorithm || key.Bits != tt.bits {
				t.Fatalf("ParsePublicKey = %+v, %v, want %s of %d bits", key, err, tt.algorithm, tt.bits)
			}
			if der := w.run(nil, "pkey", "-in", "key.pem", "-pubout", "-outform", "DER"); string(der) != string(key.SPKI) {
				t.Errorf("the key is %x, want %x", key.SPKI, der)
			}
		})
	}
}

func ecCurve(name string) []string { return []string{"EC", "-pkeyopt", "ec_paramgen_curve:" + name} }
