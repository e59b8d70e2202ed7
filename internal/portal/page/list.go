package page

import (
	"maps"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// MaxRows is how many objects of a kind a page reads at most.
const MaxRows = 1000

// AttentionSpan is how long before its end a certificate needs somebody.
const AttentionSpan = 30 * 24 * time.Hour

// PerPage is how many lines a list shows at a time.
const PerPage = 100

// Cells are the cells of a row.
func Cells(all ...templ.Component) []templ.Component { return all }

// PageOf returns the part of a list that an address asks for by "from", the number of
// its first line, and what leads to the others.
func PageOf[T any](list []T, q url.Values, path string) ([]T, *ui.Pager) {
	from, err := strconv.Atoi(q.Get("from"))
	if err != nil || from < 1 || from > len(list) {
		from = 1
	}
	to := min(from-1+PerPage, len(list))
	pager := &ui.Pager{First: int64(min(from, len(list))), Last: int64(to), Total: int64(len(list))}
	if from > 1 {
		pager.Previous = Address(path, q, "from", strconv.Itoa(max(1, from-PerPage)))
	}
	if to < len(list) {
		pager.Next = Address(path, q, "from", strconv.Itoa(to+1))
	}
	return list[from-1 : to], pager
}

// Address is that of a list with its filters, of which one has another value, or none if
// it is "".
func Address(path string, q url.Values, name, value string) string {
	q = maps.Clone(q)
	q.Del(name)
	if value != "" {
		q.Set(name, value)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// StateWords are the tone and the message of each state.
var StateWords = map[telamon.State]ui.State{
	telamon.Active: {Tone: ui.Good, Word: "state.active"}, telamon.Disabled: {Tone: ui.Off, Word: "state.disabled"},
	telamon.Deleted: {Tone: ui.Bad, Word: "state.deleted"}, telamon.Revoked: {Tone: ui.Bad, Word: "state.revoked"},
}

// ActorName is who did something, as audit events name them: by name if names has one, and in
// words for those who have none. Of anybody else it is the identifier itself.
func (c *Call) ActorName(actor string, names map[string]string) string {
	if name := names[actor]; name != "" {
		return name
	}
	if key := "audit.actor." + actor; c.Language().Has(key) {
		return c.Say(key)
	}
	return actor
}

// MailName is what a mail is about, in words.
func (c *Call) MailName(template string) string {
	if key := "mail.template." + template; c.Language().Has(key) {
		return c.Say(key)
	}
	return template
}

// MethodName is a way to show control of a domain, in words, or a dash for none.
func (c *Call) MethodName(m telamon.Method) string {
	switch m {
	case "":
		return "–"
	case telamon.MethodDNS:
		return c.Say("domains.method.dns")
	case telamon.MethodPersist:
		return c.Say("domains.method.persist")
	case telamon.MethodHTTP:
		return c.Say("domains.method.http")
	}
	return c.Say("domains.method.email")
}
