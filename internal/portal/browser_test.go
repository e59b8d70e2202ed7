package portal_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// A browser is a tab of Chromium, and what it complained of.
type browser struct {
	ctx context.Context
	mu  sync.Mutex
	// Guarded by mu.
	complaints []string
	referrers  []string
}

// openBrowser starts Chromium. It is stopped at the end of the test, or after a
// minute and a half.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		testkit.Require(t, "Chromium")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &browser{}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(func() { // waits for the end of the process, which still writes to its directory
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Errorf("stop the browser: %v", err)
		}
		cancel()
	})
	for _, err := range []error{
		chromedp.Do(b.ctx),
		command(b, cdplog.Enable, cdp.Empty{}), command(b, audits.Enable, cdp.Empty{}), command(b, network.Enable, network.EnableParams{}),
	} {
		if err != nil {
			t.Fatalf("start the browser: %v", err)
		}
	}
	return b
}

// hear notes what a page should not cause: messages on the console, violations of
// policies, exceptions, other hosts, referrers.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		b.complaints = append(b.complaints, fmt.Sprintf("%s %s: %s", e.Entry.Source, e.Entry.Level, e.Entry.Text))
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, "console "+e.Type.String())
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception "+e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		b.complaints = append(b.complaints, "issue "+e.Issue.Code.String())
	case *network.EventRequestWillBeSentExtraInfo:
		for name := range e.Headers {
			if strings.EqualFold(name, "Referer") {
				b.referrers = append(b.referrers, fmt.Sprint(e.Headers[name]))
			}
		}
	}
}

// heard returns the complaints since the last call.
func (b *browser) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	heard := b.complaints
	b.complaints = nil
	return heard
}

// command gives the browser a command without a result.
func command[P any](b *browser, c cdp.Command[P, cdp.Empty], params P) error {
	_, err := chromedp.Call(b.ctx, c, params)
	return err
}

// do runs steps.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// run runs one action and returns its value.
func run[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// quiet fails the test if the browser has complained.
func (b *browser) quiet(t *testing.T) {
	t.Helper()
	for _, complaint := range b.heard() {
		if !strings.Contains(complaint, "the server responded with a status of") { // that is what some pages are for
			t.Errorf("the browser complains: %s", complaint)
		}
	}
}

// look sets the size of the window and the colour scheme.
func (b *browser) look(t *testing.T, width, height int64, scheme string) {
	t.Helper()
	b.do(t, chromedp.EmulateViewport(width, height))
	err := command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pageURL is where a browser finds the approval page.
func (s *site) pageURL() string {
	return "https://localhost:" + s.address[strings.LastIndex(s.address, ":")+1:] + link
}

func TestApproveInBrowser(t *testing.T) {
	b := openBrowser(t)
	press := map[string]chromedp.Action[chromedp.Void]{
		"by mouse":    chromedp.Click(chromedp.CSS("button")),
		"by keyboard": chromedp.Steps(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)),
	}
	for name, act := range press {
		t.Run(name, func(t *testing.T) {
			d := newDesk("shop.example.com")
			s := serve(t, d)
			b.look(t, 1280, 800, "light")
			b.do(t, chromedp.Navigate(s.pageURL()), chromedp.WaitVisible(chromedp.CSS("button")))
			if _, approved := d.calls(); approved != 0 {
				t.Fatal("opening the page approves")
			}
			b.do(t, act, chromedp.WaitVisible(chromedp.CSS(".state.good")))
			if got := run(t, b, chromedp.Text(chromedp.CSS("h1"))); !strings.Contains(got, "shop.example.com") {
				t.Errorf("the result is about %q", got)
			}
			if _, approved := d.calls(); approved != 1 {
				t.Errorf("approved %d times, want once", approved)
			}
			b.do(t, chromedp.Navigate(s.pageURL()), chromedp.WaitVisible(chromedp.CSS(".state.bad")))
			b.quiet(t)
		})
	}
	b.mu.Lock()
	referrers := b.referrers
	b.mu.Unlock()
	if len(referrers) > 0 {
		t.Errorf("the browser sent referrers: %q", referrers)
	}
	b.do(t, chromedp.Evaluate[chromedp.Void](`document.body.append(Object.assign(new Image(), {src: "https://other.test/x"}))`))
	run(t, b, chromedp.Poll[bool](`document.images[0].complete`))
	if heard := b.heard(); !slices.ContainsFunc(heard, func(c string) bool { return strings.Contains(c, "Content Security Policy") }) {
		t.Errorf("a violation was not heard of, so that silence proves nothing: %q", heard)
	}
}

// TestPages looks at every page in each width and colour scheme. With
// TELAMON_TEST_SCREENSHOTS, it leaves a picture of each in that directory.
func TestPages(t *testing.T) {
	b := openBrowser(t)
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
				b.look(t, width, 800, scheme)
				b.do(t, chromedp.Navigate(s.pageURL()))
				if tt.page == "approved" {
					b.do(t, chromedp.Click(chromedp.CSS("button")), chromedp.WaitVisible(chromedp.CSS(".state.good")))
				}
				name := fmt.Sprintf("%s-%d-%s", tt.page, width, scheme)
				b.shoot(t, name)
				b.check(t, name, width)
			}
		}
	}
	b.quiet(t)
}

// check holds what every page has: landmarks, one heading of the first level, a
// language, no line that is cut off; and a button without scrolling on a desktop.
func (b *browser) check(t *testing.T, name string, width int64) {
	t.Helper()
	if wide := run(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
		t.Errorf("%s: the page is %d px wide", name, wide)
	}
	if lang := run(t, b, chromedp.Evaluate[string](`document.documentElement.lang`)); lang != "en" {
		t.Errorf("%s: the language is %q", name, lang)
	}
	if heads := run(t, b, chromedp.Evaluate[int](`document.querySelectorAll("h1").length`)); heads != 1 {
		t.Errorf("%s: there are %d headings of the first level", name, heads)
	}
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, node := range tree.Nodes {
		if !node.Ignored && node.Role != nil {
			roles = append(roles, strings.Trim(string(node.Role.Value), `"`))
		}
	}
	for _, role := range []string{"banner", "main", "heading"} {
		if !slices.Contains(roles, role) {
			t.Errorf("%s: there is no %s among %q", name, role, roles)
		}
	}
	if strings.HasPrefix(name, "ask-1280") {
		b.checkButton(t, name)
	}
}

// checkButton holds that the button is seen without scrolling, and that the focus
// shows.
func (b *browser) checkButton(t *testing.T, name string) {
	t.Helper()
	if bottom := run(t, b, chromedp.Evaluate[float64](`document.querySelector("button").getBoundingClientRect().bottom`)); bottom > 800 {
		t.Errorf("%s: the button ends at %.0f px", name, bottom)
	}
	b.do(t, chromedp.KeyEvent(kb.Tab))
	style := run(t, b, chromedp.Evaluate[string](`(e => e.tagName + " " + getComputedStyle(e).outlineStyle + " " + getComputedStyle(e).outlineWidth)(document.activeElement)`))
	if style != "BUTTON solid 2px" {
		t.Errorf("%s: after the first tab, the focus is on %q", name, style)
	}
	b.shoot(t, name+"-focus")
}

// shoot leaves a picture of the page if somebody asks for it.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("TELAMON_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture := run(t, b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
