package page

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Difference is one value of what an event changed, by its path.
type Difference struct{ Path, Before, After string }

// Changed reports whether the value is another one.
func (d Difference) Changed() bool { return d.Before != d.After }

// Diff lists the values of two JSON texts, of which each may be empty, by their paths, in
// alphabetical order. What is no JSON is one value.
func Diff(before, after json.RawMessage) []Difference {
	was, is := map[string]string{}, map[string]string{}
	flatten(was, "", before)
	flatten(is, "", after)
	var all []Difference
	paths := maps.Clone(was)
	maps.Copy(paths, is)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		all = append(all, Difference{path, was[path], is[path]})
	}
	return all
}

// flatten puts the values of a JSON text into a map by their paths.
func flatten(into map[string]string, path string, text json.RawMessage) {
	if len(text) == 0 {
		return
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) == nil && len(members) > 0 {
		for name, value := range members {
			flatten(into, strings.TrimPrefix(path+"."+name, "."), value)
		}
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(text, &list) == nil && len(list) > 0 && len(list) <= 100 {
		for i, value := range list {
			flatten(into, path+"["+strconv.Itoa(i)+"]", value)
		}
		return
	}
	value := string(text)
	var words string
	if json.Unmarshal(text, &words) == nil {
		value = words
	}
	into[path] = value
}
