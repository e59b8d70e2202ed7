package ui

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"
)

// dictionaries have the names of countries by the tag of the language.
var dictionaries = map[string]*display.Dictionary{"en": display.English, "de": display.German}

// Country returns the name of a country in the language, by its code; the code itself if
// there is no name.
func (l *Language) Country(code string) string {
	region, err := language.ParseRegion(code)
	dictionary := dictionaries[l.Tag]
	if err != nil || dictionary == nil {
		return code
	}
	if name := dictionary.Regions().Name(region); name != "" {
		return name
	}
	return code
}

// Countries are the options of a field that asks for one of the countries, by their names.
func (l *Language) Countries(codes []string) []Option {
	all := make([]Option, 0, len(codes)+1)
	for _, code := range codes {
		all = append(all, Option{Value: code, Text: l.Country(code) + " (" + code + ")"})
	}
	slices.SortFunc(all, func(a, b Option) int { return strings.Compare(plain(a.Text), plain(b.Text)) })
	return append([]Option{{Text: "–"}}, all...)
}

// plain is a text without the marks of its letters, which come after them in the alphabet
// of no language here.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(text))
}
