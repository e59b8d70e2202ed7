package portal_test

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// BenchmarkPages measures every page that can be reached by links, one of each route, in
// an account of a million certificates on a platform of ten thousand accounts. Run it
// with -benchtime=300x: the 99th percentile needs some requests.
func BenchmarkPages(b *testing.B) {
	w := newTown(b)
	g := w.admin(b, ada, "Northwind Energy Supply Ltd")
	account := w.accountOf(b, ada)
	w.equip(b, account)
	w.populate(b, account, number(b, "TELAMON_BENCH_CERTIFICATES", 1_000_000), number(b, "TELAMON_BENCH_ACCOUNTS", 10_000))
	home := w.staff(b, "Example Trust")
	people := map[string]*guest{"administrator": g, "staff": w.operator(b, home, "olga@trust.example", authz.RoleCAOperator, authz.RoleVettingAgent, authz.RoleSales)}
	for who, g := range people {
		g.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 1}
		pages := g.crawl(b)
		for _, route := range slices.Sorted(maps.Keys(pages)) {
			b.Run(who+route, func(b *testing.B) { g.measure(b, pages[route]) })
		}
	}
}

// number is what an environment variable says, or what it is without one.
func number(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	return got(strconv.Atoi(text))(b)
}

// populate gives the account certificates, and the platform other accounts.
func (w *town) populate(b *testing.B, account telamon.AccountID, certificates, accounts int) {
	b.Helper()
	ctx := b.Context()
	pair := got(w.iam.PairFor(ctx, townOperator, account, w.subscriptionOf(b, account), w.identityOf(b, account)))(b)
	actor := got(w.ra.For(ctx, telamon.Actor{Kind: telamon.ActorUser, Account: account, User: telamon.NewUserID(), Roles: []string{"administrator"}}, pair.ID))(b)
	serial := got(w.ra.Issue(ctx, actor, &ra.CertificateRequest{Policy: policy.Request{Subject: map[string]string{"common_name": "meter"}}, PublicKey: newECCSR(b), Agreement: w.signin.Agreement()}))(b)
	cert := got(w.db.Certificate(ctx, pair.ID, serial))(b)
	blob := got(w.db.CertificateBlob(ctx, cert))(b)
	now := w.clock.Now()
	written := got(w.db.Fill(ctx, store.FillSpec{
		Actor: townOperator, Account: account, N: int64(certificates), Revoked: int64(certificates / 100), Template: *cert, Blob: blob,
		From: now.AddDate(0, -10, 0), To: now.Add(-time.Minute),
	}))(b)
	if written != int64(certificates) {
		b.Fatalf("%d certificates were written", written)
	}
	for i := range accounts {
		got(w.iam.CreateAccount(ctx, townOperator, iam.NewAccount{Name: fmt.Sprintf("Company %05d Ltd", i)}))(b)
	}
}

func (w *town) subscriptionOf(b *testing.B, account telamon.AccountID) telamon.SubscriptionID {
	b.Helper()
	return got(w.iam.Subscriptions(b.Context(), townOperator, account, store.Page{Limit: 1}))(b)[0].ID
}

func (w *town) identityOf(b *testing.B, account telamon.AccountID) telamon.IdentityID {
	b.Helper()
	return got(w.iam.Identities(b.Context(), townOperator, account, store.Page{Limit: 1}))(b)[0].ID
}

var (
	linkOfPage = regexp.MustCompile(`href="(/[^"]*)"`)
	idInPath   = regexp.MustCompile(`/([a-z]{3}_[0-9a-z]{26}|[0-9A-F]{32})`)
)

// crawl follows links from the dashboard and returns the first page of each route. Files
// are no pages.
func (g *guest) crawl(b testing.TB) map[string]string {
	b.Helper()
	pages, open := map[string]string{}, []string{"/", "/operator/accounts"} // where people begin, and where staff do
	for len(open) > 0 && len(pages) < 300 {
		path := open[0]
		open = open[1:]
		route, query, filtered := strings.Cut(idInPath.ReplaceAllString(path, "/{id}"), "?")
		if filtered { // one page with each set of parameters
			for part := range strings.SplitSeq(query, "&amp;") {
				name, _, _ := strings.Cut(part, "=")
				route += "?" + name
			}
		}
		if pages[route] != "" || strings.HasPrefix(path, "/assets/") || strings.HasPrefix(path, "/sign-") {
			continue
		}
		a := g.get(b, strings.ReplaceAll(path, "&amp;", "&"))
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			continue
		}
		pages[route] = strings.ReplaceAll(path, "&amp;", "&")
		for _, m := range linkOfPage.FindAllStringSubmatch(a.body, -1) {
			if href, _, _ := strings.Cut(m[1], "#"); href != "" {
				open = append(open, href)
			}
		}
	}
	return pages
}

// measure loads a page again and again.
func (g *guest) measure(b *testing.B, path string) {
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if a := g.get(b, path); a.status != http.StatusOK {
			b.Fatalf("%s = %d", path, a.status)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
	b.ReportMetric(at(50), "ms-p50")
	b.ReportMetric(at(99), "ms-p99")
	b.ReportMetric(0, "ns/op")
}
