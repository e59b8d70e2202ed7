package portal

import (
	"net/url"
	"strconv"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// perPage is how many lines a list shows at a time.
const perPage = 100

// cells are the cells of a row.
func cells(all ...templ.Component) []templ.Component { return all }

// pageOf returns the part of a list that an address asks for by "from", the number of
// its first line, and what leads to the others.
func pageOf[T any](list []T, q url.Values, path string) ([]T, *ui.Pager) {
	from, err := strconv.Atoi(q.Get("from"))
	if err != nil || from < 1 || from > len(list) {
		from = 1
	}
	to := min(from-1+perPage, len(list))
	pager := &ui.Pager{First: int64(min(from, len(list))), Last: int64(to), Total: int64(len(list))}
	if from > 1 {
		pager.Previous = with(q, path, max(1, from-perPage))
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
