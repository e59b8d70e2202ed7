package page

import (
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// Hidden are the values as those of a form.
func Hidden(v url.Values) []ui.Option {
	var all []ui.Option
	for name, values := range v {
		for _, value := range values {
			all = append(all, ui.Option{Value: name, Text: value})
		}
	}
	return all
}

// One answers a question that has but one answer.
func One(f ui.Field) ui.Field {
	if len(f.Options) == 1 {
		f.Value = f.Options[0].Value
	}
	return f
}

// DataURL is an address that is the data itself (RFC 2397).
func DataURL(contentType string, data []byte) templ.SafeURL {
	return templ.SafeURL("data:" + contentType + ";base64," + base64.StdEncoding.EncodeToString(data))
}

// Blame puts what is wrong with a form's values beside their fields, and reports whether
// err says any of it. A path of err without a message in keys shows err's own words.
func Blame(r *http.Request, fields []ui.Field, err error, keys map[string]string) bool {
	flt := fault.From(err)
	if flt.Kind != fault.Invalid && flt.Kind != fault.Malformed && flt.Kind != fault.Conflict && flt.Kind != fault.Denied && flt.Kind != fault.NotReady {
		return false
	}
	found := false
	for _, wrong := range flt.Fields {
		for i := range fields {
			if fields[i].Name != wrong.Path || fields[i].Error != "" {
				continue
			}
			fields[i].Error, found = wrong.Problem, true
			if key := keys[wrong.Path]; key != "" {
				fields[i].Error = LanguageOf(r).Say(key)
			}
		}
	}
	return found
}
