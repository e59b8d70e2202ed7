package atlas

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/telamon-ca/telamon/internal/fault"
)

// Media types of answers, to the letter: hvclient compares how they begin.
const (
	typeJSON    = "application/json;charset=utf-8"
	typeProblem = "application/problem+json;charset=utf-8"
)

// Codes of faults that only the wire knows.
const (
	codeNoRoute        = "route_not_found"
	codeMethod         = "method_not_allowed"  // Malformed; Detail holds the methods that are allowed
	codeLengthRequired = "length_required"     // Malformed
	codeMediaType      = "bad_content_type"    // Malformed
	codeNotCovered     = "name_not_covered"    // Invalid, with a field for each name
	codeCAAForbids     = "caa_forbids"         // Invalid, with a field for each name
	codeClaimName      = "claim_name"          // Invalid, with fields that clients look for by name
	codeCAValidation   = "ca_validation_error" // Invalid
	codeClaimMoved     = "claim_moved"         // Conflict
)

// problem is the body of every answer that is an error. Clients print the
// description to their users as it is.
type problem struct {
	Description string            `json:"description"`
	ID          string            `json:"id,omitempty"`     // support reference
	Errors      map[string]string `json:"errors,omitempty"` // further violations; custom_clm decodes strings only
}

// answerTo returns the status and body of a fault. method tells the two ways of
// revoking apart, which answer differently to the same fault.
//
// Denied is never 401: hvclient logs in and repeats without limit on that.
// Internal is 503 and not 500, which the API does not document and clients do
// not repeat.
func answerTo(f *fault.Fault, method string) (status int, p problem) {
	switch f.Kind {
	case fault.Malformed:
		return malformedAnswer(f)
	case fault.Invalid:
		return http.StatusUnprocessableEntity, invalidProblem(f)
	case fault.Unauthenticated:
		return http.StatusUnauthorized, problem{Description: "Unauthorized"}
	case fault.Denied:
		return http.StatusForbidden, problem{Description: f.Detail}
	case fault.NotFound:
		return http.StatusNotFound, problem{Description: "Not found"}
	case fault.Conflict:
		return conflictAnswer(f, method)
	case fault.NotReady:
		return http.StatusAccepted, problem{Description: "Operation in progress"}
	case fault.Limited:
		if f.Code == fault.CodeQuotaReached {
			return http.StatusPaymentRequired, problem{Description: "Quota Reached"}
		}
		return http.StatusTooManyRequests, problem{Description: "Rate Limit Reached"}
	case fault.Unavailable, fault.Internal:
		fallthrough
	default:
		return http.StatusServiceUnavailable, problem{Description: "Service busy, please retry later"}
	}
}

// Answer returns the status and body with which the API would refuse a request for a
// certificate because of err, for those who try a policy out.
func Answer(err error) (status int, body []byte) {
	status, p := answerTo(fault.From(err), http.MethodPost)
	body, err = json.Marshal(p)
	if err != nil {
		return http.StatusServiceUnavailable, nil
	}
	return status, body
}

func malformedAnswer(f *fault.Fault) (int, problem) {
	switch f.Code {
	case codeMethod:
		return http.StatusMethodNotAllowed, problem{Description: "Method not allowed"}
	case codeLengthRequired:
		return http.StatusLengthRequired, problem{Description: "Content-Length required"}
	case codeMediaType:
		return http.StatusUnsupportedMediaType, problem{Description: "Bad Content-Type"}
	}
	return http.StatusBadRequest, problem{Description: "Bad Request", Errors: errorsOf(f.Fields)}
}

func conflictAnswer(f *fault.Fault, method string) (int, problem) {
	switch {
	case f.Code == fault.CodeAlreadyRevoked && method == http.MethodPatch:
		return http.StatusPreconditionFailed, problem{Description: "Certificate is already revoked"}
	case f.Code == fault.CodeAlreadyRevoked:
		return http.StatusConflict, problem{Description: "Cannot revoke a REVOKED certificate"}
	case f.Code == fault.CodeClaimExpired:
		return http.StatusFailedDependency, problem{Description: "Claim expired. Reassert first"}
	case f.Code == codeClaimMoved:
		// It was reasserted just now. 409 is not documented here, and clients repeat 503.
		return http.StatusServiceUnavailable, problem{Description: "Service busy, please retry later"}
	}
	return http.StatusConflict, problem{Description: f.Detail}
}

// invalidProblem says what was broken first, and the rest in errors. Where the
// members are not what is wrong, the fault's own sentence says it.
func invalidProblem(f *fault.Fault) problem {
	switch {
	case f.Code == codeCAValidation:
		return problem{Description: "CA validation error"}
	case f.Code == codeNotCovered, f.Code == codeCAAForbids, f.Code == codeClaimName:
		return problem{Description: f.Detail, Errors: errorsOf(f.Fields)}
	case len(f.Fields) == 0:
		return problem{Description: f.Detail}
	}
	first := f.Fields[0]
	return problem{Description: first.Path + ": " + first.Problem, Errors: errorsOf(f.Fields[1:])}
}

// errorsOf returns the problems by path, the first of each, nil if there are none.
func errorsOf(fields []fault.Field) map[string]string {
	if len(fields) == 0 {
		return nil
	}
	all := make(map[string]string, len(fields))
	for _, field := range fields {
		if _, ok := all[field.Path]; !ok {
			all[field.Path] = field.Problem
		}
	}
	return all
}

// writeFault answers with a fault. requestID is the support reference of what is
// not the caller's doing.
func writeFault(w http.ResponseWriter, r *http.Request, f *fault.Fault, requestID string) {
	status, p := answerTo(f, r.Method)
	h := w.Header()
	h.Set("Content-Type", typeProblem)
	switch {
	case status == http.StatusAccepted:
		h.Set("Content-Type", typeJSON)
	case status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer") // RFC 9110, Section 15.5.2
	case status == http.StatusMethodNotAllowed:
		h.Set("Allow", f.Detail)
	case status >= 500:
		p.ID = requestID
	}
	if after := retryAfter(f, status); after > 0 {
		h.Set("Retry-After", strconv.FormatInt(after, 10))
	}
	writeBody(w, status, p)
}

// retryAfter returns the whole seconds that a caller is asked to wait, rounded
// up, and 0 for no word about it. A 429 always has one.
func retryAfter(f *fault.Fault, status int) int64 {
	after := int64(math.Ceil(f.RetryAfter.Seconds()))
	if status == http.StatusTooManyRequests {
		after = max(after, 1)
	}
	return after
}

// writeJSON answers 200 with v.
func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", typeJSON)
	return writeBody(w, http.StatusOK, v)
}

// writeBody writes a body whose length is known, so that it is not chunked.
func writeBody(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that has gone away is not our error
	return nil
}
