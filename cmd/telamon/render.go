package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

func itoa(n int) string { return strconv.Itoa(n) }

// print shows an answer of the admin API: as it is with -json, else a list as a
// table and an object as lines.
func (f *adminFlags) print(w io.Writer, answer json.RawMessage, columns []string) error {
	if f.json {
		if len(answer) == 0 {
			answer = json.RawMessage("{}")
		}
		var text bytes.Buffer
		if err := json.Indent(&text, bytes.TrimSpace(answer), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, text.String())
		return err
	}
	if len(answer) == 0 {
		_, err := fmt.Fprintln(w, "done")
		return err
	}
	var list struct {
		Items []map[string]json.RawMessage `json:"items"`
		Next  string                       `json:"next"`
	}
	if json.Unmarshal(answer, &list) == nil && list.Items != nil {
		return table(w, list.Items, columns, list.Next)
	}
	return object(w, answer, slices.Equal(columns, nested))
}

// nested, in the place of columns, has the objects within an object shown member by
// member.
var nested = []string{"*"}

func table(w io.Writer, items []map[string]json.RawMessage, columns []string, next string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, strings.ToUpper(strings.Join(columns, "\t")))
	for _, item := range items {
		cells := make([]string, len(columns))
		for i, column := range columns {
			cells[i] = plain(item[column])
		}
		fmt.Fprintln(tab, strings.Join(cells, "\t"))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if next != "" {
		_, err := fmt.Fprintf(w, "there are more: --after %s\n", next)
		return err
	}
	return nil
}

// object prints the members of a JSON object in their order. Objects within it are
// compact JSON, or if they are to be opened their members by their path. Texts of several lines, such as PEM, come last and as they are, so
// that they can be copied.
func object(w io.Writer, answer json.RawMessage, open bool) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var long []string
	err := members(answer, "", open, func(path string, value json.RawMessage) {
		text := plain(value)
		if strings.Contains(text, "\n") {
			long = append(long, text)
			return
		}
		fmt.Fprintf(tab, "%s\t%s\n", path, text)
	})
	if err != nil {
		return err
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, text := range long {
		if _, err := fmt.Fprint(w, "\n"+strings.TrimSuffix(text, "\n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// members calls visit with the members of a JSON object in their order. If objects
// within it are opened, their members have its name and a dot before theirs, and those
// of the objects of an array also a number from 1.
func members(object json.RawMessage, prefix string, open bool, visit func(path string, value json.RawMessage)) error {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		path := fmt.Sprintf("%s%s", prefix, name)
		var inner map[string]json.RawMessage
		var list []json.RawMessage
		switch {
		case open && json.Unmarshal(value, &inner) == nil && len(inner) > 0:
			err = members(value, path+".", open, visit)
		case open && json.Unmarshal(value, &list) == nil && len(list) > 0 && list[0][0] == '{':
			for i, element := range list {
				err = errors.Join(err, members(element, fmt.Sprintf("%s.%d.", path, i+1), open, visit))
			}
		default:
			visit(path, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// plain shows a JSON value on a line: texts without quotes, lists of texts with
// commas, the rest as compact JSON.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var texts []string
	if json.Unmarshal(value, &texts) == nil {
		return strings.Join(texts, ", ")
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return string(value)
	}
	return compact.String()
}
