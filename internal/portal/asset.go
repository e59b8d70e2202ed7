package portal

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the files below
	"encoding/hex"
	"html/template"
	"net/http"
)

//go:embed assets/portal.css
var css []byte

// markSVG is drawn in the colour of the text around it.
//
//go:embed assets/mark.svg
var markSVG []byte

// iconColor is that of the mark where no text is around it: it stands out from
// light and from dark window frames.
const iconColor = "#158a8a"

// An asset is a file that pages refer to. Its path holds a hash of its bytes, so
// that caches may keep it for ever.
type asset struct {
	path, contentType string
	bytes             []byte
}

// The assets.
var (
	stylesheet = newAsset("portal", "css", "text/css; charset=utf-8", css)
	icon       = newAsset("mark", "svg", "image/svg+xml", bytes.ReplaceAll(markSVG, []byte("currentColor"), []byte(iconColor)))
	assets     = []*asset{stylesheet, icon}
)

// newAsset returns the asset with these bytes.
func newAsset(name, ending, contentType string, b []byte) *asset {
	sum := sha256.Sum256(b)
	return &asset{path: "/assets/" + name + "." + hex.EncodeToString(sum[:8]) + "." + ending, contentType: contentType, bytes: b}
}

// Path returns the asset's path, for templates.
func (a *asset) Path() string { return a.path }

// serve answers with the asset.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(a.bytes)
}

// mark returns the mark as a part of a page.
func mark() template.HTML { return template.HTML(markSVG) }
