package ui_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// The least contrasts (WCAG 2.2, 1.4.3 and 1.4.11).
const (
	textContrast  = 4.5
	shapeContrast = 3
)

// TestContrast computes the contrast of each pair of tokens that the stylesheet's
// rules put together, in both colour schemes: a rule that sets both colours is a
// pair of its own; a text colour alone stands on the ground, on surfaces and on what
// is sunken; a ground alone carries ink and quiet ink; outlines and edges are told from
// all of them.
func TestContrast(t *testing.T) {
	tokens, rules := readCSS(t)
	pairs := map[[2]string]float64{} // the least contrast of a pair
	need := func(front, back string, least float64) {
		pairs[[2]string{front, back}] = max(pairs[[2]string{front, back}], least)
	}
	grounds := []string{"ground", "surface", "sunken"}
	for _, rule := range rules {
		front, back := colorOf(rule, "color"), colorOf(rule, "background")
		switch {
		case front != "" && back != "":
			need(front, back, textContrast)
		case front != "":
			for _, g := range grounds {
				need(front, g, textContrast)
			}
		case back != "":
			need("ink", back, textContrast)
			need("quiet", back, textContrast)
		}
		for _, property := range []string{"outline", "border", "border-color"} {
			shape := colorOf(rule, property)
			if shape == "" || shape == "line" { // hairlines part things that space parts already
				continue
			}
			for _, g := range grounds {
				need(shape, g, shapeContrast)
			}
		}
	}
	if len(pairs) < 10 {
		t.Fatalf("only %d pairs were found: this test proves nothing", len(pairs))
	}
	for pair, least := range pairs {
		for scheme, name := range []string{"light", "dark"} {
			front, back := tokens.color(t, pair[0], scheme), tokens.color(t, pair[1], scheme)
			if got := contrast(front, back); got < least {
				t.Errorf("%s on %s, %s: the contrast is %.2f, want %.1f", pair[0], pair[1], name, got, least)
			}
		}
	}
}

func TestContrastFormula(t *testing.T) {
	white, black, red := oklch{1, 0, 0}.lab(), oklch{}.lab(), oklch{0.62796, 0.25768, 29.234}.lab() // #ff0000
	for _, tt := range []struct {
		a, b oklab
		want float64
	}{{white, black, 21}, {black, white, 21}, {white, red, 3.998}, {red, red, 1}} {
		if got := contrast(tt.a, tt.b); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("the contrast of %v and %v is %.3f, want %.3f", tt.a, tt.b, got, tt.want)
		}
	}
}

// tokens are the values of custom properties, as the stylesheet spells them.
type tokens map[string]string

var (
	comment     = regexp.MustCompile(`(?s)/\*.*?\*/`)
	tokensLayer = regexp.MustCompile(`(?s)@layer tokens \{.*?\n\}`)
	tokenLine   = regexp.MustCompile(`--([a-z-]+):\s*([^;]+);`)
	ruleBody    = regexp.MustCompile(`\{([^{}]*)\}`)
	literal     = regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|oklch|oklab|lab|lch|color|color-mix|light-dark)a?\(`)
)

// readCSS returns the tokens and the bodies of the rules, of which none may name a
// colour that is not a token.
func readCSS(t *testing.T) (tokens, []string) {
	t.Helper()
	css := comment.ReplaceAllString(string(ui.Stylesheet.Bytes), "")
	layer := tokensLayer.FindString(css)
	found := tokens{}
	for _, m := range tokenLine.FindAllStringSubmatch(layer, -1) {
		found[m[1]] = m[2]
	}
	css = strings.Replace(css, layer, "", 1)
	if l := literal.FindString(css); layer == "" || l != "" {
		t.Fatalf("the stylesheet has no layer of tokens, or a colour outside of it: %q", l)
	}
	var rules []string
	for _, m := range ruleBody.FindAllStringSubmatch(css, -1) {
		rules = append(rules, m[1])
	}
	return found, rules
}

// colorOf returns the token that a rule sets a property to, "" for none.
func colorOf(rule, property string) string {
	m := regexp.MustCompile(`(?:^|[;\s])` + property + `:[^;]*var\(--([a-z-]+)\)`).FindStringSubmatch(rule)
	if m == nil {
		return ""
	}
	return m[1]
}

var (
	lightDark = regexp.MustCompile(`^light-dark\((oklch\([^)]*\)), (oklch\([^)]*\))\)$`)
	colorMix  = regexp.MustCompile(`^color-mix\(in oklab, var\(--([a-z-]+)\) (\d+)%, var\(--([a-z-]+)\)\)$`)
)

// color returns a token's colour; scheme 0 is light and 1 is dark.
func (tk tokens) color(t *testing.T, name string, scheme int) oklab {
	t.Helper()
	if m := lightDark.FindStringSubmatch(tk[name]); m != nil {
		var c oklch
		if _, err := fmt.Sscanf(m[1+scheme], "oklch(%f%% %f %f)", &c.l, &c.c, &c.h); err != nil {
			t.Fatalf("--%s is %q: %v", name, m[1+scheme], err)
		}
		c.l /= 100
		return c.lab()
	}
	m := colorMix.FindStringSubmatch(tk[name])
	if m == nil {
		t.Fatalf("--%s is %q, which this test cannot read", name, tk[name])
	}
	percent, err := strconv.Atoi(m[2])
	if err != nil {
		t.Fatal(err)
	}
	a, b, p := tk.color(t, m[1], scheme), tk.color(t, m[3], scheme), float64(percent)/100
	return oklab{a.l*p + b.l*(1-p), a.a*p + b.a*(1-p), a.b*p + b.b*(1-p)}
}

// The colour spaces of CSS Color 4, Section 9. The hue is in degrees.
type (
	oklch struct{ l, c, h float64 }
	oklab struct{ l, a, b float64 }
)

func (c oklch) lab() oklab {
	sin, cos := math.Sincos(c.h * math.Pi / 180)
	return oklab{c.l, c.c * cos, c.c * sin}
}

// luminance returns the relative luminance of a colour, clipped to sRGB.
func (c oklab) luminance() float64 {
	cube := func(x float64) float64 { return x * x * x }
	l := cube(c.l + 0.3963377774*c.a + 0.2158037573*c.b)
	m := cube(c.l - 0.1055613458*c.a - 0.0638541728*c.b)
	s := cube(c.l - 0.0894841775*c.a - 1.2914855480*c.b)
	clip := func(x float64) float64 { return min(max(x, 0), 1) }
	red := clip(4.0767416621*l - 3.3077115913*m + 0.2309699292*s)
	green := clip(-1.2684380046*l + 2.6097574011*m - 0.3413193965*s)
	blue := clip(-0.0041960863*l - 0.7034186147*m + 1.7076147010*s)
	return 0.2126*red + 0.7152*green + 0.0722*blue
}

// contrast returns the contrast ratio of two colours (WCAG 2.2).
func contrast(a, b oklab) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
