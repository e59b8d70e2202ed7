package admin

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/web"
)

// A MachineFace says how machines are bounded. A nil limiter sets no bound.
type MachineFace struct {
	// Credentials bounds how often one API token may call; Addresses how often one address
	// may without a good one; Accounts how often all tokens of one account may.
	Credentials, Addresses, Accounts *web.Limiter
}

// MachinePrefix stands before the routes' paths on the face of machines.
const MachinePrefix = "/v1"

// machineKey is the key of the *iam.Machine in the context of its request.
type machineKey struct{}

// Machines returns the face for machines, which is to ask for client certificates: the
// routes below MachinePrefix, and the document that describes them. A machine is a service
// user by an API token, in the header "Authorization: Bearer" or "x-api-key". Its roles say
// what it may do; those of the CA's staff count beside a client certificate only.
func (a *API) Machines(cfg MachineFace) http.Handler {
	s := a.s
	return http.HandlerFunc(func(w http.ResponseWriter, outer *http.Request) {
		stranger := web.AddressKey(web.ClientOf(outer.Context()).Address)
		u, ok := web.CanonicalURL(outer.URL)
		if !ok || !strings.HasPrefix(u.Path, MachinePrefix+"/") {
			if err := cfg.Addresses.Allow(stranger); err != nil {
				s.refuseFault(w, outer, err)
			} else if ok && u.Path == documentPath {
				s.serveDocument(w, outer)
			} else {
				s.refuse(w, outer, http.StatusNotFound, errNoRoute)
			}
			return
		}
		machine, err := s.authenticate(outer)
		if err == nil {
			err = web.AllowAll(
				web.Bound{Limiter: cfg.Credentials, Key: machine.Token.String()}, web.Bound{Limiter: cfg.Accounts, Key: machine.Account.String()},
			)
		} else if !fault.Is(err, fault.Unavailable) {
			err = cmp.Or(cfg.Addresses.Allow(stranger), err)
		}
		if err != nil {
			s.refuseFault(w, outer, err)
			return
		}
		r := outer.WithContext(context.WithValue(outer.Context(), machineKey{}, machine))
		stripped := *u
		stripped.Path, stripped.RawPath = strings.TrimPrefix(u.Path, MachinePrefix), strings.TrimPrefix(u.RawPath, MachinePrefix)
		r.URL, r.RequestURI = &stripped, stripped.RequestURI()
		defer func() { outer.Pattern = r.Pattern }() // which labels metrics
		s.serve(w, r)
	})
}

// Misdirected returns the handler of requests over a connection that was made for another
// face.
func (a *API) Misdirected() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.s.refuse(w, r, http.StatusMisdirectedRequest,
			fault.New(fault.Malformed, "misdirected", "This connection was made for another host name: open one for this."))
	})
}

var errNoRoute = fault.New(fault.NotFound, "no_such_route", "There is no such route, or not with this method.")

// authenticate finds out who calls.
func (s *server) authenticate(r *http.Request) (*iam.Machine, error) {
	key, err := apiKey(r.Header)
	if err != nil {
		return nil, err
	}
	client := web.ClientOf(r.Context())
	m, err := s.IAM.AuthenticateMachine(r.Context(), iam.Shown{
		Key: key, Certificate: client.Certificate, AsksCertificate: true, Address: client.Address,
	})
	return &m, err
}

// apiKey returns the API token of a request, "" for none. Two that differ are refused: one
// of them would be judged, and the other one taken for it by whoever reads a log.
func apiKey(h http.Header) (string, error) {
	var keys []string
	for _, value := range h.Values("Authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", fault.New(fault.Unauthenticated, "api_token_needed", "Show the API token of a service user as a bearer token.")
		}
		keys = append(keys, strings.TrimSpace(token))
	}
	keys = append(keys, h.Values("X-Api-Key")...)
	for _, key := range keys {
		if key != keys[0] {
			return "", fault.New(fault.Malformed, "api_token_twice", "The request shows two different API tokens.")
		}
	}
	if len(keys) == 0 {
		return "", nil
	}
	return keys[0], nil
}

// mustShowCertificate reports Denied with client_certificate_needed to a machine of the
// CA's staff that showed no certificate, on every route but those of its own account.
func mustShowCertificate(m *iam.Machine, r *http.Request) error {
	if r.Pattern == mePattern || r.PathValue("account") == m.Account.String() {
		return nil
	}
	return m.MustShowCertificate()
}

// wouldAllow says of a refusal that a client certificate would help, if it would.
func wouldAllow(ctx context.Context, err error) error {
	m, ok := ctx.Value(machineKey{}).(*iam.Machine)
	if !ok || !fault.Is(err, fault.Denied) || fault.From(err).Code != "access_denied" {
		return err
	}
	return cmp.Or(m.MustShowCertificate(), err)
}
