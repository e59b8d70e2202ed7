package digicertone

import (
	"net/http"
	"net/url"
	"strconv"
)

// The limits of lists (digicert-one.md, Section 2.4).
const (
	defaultLimit = 20 // of those in an envelope; arrays without a limit are whole
	maxLimit     = 100
)

// page returns the limit and offset of the query; a limit that is not given is unlimited.
// It reports Malformed for what is no number, a limit outside of 1 to maxLimit, and a
// negative offset.
func page(query url.Values, unlimited int64) (limit, offset int64, err error) {
	if limit, err = number(query, "limit", unlimited, 1, maxLimit); err != nil {
		return 0, 0, err
	}
	offset, err = number(query, "offset", 0, 0, 1<<53) // beyond which clients' numbers are not exact
	return limit, offset, err
}

func number(query url.Values, name string, absent, least, most int64) (int64, error) {
	text, err := parameter(query, name)
	if err != nil || text == "" {
		return absent, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, badRequest(name, "has to be a number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
	}
	return n, nil
}

// writeArray answers with a bare array: the whole list, or the slice of it that limit and
// offset of the query name.
func writeArray[T any](c *call, list []T) error {
	return writeArrayOf(c, list, func(one *T) T { return *one })
}

// writeArrayOf is writeArray of what of makes of each object: of those alone that are
// answered.
func writeArrayOf[T, W any](c *call, list []T, of func(*T) W) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	limit, offset, err := page(query, int64(len(list)))
	if err != nil {
		return err
	}
	start := min(offset, int64(len(list)))
	slice := []W{} // never null
	for i := range list[start:min(start+limit, int64(len(list)))] {
		slice = append(slice, of(&list[start+int64(i)]))
	}
	return writeJSON(c.w, http.StatusOK, slice)
}

// envelope is the answer of lists that can be large, in the order of members that was
// seen.
type envelope[T any] struct {
	Total  int64 `json:"total"`
	Offset int64 `json:"offset"`
	Limit  int64 `json:"limit"`
	Items  []T   `json:"items"`
}

// writeEnvelope answers with the items of a page, which are a part of total.
func writeEnvelope[T any](c *call, items []T, total, limit, offset int64) error {
	if items == nil {
		items = []T{}
	}
	return writeJSON(c.w, http.StatusOK, envelope[T]{Total: total, Offset: offset, Limit: limit, Items: items})
}
