package portal

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are the pages by name, each with its layout.
var templates = parseTemplates("ask", "approved", "problem")

// parseTemplates reads pages that are part of the program: one that is wrong fails
// every test.
func parseTemplates(names ...string) map[string]*template.Template {
	funcs := template.FuncMap{"utc": utc, "rfc3339": rfc3339, "stylesheet": stylesheet.Path, "icon": icon.Path, "mark": mark, "breakable": breakable}
	layout := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html"))
	pages := map[string]*template.Template{}
	for _, name := range names {
		pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return pages
}

// utc writes a time as people read it.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// rfc3339 writes a time as programs read it.
func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// breakable writes a domain name or an address, which stays in one line if a line
// can hold it and else breaks after dots and at signs. The marks follow it without
// a break.
func breakable(name string, marks ...string) template.HTML {
	text := breaks.Replace(template.HTMLEscapeString(name)) + template.HTMLEscapeString(strings.Join(marks, ""))
	return template.HTML(`<span class="whole">` + text + `</span>`)
}

var breaks = strings.NewReplacer(".", ".<wbr>", "@", "@<wbr>")

// A page is what the layout shows.
type page struct {
	Name     string // of its template
	Title    string
	Platform string // render fills it in
	Data     any    // what the page itself shows
}

// render answers with a page. An error leaves the answer unwritten.
func (f *face) render(w http.ResponseWriter, status int, p page) error {
	p.Platform = f.platform
	var body bytes.Buffer
	if err := templates[p.Name].Execute(&body, p); err != nil {
		return fmt.Errorf("render page %s: %w", p.Name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(body.Bytes()) // a client that has gone needs no answer
	return nil
}
