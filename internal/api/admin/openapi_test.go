package admin_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/telamon-ca/telamon/internal/api/admin"
)

// TestDocument holds that every route is described, that nothing else is, and that the
// description is one of OpenAPI. Every answer of the other tests is held against it.
func TestDocument(t *testing.T) {
	api := admin.New(admin.Config{Version: "1"})
	routes, documented := api.Routes(), admin.Operations()
	for _, pattern := range routes {
		if !slices.Contains(documented, pattern) {
			t.Errorf("%s is not documented: add its line to operations in operations.go:\n\t%q: {\"what it does\", TheBody{}, TheAnswer{}, nil},", pattern, pattern)
		}
	}
	for _, pattern := range documented {
		if !slices.Contains(routes, pattern) {
			t.Errorf("%s is documented, and no route: take its line from operations in operations.go", pattern)
		}
	}
	if !bytes.Equal(api.Document(), admin.New(admin.Config{Version: "1"}).Document()) {
		t.Error("the document is another one each time")
	}
	doc, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	ids := map[string]bool{}
	for route, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Summary == "" || strings.HasSuffix(op.Summary, ".") || ids[op.OperationID] {
				t.Errorf("%s %s says %q, and its ID is %q", method, route, op.Summary, op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
}

// contract is the document as tests hold answers against it: no member may be there that it
// does not name.
var contract = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(admin.New(admin.Config{Version: "1"}).Document())
	if err != nil {
		return nil, err
	}
	doc.Servers = nil
	for _, schema := range doc.Components.Schemas {
		schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: new(bool)}
	}
	return legacy.NewRouter(doc)
})

// A held is a transport that holds answers, and requests that were not refused, against the
// contract.
type held struct {
	t    *testing.T
	next http.RoundTripper
}

func hold(t *testing.T) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return held{t, next} }
}

// RoundTrip implements http.RoundTripper.
func (h held) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := h.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(text))
	h.check(r, sent, res, text)
	return res, nil
}

func (h held) check(r *http.Request, sent []byte, res *http.Response, text []byte) {
	h.t.Helper()
	router, err := contract()
	if err != nil {
		h.t.Error(err)
		return
	}
	u := *r.URL
	if u.Host != adminHost && u.Host != "admin" { // the socket's
		return
	}
	u.Path, u.RawPath = path.Clean(strings.TrimPrefix(path.Clean(u.Path), admin.MachinePrefix)), ""
	request := &http.Request{Method: r.Method, URL: &u, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(sent))}
	route, params, err := router.FindRoute(request)
	if err != nil {
		if res.StatusCode < 400 && !strings.HasSuffix(u.Path, "/openapi.json") {
			h.t.Errorf("%s %s is answered with %d, and not documented", r.Method, u.Path, res.StatusCode)
		}
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params, Route: route, Options: &openapi3filter.Options{
			AuthenticationFunc: func(context.Context, *openapi3filter.AuthenticationInput) error { return nil },
		},
	}
	if res.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			h.t.Errorf("%s %s was taken and breaks the contract: %v", r.Method, u.Path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(text)),
	}
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
		h.t.Errorf("the answer %d to %s %s breaks the contract: %v\n%s", res.StatusCode, r.Method, u.Path, err, text)
	}
}
