package perspective

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
)

// HandlerConfig describes a perspective to its handler.
type HandlerConfig struct {
	Name    string // see CheckName
	Region  string
	Version string // of the program, for Health
	Local   dcv.Perspective
	Log     *slog.Logger
}

type handler struct{ HandlerConfig }

// NewHandler returns what answers the questions of a [Client]: POST /v1/validate and
// /v1/caa, GET /v1/health. It serves only connections whose client has shown a
// certificate; whose certificate is admitted is for the listener to say, see
// [ServerTLS]. A refusal is {"error": "..."} with a status of 4xx, a failure of the
// perspective itself 500, and 504 if the time of the question has run out.
func NewHandler(cfg HandlerConfig) (http.Handler, error) {
	if err := CheckName(cfg.Name, cfg.Region); err != nil {
		return nil, err
	}
	h := &handler{cfg}
	mux := http.NewServeMux()
	mux.Handle(validatePath, only(http.MethodPost, serve(h, question[dcv.Question, dcv.Finding]{
		check: checkQuestion, ask: cfg.Local.Validate,
		log: func(q dcv.Question, f dcv.Finding) []any {
			return []any{"method", q.Method, "name", q.ADN, "found", f.Found}
		},
	})))
	mux.Handle(caaPath, only(http.MethodPost, serve(h, question[dcv.CAAQuestion, telamon.CAACheck]{
		check: checkCAAQuestion, ask: cfg.Local.CheckCAA,
		log: func(q dcv.CAAQuestion, c telamon.CAACheck) []any { return []any{"name", q.Name, "allowed", c.Allowed} },
	})))
	mux.Handle(healthPath, only(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) error {
		return write(w, http.StatusOK, Health{Name: cfg.Name, Region: cfg.Region, Version: cfg.Version})
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		_ = write(w, http.StatusNotFound, problem{"there is no such path"}) // the other side is gone if it fails
	})
	return h.authenticated(mux), nil
}

// authenticated refuses requests of nobody: a handler on a plain listener is a
// mistake that must not answer.
func (h *handler) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			_ = write(w, http.StatusForbidden, problem{"a client certificate is needed"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// A refusal is an error that the client is told.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// only serves one method, and writes errors as refusals.
func only(method string, serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var err error
		if r.Method != method {
			w.Header().Set("Allow", method)
			err = &refusal{http.StatusMethodNotAllowed, "the method is not " + method}
		} else {
			err = serve(w, r)
		}
		if refused, ok := errors.AsType[*refusal](err); ok {
			_ = write(w, refused.status, problem{refused.text})
		}
	}
}

func write(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return &refusal{http.StatusInternalServerError, "the answer cannot be encoded"}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(append(text, '\n'))
	return err
}

// question is how one kind of question is answered.
type question[Q, R any] struct {
	check func(Q) error
	ask   func(context.Context, Q) (R, error)
	log   func(Q, R) []any // what is logged of it, without the token
}

// serve answers questions of one kind.
func serve[Q, R any](h *handler, kind question[Q, R]) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		in, err := readRequest(w, r, kind.check)
		if err != nil {
			return err
		}
		// Bounded before it becomes a Duration, which a larger number would overflow.
		timeout := time.Duration(min(in.TimeoutMS, dcv.Timeout.Milliseconds())) * time.Millisecond
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		result, err := kind.ask(ctx, in.Question)
		log := h.Log.With("attempt", in.Attempt)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			log.InfoContext(ctx, "no answer in time", "path", r.URL.Path)
			return &refusal{http.StatusGatewayTimeout, "no answer in time"}
		default:
			log.ErrorContext(ctx, "perspective failed", "path", r.URL.Path, "error", err)
			return &refusal{http.StatusInternalServerError, "the perspective failed"}
		}
		log.InfoContext(ctx, "answered", append([]any{"path", r.URL.Path}, kind.log(in.Question, result)...)...)
		return write(w, http.StatusOK, response[R]{Perspective: h.Name, Region: h.Region, Attempt: in.Attempt, Result: result})
	}
}

// readRequest reads and checks a question.
func readRequest[Q any](w http.ResponseWriter, r *http.Request, check func(Q) error) (*request[Q], error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &refusal{http.StatusUnsupportedMediaType, "the body is not application/json"}
	}
	var in request[Q]
	if err := decode(http.MaxBytesReader(w, r.Body, maxBody), &in); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d octets", maxBody)}
		}
		return nil, &refusal{http.StatusBadRequest, "the body cannot be read: " + err.Error()}
	}
	switch {
	case !attemptForm.MatchString(in.Attempt):
		return nil, &refusal{http.StatusBadRequest, "attempt is not 32 hexadecimal digits"}
	case in.TimeoutMS <= 0:
		return nil, &refusal{http.StatusBadRequest, "timeout_ms is not positive"}
	}
	if err := check(in.Question); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, err.Error()}
	}
	return &in, nil
}
