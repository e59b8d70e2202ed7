package portal_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/browse"
)

// issue has an account that was equipped request certificates.
func (w *town) issue(t testing.TB, account telamon.AccountID, n int) {
	t.Helper()
	ctx := t.Context()
	subscription := got(w.iam.Subscriptions(ctx, townOperator, account, store.Page{Limit: 1}))(t)[0].ID
	identity := got(w.iam.Identities(ctx, townOperator, account, store.Page{Limit: 1}))(t)[0].ID
	pair := got(w.iam.PairFor(ctx, townOperator, account, subscription, identity))(t)
	person := telamon.Actor{Kind: telamon.ActorUser, Account: account, User: telamon.NewUserID(), Roles: []string{"administrator"}}
	actor := got(w.ra.For(ctx, person, pair.ID))(t)
	for range n {
		got(w.ra.Issue(ctx, actor, &ra.CertificateRequest{Policy: policy.Request{Subject: map[string]string{"common_name": "meter"}}, PublicKey: newECCSR(t), Agreement: "4.2 of 2026-03-01"}))(t)
	}
}

// TestReports has an account's use told in sentences, tables and files, and drawn by a
// browser.
func TestReports(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	g := w.admin(t, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(t, ada)
	w.equip(t, account)
	if a := g.get(t, "/"); strings.Contains(a.body, ui.Plot.Path) || strings.Contains(a.body, "data-chart") {
		t.Error("the dashboard of a new account loads what draws charts")
	}
	if a := g.get(t, "/reports"); !strings.Contains(a.body, "Nothing was issued yet.") || strings.Contains(a.body, ui.Plot.Path) {
		t.Errorf("the reports of a new account are\n%s", a.body)
	}
	w.issue(t, account, 2)
	w.clock.Advance(24 * time.Hour)
	w.issue(t, account, 3)
	reader := w.member(t, account, "reader@northwind.example", "read_only")
	for _, path := range []string{"/", "/reports"} {
		a := reader.get(t, path)
		mustSay(t, a.body, "5 certificates issued in the last 30 days", ui.Plot.Path, ui.PlotStyle.Path, ui.ChartScript.Path,
			`<tr data-value="2"><th scope="row">2026-11-22</th><td class="number">2</td></tr><tr data-value="3"><th scope="row">2026-11-23</th>`)
	}
	issued, expiring := reader.get(t, "/reports/issued.csv"), reader.get(t, "/reports/expiring.csv")
	if lines := strings.Split(strings.TrimSpace(issued.body), "\n"); len(lines) != 31 || lines[0] != "day,certificates" || lines[30] != "2026-11-23,3" || lines[29] != "2026-11-22,2" {
		t.Errorf("the file of what was issued is\n%s", issued.body)
	}
	if lines := strings.Split(strings.TrimSpace(expiring.body), "\n"); len(lines) != 13 || !strings.HasPrefix(lines[1], "2026-11-23,") {
		t.Errorf("the file of what expires is\n%s", expiring.body)
	}
	w.offer(t, account, "Business TLS", false)
	mustSay(t, w.member(t, account, "finance@northwind.example", "finance").get(t, "/").body, `<a href="/quotes">1 quote waits for your answer</a>`)
	stranger := w.admin(t, "eve@globex.example", "Globex")
	if a := stranger.get(t, "/reports/issued.csv"); a.status != http.StatusOK || strings.Contains(a.body, ",3") {
		t.Errorf("another account gets %d\n%s", a.status, a.body)
	}

	v := browse.NewVisit(t, w.url)
	v.Open(t, "/sign-in")
	v.Fill(t, "email", "reader@northwind.example")
	v.Fill(t, "password", horse)
	v.Press(t, "main button[type=submit]")
	v.Arrive(t, "/")
	for _, at := range []struct{ path, name string }{{"/", "dashboard-used"}, {"/reports", "reports"}} {
		v.Open(t, at.path)
		v.Do(t, chromedp.WaitVisible(chromedp.CSS("[data-plot] canvas")))
		v.At(t, at.path, at.name)
	}
}
