// Package ui is the portal's visual system: the stylesheet, the mark, the scripts, the
// messages in each language, and the components that pages are made of.
//
// It knows no requests, no use cases and no secrets' worth. A component shows what it
// is given and escapes all of it. Whatever people read is in the catalogue of
// messages or is given by the page; no template has words of its own. Every component
// works without scripts, which only make it quicker.
//
// Templates are the *.templ files; what templ makes of them is checked in.
package ui

import (
	"context"
	"strings"
	"time"

	"github.com/a-h/templ"
)

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate -path ..
//go:generate go test ../../treecheck -run TestGeneratedTemplates -update

// A View is what all of a page needs to be written: for whom, and when.
type View struct {
	Language *Language // nil is English
	Now      time.Time // what relative times are relative to
	Platform string    // the platform's name
	// Here is the address of the page, to which a change of the language comes back; "" if
	// the page offers none.
	Here string
}

// viewKey is the key of the view in a context.
type viewKey struct{}

// With returns a context in which components are rendered for v.
func With(ctx context.Context, v View) context.Context {
	if v.Language == nil {
		v.Language = English
	}
	return context.WithValue(ctx, viewKey{}, v)
}

// ViewOf returns the view of a context, an English one if it has none.
func ViewOf(ctx context.Context) View {
	v, ok := ctx.Value(viewKey{}).(View)
	if !ok {
		v.Language = English
	}
	return v
}

// Say returns a message of the catalogue in the context's language. See
// [Language.Say].
func Say(ctx context.Context, key string, pairs ...string) string {
	return ViewOf(ctx).Language.Say(key, pairs...)
}

// A Link is a word that leads somewhere.
type Link struct{ Text, URL string }

// A Tone is what a state means to its reader. It has a shape of its own, so that
// nothing is said by colour alone.
type Tone string

// The tones.
const (
	Good    Tone = "good"    // ● it works
	Pending Tone = "pending" // ◐ it is under way
	Off     Tone = "off"     // ○ it rests, by somebody's will
	Bad     Tone = "bad"     // ✕ it is over
	Warn    Tone = "warn"    // ! somebody has to look
)

// A State is a state in a word or two, and why it is so if that needs saying.
type State struct {
	Tone   Tone
	Word   string
	Reason string
}

// mark returns the mark as a part of a page.
func mark() templ.Component { return templ.Raw(string(markSVG)) }

// shorten returns an identifier of more than 20 characters with its middle left out.
func shorten(id string) string {
	if len(id) <= 20 {
		return id
	}
	return id[:10] + "…" + id[len(id)-6:]
}

// Name is a domain name or an address, which stays in one line if a line can hold it and
// else breaks after dots and at signs. The mark follows it without a break.
func Name(name, mark string) templ.Component {
	text := breaks.Replace(templ.EscapeString(name)) + templ.EscapeString(mark)
	return templ.Raw(`<span class="whole">` + text + `</span>`)
}

var breaks = strings.NewReplacer(".", ".<wbr>", "@", "@<wbr>")

// Words is text as a component. A long word, such as a name that programs have, breaks after
// its marks and not inside a part; only a part that no line holds breaks anywhere.
func Words(text string) templ.Component {
	words := strings.Split(text, " ")
	for i, word := range words {
		words[i] = breakable(word)
	}
	return templ.Raw(strings.Join(words, " "))
}

const (
	// shortWord is how many characters a word has at most that stays whole.
	shortWord = 8
	// longPart is how many characters of a word stay together at most.
	longPart = 32
)

// breakable escapes a word and says where it may break.
func breakable(word string) string {
	letters := []rune(word)
	if len(letters) <= shortWord {
		return templ.EscapeString(word)
	}
	var text strings.Builder
	begin := 0
	for i, r := range letters {
		mark := strings.ContainsRune("_.-@/", r)
		if i+1 == len(letters) || !mark && i+1-begin < longPart {
			continue
		}
		text.WriteString(templ.EscapeString(string(letters[begin:i+1])) + "<wbr>")
		begin = i + 1
	}
	return text.String() + templ.EscapeString(string(letters[begin:]))
}
