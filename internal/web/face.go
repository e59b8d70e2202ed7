package web

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
)

// A Face is what one set of host names serves on the shared TLS listener.
type Face struct {
	Name    string   // for logs and metrics
	Hosts   []string // lower case; the first Face is also that of unknown names
	Handler http.Handler
	// Certificate returns the server's certificate; it is asked in each handshake.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// AsksClientCert requests a client certificate in the first handshake. The
	// client proves to hold its key; what it is worth is judged for each request.
	AsksClientCert bool
	// Misdirected writes the answer of status 421 to requests that came over a connection
	// made for this face and name another, or the other way round; nil is one without a
	// body.
	Misdirected http.Handler
}

// Faces chooses a face by server name.
type Faces struct {
	list   []*Face
	byHost map[string]*Face
	tls    map[*Face]*tls.Config
}

// NewFaces returns the faces; the first one serves every name that none has.
func NewFaces(list ...*Face) *Faces {
	f := &Faces{list: list, byHost: map[string]*Face{}, tls: map[*Face]*tls.Config{}}
	for _, face := range list {
		for _, host := range face.Hosts {
			f.byHost[strings.ToLower(host)] = face
		}
		config := &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: face.Certificate, NextProtos: []string{"h2", "http/1.1"},
		}
		if face.AsksClientCert {
			// Not VerifyClientCertIfGiven: a certificate's state must not end the
			// handshake. ClientCAs stays nil, so that the list of CAs is empty and
			// clients send whatever they have.
			config.ClientAuth = tls.RequestClientCert
		}
		f.tls[face] = config
	}
	return f
}

// named returns the face that has the host name, nil if none does.
func (f *Faces) named(host string) *Face {
	return f.byHost[strings.ToLower(strings.TrimSuffix(host, "."))]
}

// of returns the face of a host name, the first one if none has it.
func (f *Faces) of(host string) *Face { return cmp.Or(f.named(host), f.list[0]) }

// TLSConfig returns the configuration of the listener. Session tickets belong to a
// face: a session of one cannot be resumed on another.
func (f *Faces) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return f.tls[f.of(hello.ServerName)], nil
		},
	}
}

// ServeHTTP serves a request by its connection's face. One whose Host belongs to
// another face gets 421 (RFC 9110, Section 15.5.20): it came over a connection
// whose certificates were agreed for other names. Behind a proxy the Host alone
// chooses.
func (f *Faces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	named := f.named(host)
	if r.TLS == nil || ClientOf(r.Context()).Proxied {
		cmp.Or(named, f.list[0]).Handler.ServeHTTP(w, r)
		return
	}
	agreed := f.of(r.TLS.ServerName)
	if named != nil && named != agreed {
		misdirected(w, r, agreed, named)
		return
	}
	agreed.Handler.ServeHTTP(w, r)
}

// misdirected answers in the words of the first of the faces that has any.
func misdirected(w http.ResponseWriter, r *http.Request, faces ...*Face) {
	for _, face := range faces {
		if face.Misdirected != nil {
			face.Misdirected.ServeHTTP(w, r)
			return
		}
	}
	w.WriteHeader(http.StatusMisdirectedRequest)
}
