package atlastest

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// setKey makes a new key pair and sets the variables by which a script sends it,
// as they stand in a JSON string:
//
//	csr, csr_line           PKCS #10, without and with a final newline
//	public_key              SubjectPublicKeyInfo without a final newline
//	public_key_signature    the signature over its DER bytes
//
// The CSR's own subject is one that must never come back in a certificate.
func setKey(vars map[string]string, form string) error {
	var key crypto.Signer
	var err error
	switch form {
	case "rsa-2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa-p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return fmt.Errorf("no key of the form %q", form)
	}
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "from-the-csr.invalid"}, DNSNames: []string{"from-the-csr.invalid"},
	}, key)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	digest := sha256.Sum256(spki)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	vars["csr_line"] = jsonText(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	vars["csr"] = strings.TrimSuffix(vars["csr_line"], `\n`)
	vars["public_key"] = strings.TrimSuffix(jsonText(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), `\n`)
	vars["public_key_signature"] = base64.StdEncoding.EncodeToString(signature)
	vars["spki"] = string(spki)
	return nil
}

// jsonText returns PEM as it stands between the quotes of a JSON string.
func jsonText(p []byte) string { return strings.ReplaceAll(string(p), "\n", `\n`) }

// serialOf prints a certificate's serial as .NET does: upper case, whole octets.
func serialOf(c *tls.Certificate) (string, error) {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%X", leaf.SerialNumber.Bytes()), nil
}

// verifyChain checks that the last answer is the chain of ${certificate}: one PEM
// block in each element, the issuing CA first and the root last, each signed by
// the next. The certificate has to be for the script's last key and, if there is
// one, for ${serial}, and nothing in it may come from the CSR.
func verifyChain(vars map[string]string, last *answer) error {
	leaf, err := onePEM(vars["certificate"])
	if err != nil {
		return fmt.Errorf("${certificate}: %w", err)
	}
	if serial := fmt.Sprintf("%032X", leaf.SerialNumber); serial != vars["serial"] {
		return fmt.Errorf("the certificate's serial is %s, its Location said %s", serial, vars["serial"])
	}
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, []byte(vars["spki"])) {
		return errors.New("the certificate is for another key")
	}
	if bytes.Contains(leaf.RawTBSCertificate, []byte("from-the-csr")) {
		return errors.New("the certificate holds a name from the CSR")
	}
	if last == nil {
		return errors.New("no answer before")
	}
	var texts []string
	if err := json.Unmarshal(last.body, &texts); err != nil || len(texts) == 0 {
		return fmt.Errorf("no chain in %.300s", last.body)
	}
	below := leaf
	for i, text := range texts {
		ca, err := onePEM(text)
		if err != nil {
			return fmt.Errorf("chain[%d]: %w", i, err)
		}
		if !bytes.Equal(below.RawIssuer, ca.RawSubject) {
			return fmt.Errorf("chain[%d] is %s, want %s", i, ca.Subject, below.Issuer)
		}
		if err := below.CheckSignatureFrom(ca); err != nil {
			return fmt.Errorf("chain[%d]: %w", i, err)
		}
		below = ca
	}
	if err := below.CheckSignatureFrom(below); err != nil {
		return fmt.Errorf("the last of the chain is no root: %w", err)
	}
	return nil
}

// onePEM reads a certificate as strictly as hvclient does: one block, and at most
// one newline after it.
func onePEM(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 || strings.HasSuffix(text, "\n\n") || strings.Contains(text, "\r") {
		return nil, fmt.Errorf("not one PEM block: %.100q", text)
	}
	return x509.ParseCertificate(block.Bytes)
}

// lookUp returns what a path such as "0.serial_number" leads to in a JSON text.
// The word [] is any element of an array, # the number of elements or members, and
// a single dot the whole. A string is returned as its text, all else as JSON.
func lookUp(body []byte, path string) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	found := []any{root}
	for word := range strings.SplitSeq(path, ".") {
		if word == "" {
			continue
		}
		var next []any
		for _, v := range found {
			next = append(next, descend(v, word)...)
		}
		found = next
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no %s", path)
	}
	texts := make([]string, len(found))
	for i, v := range found {
		s, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			s = string(b)
		}
		texts[i] = s
	}
	return texts, nil
}

func descend(v any, word string) []any {
	switch v := v.(type) {
	case map[string]any:
		if word == "#" {
			return []any{len(v)}
		}
		if member, ok := v[word]; ok {
			return []any{member}
		}
	case []any:
		if word == "#" {
			return []any{len(v)}
		}
		if word == "[]" {
			return v
		}
		if i, err := strconv.Atoi(word); err == nil && i >= 0 && i < len(v) {
			return []any{v[i]}
		}
	}
	return nil
}

// checkWords reports an error unless every member of this name in a JSON text, at
// any depth, is one of words.
func checkWords(body []byte, name string, words []string) error {
	var root any
	if err := json.Unmarshal(body, &root); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	if wrong := findWords(root, name, words); wrong != nil {
		return fmt.Errorf("a %s is %v, want one of %v", name, wrong, words)
	}
	return nil
}

// findWords returns a member of this name that is none of words, nil if v holds none.
func findWords(v any, name string, words []string) (wrong any) {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			if key == name {
				if word, ok := member.(string); !ok || !slices.Contains(words, word) {
					return fmt.Sprintf("%#v", member)
				}
			}
			wrong = cmp.Or(wrong, findWords(member, name, words))
		}
	case []any:
		for _, element := range v {
			wrong = cmp.Or(wrong, findWords(element, name, words))
		}
	}
	return wrong
}
