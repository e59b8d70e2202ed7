package digicertone

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon/internal/fault"
)

// Codes of faults that the error table tells apart from others of their kind. Those of
// authentication are package iam's.
const (
	codeNoRoute       = "route_not_found"
	codeMethod        = "method_not_allowed" // Malformed; Detail holds the methods that are allowed
	codeMediaType     = "bad_content_type"   // Malformed
	codeNotAcceptable = "not_acceptable"     // Malformed
	codeMisdirected   = "misdirected"        // Malformed
	codeFactor        = "factor_missing"     // Denied
	codeKeyFactor     = "api_key_missing"    // Denied

	codeNoAuthentication = "no_authentication_data"         // Denied
	codeOtherUser        = "credentials_of_different_users" // Denied
)

// suffixTaken ends the codes of Conflicts about names that are in use, such as
// name_taken.
const suffixTaken = "_taken"

// Faults that are the same for every request.
var (
	errNoRoute       = fault.New(fault.NotFound, codeNoRoute, "Path not found")
	errMediaType     = fault.New(fault.Malformed, codeMediaType, "Content-Type must be application/json")
	errNotAcceptable = fault.New(fault.Malformed, codeNotAcceptable, "Accept must allow application/json")
	errMisdirected   = fault.New(fault.Malformed, codeMisdirected, "Misdirected request")
	errFactor        = fault.New(fault.Denied, codeFactor, "The route needs a client certificate.")
	errKeyFactor     = fault.New(fault.Denied, codeKeyFactor, "The route needs an API token beside the client certificate.")
)

// Codes and messages of the wire (digicert-one.md, Section 4.2). Clients compare the
// first two pairs to the letter.
const (
	wireAuthorization = "AUTHORIZATION_ERROR"
	wireNoPath        = "INTERNAL_SERVER_ERROR" // with 404: that is how the service answers
	wireDenied        = "access_denied"
	wireInvalid       = "invalid_request"
	wireKey           = "invalid_api_key"
	wireDuplicate     = "duplicate_error"
	wireNotFound      = "resource_not_found"
	wireLimited       = "request_limit_exceeded"
	wireUnavailable   = "service_unavailable"
	wireInternal      = "internal_server_error"

	textNoAuthentication = "No authentication data provided"
	textNoPath           = "Path not found"
	textFactor           = "User is not multi-factor authenticated. Missing Client Authentication Certificate. " +
		"As per compliance rules, user needs to be authenticated using multi-factor for performing sign operation."
	textKeyFactor   = "User is not multi-factor authenticated. Missing API key."
	textKey         = "Missing or invalid API key"
	textDenied      = "You do not have permission to perform this operation"
	textOtherUser   = "API key and client authentication certificate belong to different users"
	textMethod      = "Method not allowed"
	textLimited     = "Service unavailable, please limit request volume"
	textUnavailable = "The service is temporarily unavailable"
	textInternal    = "An internal error occurred"
)

// wireError is one entry of the body of an answer that is an error: form A of
// digicert-one.md, Section 4.1.
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // the member that is wrong
}

// answerTo returns the status and the errors of a fault of a route, whose path names
// what was not found.
func answerTo(f *fault.Fault, path string) (int, []wireError) {
	one := func(status int, code, message string) (int, []wireError) {
		return status, []wireError{{Code: code, Message: message}}
	}
	switch f.Kind {
	case fault.Malformed:
		return malformedAnswer(f)
	case fault.Invalid:
		return http.StatusBadRequest, errorsOf(f)
	case fault.Unauthenticated:
		return one(http.StatusUnauthorized, wireKey, textKey)
	case fault.Denied:
		return deniedAnswer(f)
	case fault.NotFound:
		if f.Code == codeNoRoute {
			return one(http.StatusNotFound, wireNoPath, textNoPath)
		}
		return one(http.StatusNotFound, wireNotFound, resourceOf(path)+" not found")
	case fault.Conflict, fault.NotReady:
		if strings.HasSuffix(f.Code, suffixTaken) {
			return one(http.StatusConflict, wireDuplicate, f.Detail)
		}
		return one(http.StatusConflict, wireInvalid, f.Detail)
	case fault.Limited:
		return one(http.StatusTooManyRequests, wireLimited, textLimited)
	case fault.Unavailable:
		return one(http.StatusServiceUnavailable, wireUnavailable, textUnavailable)
	case fault.Internal:
		fallthrough
	default:
		return one(http.StatusInternalServerError, wireInternal, textInternal)
	}
}

func malformedAnswer(f *fault.Fault) (int, []wireError) {
	status, message := 0, f.Detail
	switch f.Code {
	case codeMethod:
		status, message = http.StatusMethodNotAllowed, textMethod
	case codeMediaType:
		status = http.StatusUnsupportedMediaType
	case codeNotAcceptable:
		status = http.StatusNotAcceptable
	case codeMisdirected:
		status = http.StatusMisdirectedRequest
	default:
		return http.StatusBadRequest, errorsOf(f)
	}
	return status, []wireError{{Code: wireInvalid, Message: message}}
}

func deniedAnswer(f *fault.Fault) (int, []wireError) {
	e := wireError{Code: wireDenied, Message: textDenied}
	switch f.Code {
	case codeNoAuthentication:
		e = wireError{Code: wireAuthorization, Message: textNoAuthentication}
	case codeOtherUser:
		e = wireError{Code: wireAuthorization, Message: textOtherUser}
	case codeFactor:
		e.Message = textFactor
	case codeKeyFactor:
		e.Message = textKeyFactor
	}
	return http.StatusForbidden, []wireError{e}
}

// errorsOf returns an entry for each member that is wrong, or one with the fault's own
// sentence.
func errorsOf(f *fault.Fault) []wireError {
	if len(f.Fields) == 0 {
		return []wireError{{Code: wireInvalid, Message: f.Detail}}
	}
	all := make([]wireError, 0, len(f.Fields))
	for _, field := range f.Fields {
		all = append(all, wireError{Code: wireInvalid, Message: field.Path + ": " + field.Problem, Field: field.Path})
	}
	return all
}

// resources names the objects of routes by the segment of their path that does.
var resources = map[string]string{
	"user": "User", "client-auth-certificate": "Client authentication certificate", "api-access-token": "API access token",
	"account": "Account", "keypairs": "Key pair", "certificates": "Certificate",
}

// resourceOf returns what a route's path, such as "/account/api/v1/user/{id}", is about. A
// path without an ID has nothing that could be lacking but a user whom the request names.
func resourceOf(path string) string {
	if !strings.Contains(path, "{id}") {
		return resources["user"]
	}
	segments := strings.Split(path, "/")
	if len(segments) > 4 {
		if name := resources[segments[4]]; name != "" {
			return name
		}
	}
	return "Resource"
}

// signingPrefix is that of the routes of Software Trust.
const signingPrefix = "/signingmanager/"

// writeFault answers with a fault of a route.
func writeFault(w http.ResponseWriter, path string, f *fault.Fault) {
	status, errs := answerTo(f, path)
	h := w.Header()
	switch {
	case status == http.StatusMethodNotAllowed:
		h.Set("Allow", f.Detail)
	case status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "x-api-key") // a scheme has to be named (RFC 9110, Section 15.5.2)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.FormatInt(max(1, int64(math.Ceil(f.RetryAfter.Seconds()))), 10))
	}
	var body any = struct {
		Errors []wireError `json:"errors"`
	}{errs}
	if strings.HasPrefix(path, signingPrefix) && !aboutCaller(f) {
		body = formC{formCErrorOf(errs)}
	}
	// What it is made of can be encoded, and a client that has gone away is not our error.
	_ = writeJSON(w, status, body)
}

// aboutCaller reports whether a fault says who the caller is not, or how often they
// called, which is told in the same form on every route.
func aboutCaller(f *fault.Fault) bool {
	return f.Kind == fault.Unauthenticated || f.Kind == fault.Limited || f.Code == codeNoAuthentication || f.Code == codeOtherUser
}

// formC is the error body of Software Trust: form C of digicert-one.md, Section 4.1.
type formC struct {
	Error formCError `json:"error"`
}

// formCErrorOf makes one error of those of the other form.
func formCErrorOf(errs []wireError) formCError {
	one := formCError{Status: errs[0].Code}
	for i, e := range errs {
		if i > 0 {
			one.Message += "; "
		}
		one.Message += e.Message
	}
	return one
}

type formCError struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	writeBody(w, status, body)
	return nil
}

// encodeJSON returns v as JSON, in which text is not escaped for HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// writeBody answers with JSON whose length is known, so that it is not chunked.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that has gone away is not our error
}
