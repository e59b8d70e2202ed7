package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
)

//go:embed assets/*.css assets/*.js
var assetFiles embed.FS

// markSVG is drawn in the colour of the text around it.
//
//go:embed assets/mark.svg
var markSVG []byte

// iconColor is that of the mark where no text is around it: it stands out from light
// and from dark window frames.
const iconColor = "#158a8a"

// An Asset is a file that pages refer to. Its path holds a hash of its bytes, so that
// caches may keep it for ever.
type Asset struct {
	Path, Type string
	Bytes      []byte
	Gzip       []byte // the same, compressed
}

// The assets.
var (
	Stylesheet = newAsset("portal", "css", "text/css; charset=utf-8", stylesheet())
	Icon       = newAsset("mark", "svg", "image/svg+xml", bytes.ReplaceAll(markSVG, []byte("currentColor"), []byte(iconColor)))
	Script     = newAsset("portal", "js", "text/javascript; charset=utf-8", assetFile("portal.js"))
	HTMX       = newAsset("htmx", "js", "text/javascript; charset=utf-8", assetFile("htmx.min.js"))

	// Keys makes keys and PKCS #12 files, by PKI, which it loads when it needs it.
	Keys = newAsset("make-key", "js", "text/javascript; charset=utf-8", assetFile("make-key.js"))
	PKI  = newAsset("pkijs", "js", "text/javascript; charset=utf-8", assetFile("pkijs.min.js"))

	// ChartScript draws charts by Plot, uPlot 1.6.32, which has a style of its own. Pages
	// without a chart load none of them.
	ChartScript = newAsset("draw-chart", "js", "text/javascript; charset=utf-8", assetFile("draw-chart.js"))
	Plot        = newAsset("uplot", "js", "text/javascript; charset=utf-8", assetFile("uplot.min.js"))
	PlotStyle   = newAsset("uplot", "css", "text/css; charset=utf-8", assetFile("uplot.min.css"))

	// Assets are all of them.
	Assets = []*Asset{Stylesheet, Icon, Script, HTMX, Keys, PKI, ChartScript, Plot, PlotStyle}
)

// stylesheet returns the layers, whose files are numbered, in their order.
func stylesheet() []byte {
	names, err := fs.Glob(assetFiles, "assets/[0-9]-*.css")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var all []byte
	for _, name := range names {
		all = append(all, assetFile(name[len("assets/"):])...)
	}
	return all
}

// assetFile returns a file that is part of the program.
func assetFile(name string) []byte {
	b, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return b
}

// newAsset returns the asset with these bytes.
func newAsset(name, ending, contentType string, b []byte) *Asset {
	sum := sha256.Sum256(b)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write(b) // a buffer takes all
	w.Close()
	return &Asset{
		Path: "/assets/" + name + "." + hex.EncodeToString(sum[:8]) + "." + ending, Type: contentType,
		Bytes: b, Gzip: packed.Bytes(),
	}
}
