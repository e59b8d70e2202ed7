package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
)

// A CRL is one shard of an issuer: its newest CRL and when the next one is due.
type CRL struct {
	Issuer     telamon.IssuerID `json:"issuer"`
	Shard      int              `json:"shard"`
	Number     int64            `json:"number"` // 0: there is none yet
	ThisUpdate *time.Time       `json:"this_update,omitempty"`
	NextUpdate *time.Time       `json:"next_update,omitempty"`
	Entries    int64            `json:"entries"`
	Size       int64            `json:"size"` // octets
	Due        *time.Time       `json:"due,omitempty"`
	// State is ok, due, waiting (a revocation waits for the next CRL), failing, offline
	// (the key is not here) or done (the last CRL is out).
	State   string `json:"state"`
	Problem string `json:"problem,omitempty"` // of the last attempt of this process
}

// PublishCRLs is the body that asks for CRLs now.
type PublishCRLs struct {
	Issuer telamon.IssuerID `json:"issuer,omitempty"` // "" is every issuer whose key is here
}

// ImportCRL is the body that brings a CRL that was signed elsewhere.
type ImportCRL struct {
	CRL []byte `json:"crl"` // DER, in base64
}

func (s *server) crlRoutes() {
	s.route("GET /crls", http.StatusOK, s.crls)
	s.route("POST /crls/publish", http.StatusOK, s.publishCRLs)
	s.route("POST /crls/import", http.StatusOK, s.importCRL)
	s.route("GET /crls/{issuer}/request", http.StatusOK, s.crlRequest)
}

func (s *server) crls(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.CRLRead); err != nil {
		return nil, err
	}
	states, err := s.CRLs.States(ctx)
	if err != nil {
		return nil, err
	}
	list := List[CRL]{Items: make([]CRL, len(states))}
	for i, state := range states {
		list.Items[i] = crlOf(&state, s.Clock.Now())
	}
	return list, nil
}

func crlOf(s *publish.State, now time.Time) CRL {
	out := CRL{Issuer: s.Issuer, Shard: s.Shard, Due: timeOf(s.Due.Truncate(time.Second)), State: "ok", Problem: s.Problem}
	if s.CRL != nil {
		out.Number, out.Entries, out.Size = s.CRL.Number, s.CRL.Entries, s.CRL.Size
		out.ThisUpdate, out.NextUpdate = timeOf(s.CRL.ThisUpdate), timeOf(s.CRL.NextUpdate)
	}
	switch {
	case s.Done:
		out.State = "done"
	case s.Offline:
		out.State = "offline"
	case s.Failures > 0:
		out.State = "failing"
	case !s.Due.After(now):
		out.State = "due"
	case s.IsDirty():
		out.State = "waiting"
	}
	return out
}

// publishCRLs publishes the CRLs of an issuer, or of all whose keys are here.
func (s *server) publishCRLs(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.CRLPublish); err != nil {
		return nil, err
	}
	var in PublishCRLs
	if err := c.body(&in); err != nil {
		return nil, err
	}
	issuers := []telamon.IssuerID{in.Issuer}
	if in.Issuer == "" {
		states, err := s.CRLs.States(ctx)
		if err != nil {
			return nil, err
		}
		issuers = nil
		for _, state := range states {
			if state.Shard == 0 && !state.Offline && !state.Done {
				issuers = append(issuers, state.Issuer)
			}
		}
	} else if _, err := telamon.ParseIssuerID(in.Issuer.String()); err != nil {
		return nil, fault.New(fault.NotFound, "issuer_not_found", "There is no such issuer.")
	}
	list := List[CRL]{Items: []CRL{}}
	for _, id := range issuers {
		published, err := s.CRLs.Publish(ctx, c.actor, id)
		if err != nil {
			return nil, err
		}
		for _, one := range published {
			list.Items = append(list.Items, publishedOf(one))
		}
	}
	return list, nil
}

// crlRequest gives what a ceremony needs to sign the next CRL of an offline root.
func (s *server) crlRequest(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.CRLRead); err != nil {
		return nil, err
	}
	issuer, err := id(c, "issuer", telamon.ParseIssuerID)
	if err != nil {
		return nil, err
	}
	request, err := s.CRLs.Request(ctx, issuer)
	if err != nil {
		return nil, err
	}
	text, err := request.Marshal()
	return json.RawMessage(text), err
}

func (s *server) importCRL(ctx context.Context, c *call) (any, error) {
	if err := c.may(authz.CRLPublish); err != nil {
		return nil, err
	}
	var in ImportCRL
	if err := c.body(&in); err != nil {
		return nil, err
	}
	published, err := s.CRLs.Import(ctx, c.actor, in.CRL)
	if err != nil {
		return nil, err
	}
	return publishedOf(published), nil
}

func publishedOf(one *store.CRL) CRL {
	return crlOf(&publish.State{CRLShard: store.CRLShard{Issuer: one.Issuer, Shard: one.Shard, CRL: one}, Due: one.NextUpdate}, one.CreatedAt)
}
