package ui

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
)

//go:embed messages/*/*.json
var messageFiles embed.FS

// A Language is the messages in one language. It must not be changed.
type Language struct {
	Tag      string // BCP 47, such as "en"
	Name     string // as its speakers call it
	messages map[string]string
	group    string // what parts the thousands of a number
}

// The languages. English is the one that every message is written in first.
var (
	English = readLanguage("en", "English", ",")
	German  = readLanguage("de", "Deutsch", ".")

	// Languages are all of them, the first one for whoever reads none.
	Languages = []*Language{English, German}
)

var matcher = language.NewMatcher([]language.Tag{language.English, language.German})

// readLanguage reads messages that are part of the program: a file for each area, which
// is the first word of its keys. A file that cannot be read fails every test.
func readLanguage(tag, name, group string) *Language {
	l := &Language{Tag: tag, Name: name, group: group, messages: map[string]string{}}
	dir := "messages/" + tag
	files, err := messageFiles.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		area, err := readArea(dir + "/" + f.Name())
		if err != nil {
			panic(fmt.Errorf("%s/%s: %w", dir, f.Name(), err))
		}
		maps.Copy(l.messages, area)
	}
	return l
}

// readArea reads the messages of one area.
func readArea(file string) (messages map[string]string, err error) {
	text, err := messageFiles.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &messages); err != nil {
		return nil, err
	}
	area := strings.TrimSuffix(path.Base(file), ".json")
	for key := range messages {
		if !strings.HasPrefix(key, area+".") {
			return nil, fmt.Errorf("the key %s is of another area", key)
		}
	}
	return messages, nil
}

// Choose returns the language that fits best: the one with the tag chosen if there is
// one, else one that accept names, which is the text of a header Accept-Language (RFC
// 9110, Section 12.5.4).
func Choose(chosen, accept string) *Language {
	for _, l := range Languages {
		if l.Tag == chosen {
			return l
		}
	}
	if len(accept) > 256 { // no browser's
		return English
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return English
	}
	_, i, confidence := matcher.Match(tags...)
	if confidence == language.No {
		return English
	}
	return Languages[i]
}

// Say returns the message of a key. In it, {name} stands for the value that follows
// "name" in pairs. A key without a message is returned as it is; a test holds that
// there is none.
func (l *Language) Say(key string, pairs ...string) string {
	text, ok := l.messages[key]
	if !ok {
		return key
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text
}

// Has reports whether there is a message of the key.
func (l *Language) Has(key string) bool { _, ok := l.messages[key]; return ok }

// Keys returns the keys of all messages, in order.
func (l *Language) Keys() []string { return slices.Sorted(maps.Keys(l.messages)) }

// Count writes a number with its thousands apart.
func (l *Language) Count(n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + l.group + digits[i:]
	}
	return sign + digits
}

// Many returns the message key.one for one and key.other for any other number, with
// the number as {n}.
func (l *Language) Many(key string, n int64, pairs ...string) string {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return l.Say(key+form, append([]string{"n", l.Count(n)}, pairs...)...)
}

// Relative says how far t is from now, in the largest unit of which there are two.
func (l *Language) Relative(t, now time.Time) string {
	d := t.Sub(now)
	way := "time.in"
	if d < 0 {
		d, way = -d, "time.ago"
	}
	const day = 24 * time.Hour
	for _, unit := range []struct {
		key  string
		size time.Duration
	}{{"time.years", 365 * day}, {"time.months", 30 * day}, {"time.days", day}, {"time.hours", time.Hour}, {"time.minutes", time.Minute}} {
		if d >= 2*unit.size || d >= unit.size && unit.size <= day {
			return l.Say(way, "span", l.Many(unit.key, int64(d/unit.size)))
		}
	}
	return l.Say("time.now")
}
