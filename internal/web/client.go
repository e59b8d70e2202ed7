package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// A Client is who is at the other end of a request, before any authentication.
type Client struct {
	Address     netip.Addr // IPv4-mapped IPv6 as IPv4; invalid on a Unix socket
	Certificate []byte     // DER of the certificate whose key the client proved to hold; nil: none
	Proxied     bool       // a proxy that is believed says so
}

// ClientOf returns the client of a request; the zero Client outside of
// Clients.Wrap.
func ClientOf(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey).(Client)
	return c
}

// Clients finds out who a request comes from.
type Clients struct {
	// Trusted are the addresses of proxies whose headers are believed.
	Trusted []netip.Prefix
	// Fingerprints are those of the client certificates (SHA-256) by which
	// proxies authenticate themselves. Only they may convey certificates.
	Fingerprints [][32]byte
	// BySerial, if it is not nil, makes X-SSL-Client-Serial of a trusted address
	// be believed: it returns the DER of the certificate of a hexadecimal serial
	// number, nil for none. Whoever can reach this server from there is believed.
	BySerial func(ctx context.Context, serial string) []byte
}

// ParseFingerprint reads a SHA-256 fingerprint, with or without colons.
func ParseFingerprint(text string) ([32]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return [32]byte{}, fmt.Errorf("%q is no SHA-256 fingerprint", text)
	}
	return [32]byte(b), nil
}

// Wrap puts the Client of each request into its context. A request whose trusted
// proxy conveys what cannot be read has no certificate.
func (c Clients) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey, c.client(r))))
	})
}

func (c Clients) client(r *http.Request) Client {
	client := Client{Address: peerAddress(r.RemoteAddr)}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		client.Certificate = r.TLS.PeerCertificates[0].Raw
	}
	if !c.trusts(client.Address) {
		return client
	}
	switch {
	case c.isProxy(client.Certificate):
		der, err := ParseClientCert(r.Header)
		if err != nil {
			der = nil
		}
		client.Certificate = der
	case c.BySerial != nil && client.Certificate == nil:
		if serial := clientSerial(r.Header); serial != "" {
			client.Certificate = c.BySerial(r.Context(), serial)
		}
	default:
		return client // in a trusted place, but not a proxy
	}
	client.Address, client.Proxied = c.forwarded(r.Header, client.Address), true
	return client
}

// peerAddress reads the address of a connection's other end.
func peerAddress(remote string) netip.Addr {
	port, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return port.Addr().Unmap().WithZone("")
}

func (c Clients) trusts(address netip.Addr) bool {
	for _, p := range c.Trusted {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

func (c Clients) isProxy(der []byte) bool {
	if len(der) == 0 {
		return false
	}
	fingerprint := sha256.Sum256(der)
	for _, f := range c.Fingerprints {
		if f == fingerprint {
			return true
		}
	}
	return false
}

// forwarded returns the last address of X-Forwarded-For that is no trusted proxy:
// what stands before it was written by somebody who is not believed.
func (c Clients) forwarded(h http.Header, peer netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	address := peer
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap().WithZone("")
		if !c.trusts(address) {
			break
		}
	}
	return address
}

// ErrClientCert is returned for a Client-Cert header that cannot be read.
var ErrClientCert = errors.New("the Client-Cert header is no byte sequence")

// ParseClientCert returns the DER of the certificate in the Client-Cert header, a
// byte sequence of structured fields (RFC 9440, Section 2.2; RFC 9651, Section
// 3.3.5), and nil if there is no such header.
func ParseClientCert(h http.Header) ([]byte, error) {
	values := h.Values("Client-Cert")
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 {
		return nil, ErrClientCert
	}
	text := strings.TrimSpace(values[0])
	if len(text) < 3 || text[0] != ':' || text[len(text)-1] != ':' || strings.ContainsAny(text, "\r\n") { // which base64 ignores
		return nil, ErrClientCert
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text[1 : len(text)-1])
	if err != nil || len(der) == 0 {
		return nil, ErrClientCert
	}
	return der, nil
}

// clientSerial returns the one hexadecimal serial number of X-SSL-Client-Serial
// without separators, and "" if there is none or more.
func clientSerial(h http.Header) string {
	values := h.Values("X-SSL-Client-Serial")
	if len(values) != 1 {
		return ""
	}
	serial := strings.ReplaceAll(values[0], ":", "")
	if len(serial) == 0 || len(serial) > 40 {
		return ""
	}
	for _, r := range serial {
		if !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F') {
			return ""
		}
	}
	return strings.ToUpper(serial)
}
