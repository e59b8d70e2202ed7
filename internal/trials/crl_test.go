//go:build linux

package trials

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/crl"
)

// A relying party knows the CRL of the certificates and never sees an older one.
type relyingParty struct {
	path   string // of the CRL's URL
	issuer *x509.Certificate
	number *big.Int // of the newest CRL that was seen or whose publication was acknowledged
	sum    [32]byte // SHA-256 of the one that was seen
}

// meet reads from a certificate where its CRL is.
func (p *relyingParty) meet(srv *server, shown *answer) error {
	var certificate struct {
		PEM string `json:"certificate"`
	}
	if err := json.Unmarshal(shown.body, &certificate); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(certificate.PEM))
	if block == nil {
		return fmt.Errorf("it is no certificate: %s", shown)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	if len(leaf.CRLDistributionPoints) != 1 || len(leaf.IssuingCertificateURL) != 1 {
		return errors.New("the certificate names no CRL or no issuer")
	}
	from, err := url.Parse(leaf.IssuingCertificateURL[0])
	if err != nil {
		return err
	}
	status, der, err := fetch(srv.status + from.Path)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("fetch the issuer: %d, %w", status, err)
	}
	if p.issuer, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	at, err := url.Parse(leaf.CRLDistributionPoints[0])
	if err != nil {
		return err
	}
	p.path, p.number = at.Path, new(big.Int)
	return nil
}

func fetch(from string) (status int, body []byte, err error) {
	res, err := readyClient.Get(from)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// look fetches the CRL, if there is one, verifies it, and holds its number against the
// one before.
func (p *relyingParty) look(srv *server) (*crl.List, error) {
	var status int
	var der []byte
	var err error
	await(srv.done, func() bool { // as long as it does not know what is published
		status, der, err = fetch(srv.status + p.path)
		return err != nil || status != http.StatusServiceUnavailable
	})
	if err == nil && status == http.StatusNotFound && p.number.Sign() == 0 {
		return nil, nil
	}
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("fetch CRL %s: %d, %w", p.number, status, err)
	}
	list, err := crl.Open(bytes.NewReader(der), int64(len(der)), p.issuer)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	switch order := list.Number.Cmp(p.number); {
	case order < 0:
		return nil, fmt.Errorf("CRL %s is followed by CRL %s", p.number, list.Number)
	case order == 0 && p.sum != [32]byte{} && sum != p.sum:
		return nil, fmt.Errorf("there are two CRLs of number %s", p.number)
	}
	p.number, p.sum = list.Number, sum
	return list, nil
}

// watchCRL looks at the CRL of a server.
func (s *site) watchCRL(srv *server, c *client) {
	s.t.Helper()
	if s.party.path == "" {
		serials := s.book.pending(true)
		if len(serials) == 0 {
			return
		}
		a, err := c.do(http.MethodGet, "/certificates/"+serials[0], nil)
		if err == nil {
			err = s.party.meet(srv, a)
		}
		if err != nil {
			s.t.Error(err)
			return
		}
	}
	before := s.party.number
	list, err := s.party.look(srv)
	if err != nil {
		s.t.Error(err)
	} else if list != nil && list.Number.Cmp(before) > 0 {
		s.tally.add("CRLs seen, each of a higher number", 1)
	}
}

// publish asks for a CRL now. If that is acknowledged, no older one may be seen again.
func (s *site) publish() error {
	if s.party.path == "" {
		return nil
	}
	issuer, err := telamon.ParseIssuerID(path.Base(path.Dir(s.party.path)))
	if err != nil {
		return err
	}
	var made admin.List[admin.CRL]
	if err := s.api(http.MethodPost, "/crls/publish", admin.PublishCRLs{Issuer: issuer}, &made); err != nil {
		return err
	}
	s.tally.add("CRLs whose publication was acknowledged", 1)
	for _, one := range made.Items {
		number := big.NewInt(one.Number)
		if fmt.Sprintf("/%d.crl", one.Shard) != "/"+path.Base(s.party.path) {
			continue
		}
		if number.Cmp(s.party.number) <= 0 {
			s.t.Errorf("CRL %s is followed by CRL %s", s.party.number, number)
		}
		s.party.number, s.party.sum = number, [32]byte{}
	}
	return nil
}

// checkCRL publishes a CRL and looks for every revocation in it. If alone is set, it
// first waits for the CRL that the server publishes by itself.
func (s *site) checkCRL(srv *server, c *client, alone bool) {
	s.t.Helper()
	s.watchCRL(srv, c)
	if s.party.path == "" {
		return
	}
	if alone {
		began := time.Now()
		complete := func() bool {
			list, err := s.party.look(srv)
			return err == nil && list != nil && len(s.missing(list)) == 0
		}
		if !awaitFor(crlWithin, srv.done, complete) {
			s.t.Errorf("a minute after the start, the CRL has not every revocation\n%s", srv.log)
		}
		s.tally.took("from the start after a crash to a CRL with every revocation", time.Since(began))
	}
	if err := s.publish(); err != nil {
		s.t.Errorf("publish the CRL: %v\n%s", err, srv.log)
		return
	}
	list, err := s.party.look(srv)
	if err != nil {
		s.t.Error(err)
		return
	}
	for _, serial := range s.missing(list) {
		s.tally.add("losses", 1)
		s.t.Errorf("the revocation of %s was acknowledged and is not on the newest CRL", serial)
	}
}

// crlWithin is how soon a revocation is on a CRL.
const crlWithin = time.Minute

// missing returns the revocations of the book that are not on a CRL, and reports what is
// on it and was not revoked.
func (s *site) missing(list *crl.List) (serials []string) {
	s.t.Helper()
	listed := map[string]bool{}
	err := list.Entries(func(e *crl.Entry) error {
		listed[strings.ToUpper(e.Serial.String())] = true
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
	for serial, e := range s.book.entries {
		switch on := listed[strings.ToUpper(serial)]; {
		case e.revoked && !on:
			serials = append(serials, serial)
		case on && !e.revoked:
			s.t.Errorf("%s is on the CRL and not revoked", serial)
		}
	}
	return serials
}
