package keycheck

import (
	"bufio"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// A converter reads a list of a known format and calls emit for each entry.
type converter func(r io.Reader, emit func(kind string, hash []byte) error) error

// converters are the formats that Convert knows, by name.
var converters = map[string]converter{
	"openssl-vulnkey": convertOpenSSL,
	"dwk":             convertDWK,
	"badkeys":         convertBadkeys,
	"boulder-weak":    convertBoulderWeak,
	"boulder-blocked": convertBoulderBlocked,
	"spki":            convertSPKI,
	"pem":             convertPEM,
}

// Formats returns the names of the formats that Convert knows, in order:
//
//   - openssl-vulnkey: lines of 20 hexadecimal digits, as of Debian's openssl-blacklist
//   - dwk: lines of 64 hexadecimal digits, the SHA-256 of a modulus or an X coordinate,
//     as of the lists of Debian weak keys of CVE-2008-0166
//   - badkeys: records of 16 octets, the first 15 of that SHA-256 and a list's number
//   - boulder-weak: a JSON array of what openssl-vulnkey has in lines
//   - boulder-blocked: YAML with SPKI hashes, "blocked" in base64 and
//     "blockedHashesHex" in hexadecimal
//   - spki: lines of 64 hexadecimal digits, the SHA-256 of a SubjectPublicKeyInfo
//   - pem: public keys, certificates and certificate requests in PEM
func Formats() []string { return slices.Sorted(maps.Keys(converters)) }

// WriteBlocklistHead writes the head of a block list and a reason. Convert adds entries.
func WriteBlocklistHead(w io.Writer, reason string) error {
	if err := (&Blocklist{}).addReason(reason); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\nreason: %s\n", blocklistHead, reason)
	return err
}

// Convert reads a list of the format and writes its entries for a block list. It
// returns how many they are. A list without an entry is an error.
func Convert(format string, r io.Reader, w io.Writer) (int, error) {
	convert, ok := converters[format]
	if !ok {
		return 0, fmt.Errorf("the format %q is none of %s", format, strings.Join(Formats(), ", "))
	}
	n := 0
	err := convert(r, func(kind string, hash []byte) error {
		if limits := hashLimits[kind]; len(hash) < limits[0] || len(hash) > limits[1] {
			return fmt.Errorf("entry %d has %d octets", n+1, len(hash))
		}
		n++
		_, err := fmt.Fprintf(w, "%s %x\n", kind, hash)
		return err
	})
	if err == nil && n == 0 {
		err = errors.New("it holds no entry")
	}
	return n, err
}

// eachLine calls f for every line that is not empty nor a comment.
func eachLine(r io.Reader, f func(line string) error) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// hexLines returns a converter of lines that are a hash of the kind, of so many octets.
func hexLines(kind string, octets int) converter {
	return func(r io.Reader, emit func(string, []byte) error) error {
		return eachLine(r, func(line string) error {
			hash, err := hex.DecodeString(line)
			if err != nil || len(hash) != octets {
				return fmt.Errorf("not %d hexadecimal digits", 2*octets)
			}
			return emit(kind, hash)
		})
	}
}

var (
	convertOpenSSL = hexLines(KindOpenSSL, 10)
	convertDWK     = hexLines(KindNumber, 32)
	convertSPKI    = hexLines(KindSPKI, 32)
)

// badkeysRecord is the length of a record of badkeys: a prefix and a list's number.
const badkeysRecord = prefixLen + 1

func convertBadkeys(r io.Reader, emit func(string, []byte) error) error {
	records, record := bufio.NewReader(r), make([]byte, badkeysRecord)
	for {
		switch _, err := io.ReadFull(records, record); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the last record is cut short: %w", err)
		}
		if err := emit(KindNumber, record[:prefixLen]); err != nil {
			return err
		}
	}
}

func convertBoulderWeak(r io.Reader, emit func(string, []byte) error) error {
	var hashes []string
	if err := json.NewDecoder(r).Decode(&hashes); err != nil {
		return err
	}
	return convertOpenSSL(strings.NewReader(strings.Join(hashes, "\n")), emit)
}

func convertBoulderBlocked(r io.Reader, emit func(string, []byte) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil { // the decoder of YAML does on some texts
			err = fmt.Errorf("the file confuses the decoder: %v", cause)
		}
	}()
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var list struct {
		Blocked []string `yaml:"blocked"`
		Hex     []string `yaml:"blockedHashesHex"`
	}
	if err := yaml.Unmarshal(text, &list); err != nil {
		return err
	}
	for i, text := range list.Blocked {
		hash, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(hash) != sha256.Size {
			return fmt.Errorf("blocked, entry %d: not a SHA-256 in base64", i+1)
		}
		if err := emit(KindSPKI, hash); err != nil {
			return err
		}
	}
	return convertSPKI(strings.NewReader(strings.Join(list.Hex, "\n")), emit)
}

// convertPEM blocks the public keys themselves. What is not PEM between the blocks is
// left out, as everywhere with PEM.
func convertPEM(r io.Reader, emit func(string, []byte) error) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil
		}
		spki, err := spkiOf(block)
		if err != nil {
			return fmt.Errorf("block %d: %w", n, err)
		}
		hash := sha256.Sum256(spki)
		if err := emit(KindSPKI, hash[:]); err != nil {
			return err
		}
		text = rest
	}
}

// spkiOf returns the SubjectPublicKeyInfo in a block.
func spkiOf(block *pem.Block) ([]byte, error) {
	switch block.Type {
	case "PUBLIC KEY":
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, err
		}
		return block.Bytes, nil
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.RawSubjectPublicKeyInfo, nil
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return nil, err
		}
		return csr.RawSubjectPublicKeyInfo, nil
	}
	return nil, fmt.Errorf("%q is none of PUBLIC KEY, CERTIFICATE and CERTIFICATE REQUEST", block.Type)
}
