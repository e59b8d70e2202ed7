package digicertone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/fault"
)

// maxDepth is how deeply the JSON of a request may be nested, members that nobody reads
// included.
const maxDepth = 16

// decode reads the request's body, a JSON object, into the struct that in points to.
// Members that in does not have are ignored (digicert-one.md, Section 2.3). Those that
// are absent or null leave a pointer nil.
//
// It reports Malformed for a body that is not announced as JSON, is too long or broke
// off, is no JSON object, names a member twice, or has a member of a wrong type.
func (c *call) decode(in any) error {
	if !isJSON(c.r.Header) {
		return errMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.api.maxBody))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return badRequest("body", fmt.Sprintf("is longer than %d bytes", c.api.maxBody))
	}
	if err != nil {
		return &fault.Fault{Kind: fault.Malformed, Code: "body_unread", Detail: "The request's body could not be read.", Cause: err}
	}
	return decodeObject(body, in)
}

// decodeEnabled reads the body of a request that enables or disables, and returns which.
func (c *call) decodeEnabled() (bool, error) {
	var in struct {
		Enabled *bool `json:"enabled"`
	}
	if err := c.decode(&in); err != nil {
		return false, err
	}
	if in.Enabled == nil {
		return false, badRequest("enabled", "has to be true or false")
	}
	return *in.Enabled, nil
}

// decodeObject is decode for a body that was read.
func decodeObject(body []byte, in any) error {
	if err := checkObject(body); err != nil {
		return badRequest("body", err.Error())
	}
	err := json.Unmarshal(body, in)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badRequest(wrong.Field, "has to be "+typeName(wrong.Type))
	}
	if err != nil {
		return badRequest("body", "is not the JSON of this request")
	}
	return nil
}

// badRequest is the fault of one part of a request that cannot be read.
func badRequest(path, problem string) error {
	return &fault.Fault{
		Kind: fault.Malformed, Code: "bad_request", Detail: "The request cannot be read.",
		Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}

// typeName says in the words of JSON what a member of a Go type has to be.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int64:
		return "an integer"
	}
	return "of another type"
}

// checkObject holds that a body is one JSON object in UTF-8, after which only white space
// may follow, and that two readers cannot take it for different requests: no object has
// a name twice, in whatever case, because encoding/json does not tell cases apart.
func checkObject(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("is not UTF-8")
	}
	if !json.Valid(body) { // Token reads on over some mistakes of syntax
		return errors.New("is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	first, err := d.Token()
	if err != nil {
		return err
	}
	if first != json.Delim('{') {
		return errors.New("is not a JSON object")
	}
	return checkMembers(d, 1)
}

// checkMembers reads on to the end of an object.
func checkMembers(d *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return io.ErrUnexpectedEOF // json.Valid has excluded it
		}
		if err := checkText(name); err != nil {
			return err
		}
		if name = folded(name); seen[name] {
			return errors.New("has a member twice")
		}
		seen[name] = true
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	_, err := d.Token() // the closing brace
	return err
}

// checkValue reads on to the end of a value in an object or array of a depth.
func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case string:
		return checkText(token)
	case json.Delim:
		if depth == maxDepth {
			return errors.New("is nested too deeply")
		}
		if token == '{' {
			return checkMembers(d, depth+1)
		}
		for d.More() {
			if err := checkValue(d, depth+1); err != nil {
				return err
			}
		}
		_, err := d.Token() // the closing bracket
		return err
	}
	return nil
}

// checkText refuses the replacement character, which encoding/json puts in the place of
// an unpaired surrogate: nothing must be stored that nobody sent.
func checkText(s string) error {
	if strings.ContainsRune(s, utf8.RuneError) {
		return errors.New("has text that is not Unicode")
	}
	return nil
}

// folded returns the name in the one of its spellings by case that comes first, as
// encoding/json compares names.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}
