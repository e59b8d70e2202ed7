package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	return object(w, answer)
}

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

// object prints the members of a JSON object in their order. Texts of several
// lines, such as PEM, come last and as they are, so that they can be copied.
func object(w io.Writer, answer json.RawMessage) error {
	decoder := json.NewDecoder(bytes.NewReader(answer))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var long []string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		text := plain(value)
		if strings.Contains(text, "\n") {
			long = append(long, text)
			continue
		}
		fmt.Fprintf(tab, "%s\t%s\n", name, text)
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
