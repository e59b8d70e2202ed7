package atlas

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon/internal/fault"
)

// readBody reads the body of a request that needs one. It reports Malformed, in
// this order: without a length or chunks, of another media type, longer than the
// route's limit (0 for none) or MaxBody.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, longest int64) ([]byte, error) {
	_, announced := r.Header["Content-Length"]
	if !announced && r.ContentLength == 0 {
		return nil, fault.New(fault.Malformed, codeLengthRequired, "Content-Length required")
	}
	if r.ContentLength != 0 && !isJSON(r.Header) {
		return nil, fault.New(fault.Malformed, codeMediaType, "Bad Content-Type")
	}
	limit := a.maxBody
	if longest > 0 {
		limit = min(limit, longest)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return nil, malformed([]fault.Field{{Path: "body", Problem: "is too long"}})
	}
	if err != nil {
		return nil, &fault.Fault{Kind: fault.Malformed, Code: "body_unread", Detail: "Bad Request", Cause: err}
	}
	return body, nil
}

// hasBody reports whether a request brings a body of at least one octet. Where no
// length is announced, the first chunk tells.
func hasBody(r *http.Request) bool {
	if r.ContentLength >= 0 {
		return r.ContentLength > 0
	}
	in := bufio.NewReader(r.Body)
	_, err := in.Peek(1)
	r.Body = struct {
		io.Reader
		io.Closer
	}{in, r.Body}
	return !errors.Is(err, io.EOF)
}

// isJSON reports whether the headers announce plain JSON in UTF-8. Clients spell
// that in five ways, so case, blanks and quotes do not count, and no charset means
// UTF-8. Another parameter is ignored.
func isJSON(h http.Header) bool {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	plain := strings.NewReplacer(" ", "", "\t", "", `"`, "").Replace(strings.ToLower(values[0]))
	media, parameters, _ := strings.Cut(plain, ";")
	if media != "application/json" {
		return false
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		if charset, ok := strings.CutPrefix(parameter, "charset="); ok && charset != "utf-8" {
			return false
		}
	}
	return true
}
