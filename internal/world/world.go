package world

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A Config says where the parts of a world listen, each as host:port on a loopback
// address. A port may be 0; an empty address is 127.0.0.1:0.
type Config struct {
	DNSAddr     string // UDP and TCP
	HTTPAddr    string
	HTTPSAddr   string
	MailAddr    string // SMTP
	ControlAddr string
}

// A World is all parts and the API that controls them. The parts can be used
// directly as well. It is safe for concurrent use.
type World struct {
	DNS  *DNS
	HTTP *HTTP
	Mail *Mail

	control net.Listener
	server  *http.Server
	serving sync.WaitGroup
}

// Start starts every part; none listens if it fails.
func Start(config Config) (*World, error) {
	for _, addr := range []*string{&config.DNSAddr, &config.HTTPAddr, &config.HTTPSAddr, &config.MailAddr, &config.ControlAddr} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
		if at, err := netip.ParseAddrPort(*addr); err != nil || !at.Addr().IsLoopback() {
			return nil, fmt.Errorf("start the world: %s is not a port of a loopback address", *addr)
		}
	}
	w := &World{}
	if err := w.start(config); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) start(config Config) (err error) {
	if w.DNS, err = StartDNS(config.DNSAddr); err != nil {
		return err
	}
	if w.HTTP, err = StartHTTP(config.HTTPAddr, config.HTTPSAddr); err != nil {
		return err
	}
	if w.Mail, err = StartMail(config.MailAddr); err != nil {
		return err
	}
	if w.control, err = net.Listen("tcp", config.ControlAddr); err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	w.server = newServer(w.handler())
	w.server.ReadTimeout = 10 * time.Second
	w.server.WriteTimeout = 10 * time.Second
	w.serving.Go(func() { _ = w.server.Serve(w.control) })
	return nil
}

// ControlURL returns the base of the control API, without a final slash.
func (w *World) ControlURL() string { return "http://" + w.control.Addr().String() }

// DNSControlURL returns the part of the control API for the DNS; records are below
// it at /records.
func (w *World) DNSControlURL() string { return w.ControlURL() + "/dns" }

// MailboxURL returns the URL at which the mail that was received can be read as
// JSON.
func (w *World) MailboxURL() string { return w.ControlURL() + "/mail" }

// Close stops every part that was started.
func (w *World) Close() error {
	var errs []error
	if w.server != nil {
		errs = append(errs, w.server.Close())
		w.serving.Wait()
	}
	if w.Mail != nil {
		errs = append(errs, w.Mail.Close())
	}
	if w.HTTP != nil {
		errs = append(errs, w.HTTP.Close())
	}
	if w.DNS != nil {
		errs = append(errs, w.DNS.Close())
	}
	return errors.Join(errs...)
}

// selfSigned returns a new certificate for localhost and the loopback addresses,
// good for a year, and its key.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
