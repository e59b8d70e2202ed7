// Package browse drives Chromium for tests: it holds that pages cause no complaint, that
// nothing is cut off, and that axe-core finds nothing serious; and it keeps pictures of
// pages in the directory of TELAMON_TEST_SCREENSHOTS, if that is set.
//
// It knows no page of the portal.
package browse

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"fmt"
	"io"
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
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/telamon-ca/telamon/internal/testkit"
)

// patience is how long one step may take on a machine with other things to do.
const patience = 40 * time.Second

// A Browser is a tab of Chromium, and what it complained of.
type Browser struct {
	Ctx context.Context
	mu  sync.Mutex
	// Guarded by mu.
	complaints []string
	referrers  []string
}

// Start starts Chromium. It is stopped at the end of the test, or after four
// minutes.
func Start(t *testing.T) *Browser {
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
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &Browser{}
	b.Ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(func() { // waits for the end of the process, which still writes to its directory
		if err := chromedp.Cancel(b.Ctx); err != nil {
			t.Errorf("stop the browser: %v", err)
		}
		cancel()
	})
	for _, err := range []error{
		chromedp.Do(b.Ctx),
		Command(b, cdplog.Enable, cdp.Empty{}), Command(b, audits.Enable, cdp.Empty{}), Command(b, network.Enable, network.EnableParams{}),
	} {
		if err != nil {
			t.Fatalf("start the browser: %v", err)
		}
	}
	return b
}

// hear notes what a page should not cause: messages on the console, violations of
// policies, exceptions, other hosts, referrers.
func (b *Browser) hear(event any) {
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

// Heard returns the complaints since the last call.
func (b *Browser) Heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	heard := b.complaints
	b.complaints = nil
	return heard
}

// Referrers returns the referrers that pages have sent.
func (b *Browser) Referrers() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.referrers)
}

// Command gives the browser a command without a result.
func Command[P any](b *Browser, c cdp.Command[P, cdp.Empty], params P) error {
	_, err := chromedp.Call(b.Ctx, c, params)
	return err
}

// Do runs steps.
func (b *Browser) Do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.Ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// Run runs one action and returns its value.
func Run[T any](t *testing.T, b *Browser, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.Ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tolerated are parts of what browsers say of pages that are as they should be: some
// are there for what is refused, and the focus may be where the last page had it.
var tolerated = []string{"the server responded with a status of", "Autofocus processing was blocked"}

// Quiet fails the test if the browser has complained.
func (b *Browser) Quiet(t *testing.T) {
	t.Helper()
	for _, complaint := range b.Heard() {
		if !slices.ContainsFunc(tolerated, func(text string) bool { return strings.Contains(complaint, text) }) {
			t.Errorf("the browser complains: %s", complaint)
		}
	}
}

// Look sets the size of the window and the colour scheme.
func (b *Browser) Look(t *testing.T, width, height int64, scheme string) {
	t.Helper()
	b.Do(t, chromedp.EmulateViewport(width, height))
	err := Command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cutTables counts the tables whose last columns nobody can reach.
const cutTables = `[...document.querySelectorAll("table")].filter(t =>
	t.scrollWidth > t.parentElement.clientWidth + 1 && getComputedStyle(t.parentElement).overflowX !== "auto").length`

// Check holds what every page has: landmarks, one heading of the first level, a
// language, no line that is cut off; and a button without scrolling on a desktop.
func (b *Browser) Check(t *testing.T, name string, width int64) {
	t.Helper()
	if wide := Run(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
		t.Errorf("%s: the page is %d px wide", name, wide)
	}
	if cut := Run(t, b, chromedp.Evaluate[int](cutTables)); cut > 0 {
		t.Errorf("%s: %d tables are cut off", name, cut)
	}
	if lang := Run(t, b, chromedp.Evaluate[string](`document.documentElement.lang`)); lang != "en" {
		t.Errorf("%s: the language is %q", name, lang)
	}
	if heads := Run(t, b, chromedp.Evaluate[int](`document.querySelectorAll("h1").length`)); heads != 1 {
		t.Errorf("%s: there are %d headings of the first level", name, heads)
	}
	tree, err := chromedp.Call(b.Ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
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
}

// Shoot leaves a picture of the page if somebody asks for it.
func (b *Browser) Shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("TELAMON_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture := Run(t, b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

//go:embed axe/axe.min.js.gz
var packedAxe []byte

// Axe returns the source of axe-core.
func Axe(t *testing.T) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packedAxe))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runAxe is what axe finds of serious or critical impact, one finding a line.
const runAxe = `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations
	.filter(v => v.impact === "serious" || v.impact === "critical")
	.flatMap(v => v.nodes.map(n => v.id + " at " + n.target.join(" ") + ": " + (n.any[0] || n.all[0] || n.none[0] || {message: v.help}).message)).join("\n"))`

// CheckAxe holds that axe, which is in the page, finds nothing serious there.
func (b *Browser) CheckAxe(t *testing.T, name string) {
	t.Helper()
	findings := Run(t, b, chromedp.Evaluate[string](runAxe, chromedp.EvalAwaitPromise))
	for finding := range strings.Lines(findings) {
		t.Errorf("%s: %s", name, strings.TrimSpace(finding))
	}
}

// A Visit is somebody's way through a site in a browser. Each page that is looked at is
// checked, and kept as a picture if somebody asks for it.
type Visit struct {
	*Browser
	URL string // of the site, without a final slash
	axe string
}

// NewVisit opens a browser before a site. Its passkeys are made and shown by themselves.
func NewVisit(t *testing.T, url string) *Visit {
	t.Helper()
	v := &Visit{Browser: Start(t), URL: url, axe: Axe(t)}
	if _, err := chromedp.Call(v.Ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(v.Ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	v.Look(t, 1280, 800, "light")
	return v
}

// Open goes to a page by its path.
func (v *Visit) Open(t *testing.T, path string) {
	t.Helper()
	v.Do(t, chromedp.Navigate(v.URL+path))
}

// At waits for the page of a path, and checks it in each size and colour scheme.
func (v *Visit) At(t *testing.T, path, name string) {
	t.Helper()
	v.Arrive(t, path)
	v.LoadAxe(t)
	pictures := os.Getenv("TELAMON_TEST_SCREENSHOTS") != ""
	for _, width := range []int64{360, 768, 1280} {
		for _, scheme := range []string{"dark", "light"} {
			checked := scheme == "light" && width != 768
			if !checked && !pictures {
				continue
			}
			full := fmt.Sprintf("%s-%d-%s", name, width, scheme)
			v.Look(t, width, 800, scheme)
			v.Shoot(t, full)
			if checked {
				v.Check(t, full, width)
			}
			if checked && width == 1280 { // the gallery has every component in other sizes and colours
				v.CheckAxe(t, full)
			}
		}
	}
	v.Quiet(t)
}

// LoadAxe puts axe into the page.
func (v *Visit) LoadAxe(t *testing.T) {
	t.Helper()
	v.Do(t, chromedp.Evaluate[chromedp.Void](v.axe+"\n;undefined"))
}

// Arrive waits until the page of a path is loaded.
func (v *Visit) Arrive(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(v.Ctx, patience)
	defer cancel()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	here := `document.readyState === "complete" && (location.pathname.startsWith("` + path + `") && "` + path + `" !== "/" || location.pathname === "` + path + `")`
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](here)) // fails while a page makes way for the next
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the page of %s does not come: %v", path, err)
		case <-ticks.C:
		}
	}
}

// Fill puts text into the field of a name.
func (v *Visit) Fill(t *testing.T, name, text string) {
	t.Helper()
	v.Do(t, chromedp.SetValue(chromedp.CSS(`[name="`+name+`"]`), text))
}

// Press presses what a selector finds.
func (v *Visit) Press(t *testing.T, selector string) {
	t.Helper()
	v.Do(t, chromedp.Click(chromedp.CSS(selector)))
}

// TextOf returns the text of what a selector finds.
func (v *Visit) TextOf(t *testing.T, selector string) string {
	t.Helper()
	return Run(t, v.Browser, chromedp.TextContent(chromedp.CSS(selector)))
}
