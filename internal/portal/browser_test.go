package portal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

// pageURL is where a browser finds the approval page.
func (s *site) pageURL() string {
	return "https://localhost:" + s.address[strings.LastIndex(s.address, ":")+1:] + link
}

func TestApproveInBrowser(t *testing.T) {
	b := browse.Start(t)
	press := map[string]chromedp.Action[chromedp.Void]{
		"by mouse":    chromedp.Click(chromedp.CSS("button")),
		"by keyboard": chromedp.Steps(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)),
	}
	for name, act := range press {
		t.Run(name, func(t *testing.T) {
			d := newDesk("shop.example.com")
			s := serve(t, d)
			b.Look(t, 1280, 800, "light")
			b.Do(t, chromedp.Navigate(s.pageURL()), chromedp.WaitVisible(chromedp.CSS("button")))
			if _, approved := d.calls(); approved != 0 {
				t.Fatal("opening the page approves")
			}
			b.Do(t, act, chromedp.WaitVisible(chromedp.CSS(".state.good")))
			if got := browse.Run(t, b, chromedp.Text(chromedp.CSS("h1"))); !strings.Contains(got, "shop.example.com") {
				t.Errorf("the result is about %q", got)
			}
			if _, approved := d.calls(); approved != 1 {
				t.Errorf("approved %d times, want once", approved)
			}
			b.Do(t, chromedp.Navigate(s.pageURL()), chromedp.WaitVisible(chromedp.CSS(".state.bad")))
			b.Quiet(t)
		})
	}
	if referrers := b.Referrers(); len(referrers) > 0 {
		t.Errorf("the browser sent referrers: %q", referrers)
	}
	b.Do(t, chromedp.Evaluate[chromedp.Void](`document.body.append(Object.assign(new Image(), {src: "https://other.test/x"}))`))
	browse.Run(t, b, chromedp.Poll[bool](`document.images[0].complete`))
	if heard := b.Heard(); !slices.ContainsFunc(heard, func(c string) bool { return strings.Contains(c, "Content Security Policy") }) {
		t.Errorf("a violation was not heard of, so that silence proves nothing: %q", heard)
	}
}

// TestPages looks at every page in each width and colour scheme. With
// TELAMON_TEST_SCREENSHOTS, it leaves a picture of each in that directory.
func TestPages(t *testing.T) {
	b := browse.Start(t)
	d := newDesk("shop.example.com")
	s := serve(t, d)
	long := strings.Repeat("a-very-long-label-that-goes-on-and-on-to-the-sixty-third-octet.", 3) + "example.com"
	tests := []struct {
		page, name string
		err        error
	}{
		{"ask", "shop.example.com", nil},
		{"ask-long", long, nil},
		{"approved", "shop.example.com", nil},
		{"used", "", fault.New(fault.Conflict, "approval_used", "Used.")},
		{"busy", "", fault.New(fault.Unavailable, "unavailable", "Busy.")},
	}
	for _, tt := range tests {
		for _, width := range []int64{1280, 768, 360} {
			for _, scheme := range []string{"light", "dark"} {
				d.mu.Lock()
				d.fails, d.links[value] = tt.err, newApproval(tt.name)
				if tt.page == "ask-long" {
					d.links[value].Method, d.links[value].Through = telamon.MethodEmailCAA, []string{"contact." + tt.name, "mail.example.net"}
				}
				d.mu.Unlock()
				b.Look(t, width, 800, scheme)
				b.Do(t, chromedp.Navigate(s.pageURL()))
				if tt.page == "approved" {
					b.Do(t, chromedp.Click(chromedp.CSS("button")), chromedp.WaitVisible(chromedp.CSS(".state.good")))
				}
				name := fmt.Sprintf("%s-%d-%s", tt.page, width, scheme)
				b.Shoot(t, name)
				b.Check(t, name, width)
				if tt.page == "ask" && width == 1280 {
					checkButton(t, b, name)
				}
			}
		}
	}
	b.Quiet(t)
}

// checkButton holds that the button is seen without scrolling, and that the focus
// shows.
func checkButton(t *testing.T, b *browse.Browser, name string) {
	t.Helper()
	if bottom := browse.Run(t, b, chromedp.Evaluate[float64](`document.querySelector("button").getBoundingClientRect().bottom`)); bottom > 800 {
		t.Errorf("%s: the button ends at %.0f px", name, bottom)
	}
	b.Do(t, chromedp.KeyEvent(kb.Tab))
	style := browse.Run(t, b, chromedp.Evaluate[string](`(e => e.tagName + " " + getComputedStyle(e).outlineStyle + " " + getComputedStyle(e).outlineWidth)(document.activeElement)`))
	if style != "BUTTON solid 2px" {
		t.Errorf("%s: after the first tab, the focus is on %q", name, style)
	}
	b.Shoot(t, name+"-focus")
}
