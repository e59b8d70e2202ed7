package atlas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/telamon-ca/telamon/internal/fault"
)

// maxDepth is how deeply the JSON of a request may be nested. The deepest
// member of the API, qualified_statements.semantics.name_authorities, is at 4.
const maxDepth = 16

// object is a JSON object that was read without knowing what its members mean.
// Its values are nil, bool, string, json.Number, []any or object.
type object map[string]any

// parseObject reads a request body: one JSON object in UTF-8, after which only
// white space may follow.
//
// It is stricter than encoding/json where two readers could take the same text
// for different requests: a name must not occur twice in an object, and text
// must be valid Unicode. One byte order mark is skipped (RFC 8259, Section 8.1).
func parseObject(body []byte) (object, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(body) {
		return nil, errors.New("is not UTF-8")
	}
	// Token reads on over some mistakes of syntax, so that is checked first.
	if !json.Valid(body) {
		return nil, errors.New("is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	return o, nil
}

func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("is nested too deeply")
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return readMembers(d, depth+1)
		}
		list := []any{}
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token() // the closing bracket
		return list, err
	case string:
		return token, checkText(token)
	default:
		return token, nil
	}
}

func readMembers(d *json.Decoder, depth int) (object, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, io.ErrUnexpectedEOF // json.Valid has excluded it
		}
		if err := checkText(name); err != nil {
			return nil, err
		}
		if _, ok := o[name]; ok {
			return nil, errors.New("has a member twice")
		}
		if o[name], err = readValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token() // the closing brace
	return o, err
}

// checkText refuses the replacement character, which encoding/json puts in the
// place of an unpaired surrogate: a certificate must not say what nobody sent.
func checkText(s string) error {
	for _, r := range s {
		if r == utf8.RuneError {
			return errors.New("has text that is not Unicode")
		}
	}
	return nil
}

// isAbsent reports whether a value says the same as leaving its member out: null,
// "", [], {} and an object of nothing else. Numbers and false are never absent
// here; the few members where they are say so.
func isAbsent(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case object:
		for _, member := range v {
			if !isAbsent(member) {
				return false
			}
		}
		return true
	}
	return false
}

// members reads the members of one object. Those that are absent read as zero
// values; those of a wrong type do too, and are noted in bad.
type members struct {
	object object
	path   string // of the object, with a final dot, "" for the body itself
	bad    *[]fault.Field
}

// readBody parses a body, lets read take from it what it knows, and reports
// Malformed if the body is not JSON or a member that was read is of a wrong type.
func readBody(body []byte, read func(members)) error {
	o, err := parseObject(body)
	if err != nil {
		return malformed([]fault.Field{{Path: "body", Problem: err.Error()}})
	}
	var bad []fault.Field
	read(members{object: o, bad: &bad})
	if len(bad) > 0 {
		return malformed(bad)
	}
	return nil
}

// member returns the value of type T, or its zero value if it is absent or, which
// is noted, of another type.
func member[T any](m members, name, want string) (value T, given bool) {
	v := m.object[name]
	if isAbsent(v) {
		return value, false
	}
	if value, given = v.(T); !given {
		m.refuse(name, want)
	}
	return value, given
}

// maxReported is how many wrong members one answer names.
const maxReported = 10

func (m members) refuse(name, want string) {
	if len(*m.bad) == maxReported {
		return
	}
	*m.bad = append(*m.bad, fault.Field{Path: m.path + name, Problem: "has to be " + want})
}

func (m members) text(name string) string {
	s, _ := member[string](m, name, "a string")
	return s
}

func (m members) flag(name string) (value, given bool) {
	return member[bool](m, name, "true or false")
}

// integer returns a whole number. Fractions and exponents are refused, because
// the documented type is an integer and the clients' parsers are as strict.
func (m members) integer(name string) (value int64, given bool) {
	n, given := member[json.Number](m, name, "an integer")
	if !given {
		return 0, false
	}
	value, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil {
		m.refuse(name, "an integer")
		return 0, false
	}
	return value, true
}

// inside returns the members of the object of this name; there are none if it is
// absent.
func (m members) inside(name string) members {
	o, _ := member[object](m, name, "an object")
	return members{object: o, path: m.path + name + ".", bad: m.bad}
}

// list calls element with each element of an array that is not itself absent.
func (m members) list(name string, element func(v any, path string)) {
	list, _ := member[[]any](m, name, "an array")
	for i, v := range list {
		if !isAbsent(v) {
			element(v, name+"["+strconv.Itoa(i)+"]")
		}
	}
}

func (m members) texts(name string) []string {
	var all []string
	m.list(name, func(v any, path string) {
		s, ok := v.(string)
		if !ok {
			m.refuse(path, "a string")
			return
		}
		all = append(all, s)
	})
	return all
}

// objects calls read with the members of each object of an array.
func (m members) objects(name string, read func(members)) {
	m.list(name, func(v any, path string) {
		o, ok := v.(object)
		if !ok {
			m.refuse(path, "an object")
			return
		}
		read(members{object: o, path: m.path + path + ".", bad: m.bad})
	})
}

// textMap returns the members that are not absent of an object whose names the
// client chooses, nil if there are none.
func (m members) textMap(name string) map[string]string {
	inside := m.inside(name)
	var all map[string]string
	for _, key := range inside.names() {
		if s := inside.text(key); s != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[key] = s
		}
	}
	return all
}

// names returns the members' names in order, so that what is wrong with them is
// always reported in the same one.
func (m members) names() []string {
	names := make([]string, 0, len(m.object))
	for name := range m.object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// malformed is the fault of a body that cannot be read.
func malformed(fields []fault.Field) error {
	return &fault.Fault{Kind: fault.Malformed, Code: "bad_request", Detail: "Bad Request", Fields: fields}
}

// invalid is the fault of one member that cannot stand.
func invalid(path, problem string) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "invalid_member", Detail: fmt.Sprintf("%s: %s", path, problem),
		Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}
