package browse

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Reading returns what is read of the page without looking at it, in its order: one line
// for each node of the accessibility tree that has a name, as in "heading Domains".
func (b *Browser) Reading(t *testing.T) []string {
	t.Helper()
	tree, err := chromedp.Call(b.Ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[accessibility.NodeID]*accessibility.Node{}
	for _, n := range tree.Nodes {
		nodes[n.NodeID] = n
	}
	var lines []string
	var read func(*accessibility.Node)
	read = func(n *accessibility.Node) {
		if n == nil {
			return
		}
		role, name := said(t, n.Role), said(t, n.Name)
		if !n.Ignored && name != "" && role != "InlineTextBox" {
			lines = append(lines, role+" "+strings.Join(strings.Fields(name), " "))
		}
		for _, id := range n.ChildIDs {
			read(nodes[id])
		}
	}
	read(tree.Nodes[0])
	return lines
}

// said is the text of a value of the accessibility tree.
func said(t *testing.T, v *accessibility.Value) (text string) {
	t.Helper()
	if v == nil || len(v.Value) == 0 {
		return ""
	}
	if err := json.Unmarshal(v.Value, &text); err != nil {
		t.Fatalf("%s is no text: %v", v.Value, err)
	}
	return text
}

// TabTo presses the tabulator until the focus is on what a selector finds, as people do
// who have no mouse.
func (v *Visit) TabTo(t *testing.T, selector string) {
	t.Helper()
	const most = 120
	on := `document.activeElement.matches(` + quote(t, selector) + `)`
	for range most {
		if Run(t, v.Browser, chromedp.Evaluate[bool](on)) {
			return
		}
		v.Keys(t, kb.Tab)
	}
	t.Fatalf("%d tabulators do not lead to %s", most, selector)
}

// Keys presses keys, one after the other.
func (v *Visit) Keys(t *testing.T, keys string) {
	t.Helper()
	v.Do(t, chromedp.KeyEvent(keys))
}

// Paste puts text where the focus is, as from the clipboard.
func (v *Visit) Paste(t *testing.T, text string) {
	t.Helper()
	if err := Command(v.Browser, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		t.Fatal(err)
	}
}

// quote writes a text as JavaScript does.
func quote(t *testing.T, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
