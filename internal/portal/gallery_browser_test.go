package portal_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/telamon-ca/telamon/internal/portal"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

// serveGallery serves the gallery and returns its address.
func serveGallery(t *testing.T) string {
	t.Helper()
	cert := certificate(t)
	handler := portal.Gallery(portal.Config{
		Log: slog.New(slog.DiscardHandler), Platform: "Example Trust", Clock: testkit.NewClock(t, "2026-11-22T09:41:00Z"),
	}, galleryPages())
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return "https://localhost:" + server.URL[strings.LastIndex(server.URL, ":")+1:]
}

// shifts counts how much the page has moved by itself since it was loaded, by the
// browser's own measure.
const shifts = `new Promise(done => { let sum = 0;
	new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) sum += e.value; }).observe({type: "layout-shift", buffered: true});
	requestAnimationFrame(() => requestAnimationFrame(() => done(sum))); })`

// TestGallery looks at every component in a browser.
func TestGallery(t *testing.T) {
	b, address := browse.Start(t), serveGallery(t)
	t.Run("pages", func(t *testing.T) { lookAtGallery(t, b, address) })
	t.Run("keyboard", func(t *testing.T) { walkByKeyboard(t, b, address) })
	t.Run("with scripts", func(t *testing.T) { useScripts(t, b, address) })
	t.Run("without scripts", func(t *testing.T) { doWithoutScripts(t, b, address) })
}

// lookAtGallery looks at every page in each width and colour scheme: nothing is cut off
// or wider than the page, nothing moves, and axe finds nothing serious.
func lookAtGallery(t *testing.T, b *browse.Browser, address string) {
	source := browse.Axe(t)
	pictures := os.Getenv("TELAMON_TEST_SCREENSHOTS") != ""
	for _, path := range slices.Sorted(maps.Keys(galleryPages())) {
		name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-")
		b.Look(t, 1280, 800, "light")
		b.Do(t, chromedp.Navigate(address+path))
		if moved := browse.Run(t, b, chromedp.Evaluate[float64](shifts, chromedp.EvalAwaitPromise)); moved > 0 {
			t.Errorf("%s: the page moves by %.4f", name, moved)
		}
		b.Do(t, chromedp.Evaluate[chromedp.Void](source+"\n;undefined"))
		for _, width := range []int64{1280, 768, 360} {
			for _, scheme := range []string{"light", "dark"} {
				axed := (width == 1280) == (scheme == "light") && width != 768
				if scheme == "dark" && !axed && !pictures {
					continue
				}
				full := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				b.Look(t, width, 800, scheme)
				b.Shoot(t, full)
				b.Check(t, full, width)
				if axed {
					b.CheckAxe(t, full)
				}
			}
		}
		b.Look(t, 320, 640, "light")
		if wide := browse.Run(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > 320 {
			t.Errorf("%s: at 320 px the page is %d px wide", name, wide)
		}
	}
	b.Quiet(t)
}

// walkByKeyboard walks through a page by the tabulator: whatever can be reached shows
// that it has been, and is seen.
func walkByKeyboard(t *testing.T, b *browse.Browser, address string) {
	b.Look(t, 1280, 800, "light")
	for _, path := range []string{"/gallery/form", "/gallery/pick", "/gallery/secret", "/gallery/table"} {
		b.Do(t, chromedp.Navigate(address+path))
		b.Do(t, chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
		reached := map[string]bool{}
		for range 80 {
			b.Do(t, chromedp.KeyEvent(kb.Tab))
			at := browse.Run(t, b, chromedp.Evaluate[string](`(e => {
				if (e === document.body) return "";
				const shows = e => { for (const p of [null, "::after"]) { const s = getComputedStyle(e, p); if (s.outlineStyle === "solid" && parseFloat(s.outlineWidth) >= 2) return true; } return false; };
				const r = e.getBoundingClientRect();
				const seen = r.width > 0 && r.bottom > 0 && r.top < innerHeight;
				return (shows(e) || shows(e.closest("label") || e) ? "" : "no outline ") + (seen ? "" : "unseen ") + e.tagName + " " + (e.id || e.className || e.textContent.trim());
			})(document.activeElement)`))
			if at == "" {
				break
			}
			if strings.HasPrefix(at, "no outline") || strings.HasPrefix(at, "unseen") {
				t.Errorf("%s: %s", path, at)
			}
			reached[at] = true
		}
		if len(reached) < 10 {
			t.Errorf("%s: only %d things can be reached by keyboard", path, len(reached))
		}
	}
}

// doWithoutScripts holds that nothing is left out of a page where no script runs, but
// what only scripts can do; that secrets are readable; and that the menu opens.
func doWithoutScripts(t *testing.T, b *browse.Browser, address string) {
	if err := browse.Command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.Look(t, 360, 800, "light")
	b.Do(t, chromedp.Navigate(address+"/gallery/secret"))
	visible := func(selector string) bool {
		return browse.Run(t, b, chromedp.Evaluate[bool](fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, selector)))
	}
	if !visible("[data-secret-value]") || visible("[data-secret-cover]") || visible(".copy") {
		t.Error("without scripts the secret is covered, or there are buttons that do nothing")
	}
	if visible("#nav a") {
		t.Error("the menu is open")
	}
	b.Do(t, chromedp.Click(chromedp.CSS(".menu-button")), chromedp.WaitVisible(chromedp.CSS("#nav a")))
	b.Quiet(t)
}

// useScripts holds what scripts add: copying says so, secrets are covered and can be
// shown, and quick choices fill a date in.
func useScripts(t *testing.T, b *browse.Browser, address string) {
	b.Look(t, 1280, 800, "light")
	b.Do(t, chromedp.Navigate(address+"/gallery/secret"), chromedp.WaitVisible(chromedp.CSS("[data-secret-cover]")))
	b.Do(t, chromedp.Click(chromedp.CSS("[data-reveal]")), chromedp.WaitVisible(chromedp.CSS("[data-secret-value]")))
	b.Do(t, chromedp.Click(chromedp.CSS(".secret .copy:not([data-reveal])")), chromedp.WaitVisible(chromedp.CSS(".copy.is-done")))
	if said := browse.Run(t, b, chromedp.Text(chromedp.CSS("[role=status]"))); said != "Copied" {
		t.Errorf("after copying, %q is said", said)
	}
	b.Do(t, chromedp.Navigate(address+"/gallery/form"), chromedp.Click(chromedp.CSS(".quick-choice:last-child")))
	if ends := browse.Run(t, b, chromedp.Value(chromedp.ID("f-ends"))); ends != "2031-11-21" {
		t.Errorf("the longest date is %q", ends)
	}
	if focused := browse.Run(t, b, chromedp.Evaluate[bool](`document.querySelector("main").contains(document.activeElement)`)); !focused {
		t.Error("the summary of errors does not get the focus")
	}
	b.Quiet(t)
}

// maxPage is how many octets a page may be with all that it loads, without
// compression.
const maxPage = 100_000

// TestPageSize holds that a page with every script is small, and that its parts are
// compressed for those who take them so.
func TestPageSize(t *testing.T) {
	handler := portal.Gallery(portal.Config{Log: slog.New(slog.DiscardHandler)}, galleryPages())
	get := func(path, encoding string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "https://portal.example"+path, nil)
		r.Header.Set("Accept-Encoding", encoding)
		handler.ServeHTTP(w, r)
		return w
	}
	page := get("/gallery/dashboard", "gzip")
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") ||
		!strings.Contains(policy, "script-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("the content security policy is %q", policy)
	}
	plain, packed := page.Body.Len(), page.Body.Len()
	loaded := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(loaded) != 4 {
		t.Fatalf("the page loads %q", loaded)
	}
	for _, m := range loaded {
		for _, encoding := range []string{"", "identity", "gzip;q=0", "br, gzip;q=0.5"} {
			w := get(m[1], encoding)
			isPacked := w.Header().Get("Content-Encoding") == "gzip"
			if w.Code != http.StatusOK || isPacked != strings.HasSuffix(encoding, "0.5") || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s for %q: %d %v", m[1], encoding, w.Code, w.Header())
			}
			if isPacked {
				packed += w.Body.Len()
			} else if encoding == "" {
				plain += w.Body.Len()
			}
		}
	}
	t.Logf("the page is %d octets, %d compressed", plain, packed)
	if plain > maxPage {
		t.Errorf("the page is %d octets, want at most %d", plain, maxPage)
	}
}
