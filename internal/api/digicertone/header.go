package digicertone

import (
	"mime"
	"net/http"
	"strings"
)

// apiKey returns the API token that was sent, "" for none: an empty header is none
// (digicert-one.md, Section 3.3). Of two, which no client sends, neither is good.
func apiKey(h http.Header) string { return strings.Join(h["X-Api-Key"], ", ") }

// transactionHeader is a request header by which clients trace their calls, X-DC-TransactionId
// as header maps spell it. It is echoed in the answer and stands in the log (digicert-one.md,
// Section 2.3).
const transactionHeader = "X-Dc-Transactionid"

// transactionID returns the transaction's ID, "" for none or what is no UUID: what a
// stranger wrote must not confuse the logs.
func transactionID(h http.Header) string {
	values := h[transactionHeader]
	if len(values) != 1 {
		return ""
	}
	if _, ok := parseUUID(values[0]); !ok {
		return ""
	}
	return values[0]
}

// isPreflight reports whether a browser asks what another site's page may do here
// (Fetch standard, Section 3.3.2).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflightRefused is the body of the answer to every preflight (digicert-one.md,
// Section 2.2, T11).
const preflightRefused = "Invalid CORS request"

func refusePreflight(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusForbidden)
	w.Write([]byte(preflightRefused)) // a client that has gone away is not our error
}

// isJSON reports whether a body is announced as JSON in UTF-8, which is also what no
// charset says. Other parameters are ignored.
func isJSON(h http.Header) bool {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	media, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || media != "application/json" {
		return false
	}
	charset, given := parameters["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// acceptsJSON reports whether the caller can take an answer in JSON, which is also what
// no Accept header says. Weights are not looked at but for that of nothing
// (RFC 9110, Section 12.4.2): there is one kind of answer.
func acceptsJSON(h http.Header) bool {
	values := h.Values("Accept")
	if len(strings.TrimSpace(strings.Join(values, ""))) == 0 {
		return true
	}
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			media, parameters, _ := strings.Cut(strings.ToLower(element), ";")
			switch strings.TrimSpace(media) {
			case "*/*", "*", "application/*", "application/json", "text/*", "text/plain":
				if !refused(parameters) {
					return true
				}
			}
		}
	}
	return false
}

// refused reports whether the parameters of a media range give it the weight 0.
func refused(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		if weight, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			return strings.Trim(weight, "0.") == ""
		}
	}
	return false
}
