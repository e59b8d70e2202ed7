package page

import (
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
		pager.Previous = with(q, path, max(1, from-PerPage))
	}
	if to < len(list) {
		pager.Next = with(q, path, to+1)
	}
	return list[from-1 : to], pager
}

// with is the address of a list from a line on.
func with(q url.Values, path string, from int) string {
	next := url.Values{}
	for k, v := range q {
		next[k] = v
	}
	next.Set("from", strconv.Itoa(from))
	return path + "?" + next.Encode()
}

// StateWords are the tone and the message of each state.
var StateWords = map[telamon.State]ui.State{
	telamon.Active: {Tone: ui.Good, Word: "state.active"}, telamon.Disabled: {Tone: ui.Off, Word: "state.disabled"},
	telamon.Deleted: {Tone: ui.Bad, Word: "state.deleted"}, telamon.Revoked: {Tone: ui.Bad, Word: "state.revoked"},
}
