package portal

import (
	"iter"
	"net/http"
	"strconv"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/commerce"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// The files of the reports.
const (
	issuedCSV   = page.ReportsPath + "/issued.csv"
	expiringCSV = page.ReportsPath + "/expiring.csv"
	quotaCSV    = page.ReportsPath + "/quota.csv"
)

// reportRoutes adds the reports to a router.
func (f *face) reportRoutes(mux page.Router) {
	mux.HandleFunc("GET "+page.ReportsPath, f.person((*call).reports))
	mux.HandleFunc("GET "+issuedCSV, f.person((*call).issuedFile))
	mux.HandleFunc("GET "+expiringCSV, f.person((*call).expiringFile))
	mux.HandleFunc("GET "+quotaCSV, f.person((*call).quotaFile))
}

// A usage is how much of what an account has it uses.
type usage struct {
	trends   commerce.Trends
	products []commerce.Product
}

// usage reads what the person may see of it.
func (c *call) usage() (u usage, err error) {
	if u.trends, err = c.commerce.Trends(c.Context(), c.Actor, c.Account()); err != nil && !fault.Is(err, fault.Denied) {
		return u, err
	}
	if u.products, err = c.commerce.Products(c.Context(), c.Actor, c.Account()); err != nil && !fault.Is(err, fault.Denied) {
		return u, err
	}
	return u, nil
}

// any reports whether there is anything to draw.
func (u *usage) any() bool { return u.trends.Issued.Total() > 0 || u.trends.Expiring.Total() > 0 }

// points are the bars of a trend.
func points(t commerce.Trend) []ui.Point {
	list := make([]ui.Point, len(t.Counts))
	for i := range list {
		list[i] = ui.Point{Label: day(t, i), Value: t.Counts[i]}
	}
	return list
}

// day is when a span of a trend begins.
func day(t commerce.Trend, i int) string {
	return ui.Date(t.From.AddDate(0, 0, i*int(t.Span.Hours()/24)))
}

// charts are the trends as charts.
func (c *call) charts(t commerce.Trends) []ui.Chart {
	return []ui.Chart{
		{
			Title: c.Say("reports.issued"), Summary: c.Many("reports.issued.sum", int(t.Issued.Total()), "days", strconv.Itoa(len(t.Issued.Counts))),
			Label: c.Say("reports.day"), Value: c.Say("reports.certificates"), Points: points(t.Issued), CSV: issuedCSV,
		},
		{
			Title: c.Say("reports.expiring"), Summary: c.Many("reports.expiring.sum", int(t.Expiring.Total()), "weeks", strconv.Itoa(len(t.Expiring.Counts))),
			Label: c.Say("reports.week"), Value: c.Say("reports.certificates"), Points: points(t.Expiring), CSV: expiringCSV,
		},
	}
}

// quotaTable is how much of each pack is used.
func (c *call) quotaTable(products []commerce.Product) ui.Table {
	l := c.Language()
	t := ui.Table{Label: c.Say("reports.quota"), CSV: quotaCSV, Columns: []ui.Column{
		{Name: c.Say("credential.service")}, {Name: c.Say("reports.used")}, {Name: c.Say("services.spent"), Number: true},
		{Name: c.Say("services.total"), Number: true}, {Name: c.Say("services.ends")},
	}}
	for i := range products {
		for _, pack := range products[i].Packs {
			name := products[i].Service.Name
			t.Rows = append(t.Rows, ui.Row{Cells: page.Cells(
				ui.Words(name), ui.Meter(name, pack.Used, pack.Amount), ui.Words(l.Count(pack.Used)), ui.Words(l.Count(pack.Amount)), ui.Day(pack.ExpiresAt),
			)})
		}
	}
	return t
}

// reports serves GET /reports.
func (c *call) reports() error {
	if err := authz.Check(c.Actor, authz.StatisticsRead, c.Account()); err != nil {
		return err
	}
	u, err := c.usage()
	if err != nil {
		return err
	}
	empty := ui.Table{Empty: ui.Empty{Title: c.Say("reports.empty"), Lead: c.Say("reports.empty.do"), Act: c.ActIf(authz.CertificateIssue, "reports.empty.act", page.CertificateNewPath)}}
	return c.Show(http.StatusOK, c.Say("reports.title"), reportsPage(u.any(), c.charts(u.trends), c.quotaTable(u.products), empty))
}

// trendFile answers with a trend as a file.
func (c *call) trendFile(name, first string, of func(commerce.Trends) commerce.Trend) error {
	all, err := c.commerce.Trends(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	t := of(all)
	var rows iter.Seq2[[]string, error] = func(yield func([]string, error) bool) {
		for i, n := range t.Counts {
			if !yield([]string{day(t, i), strconv.FormatInt(n, 10)}, nil) {
				return
			}
		}
	}
	return c.CSV(name, []string{first, "certificates"}, rows)
}

// issuedFile serves GET /reports/issued.csv.
func (c *call) issuedFile() error {
	return c.trendFile("issued", "day", func(t commerce.Trends) commerce.Trend { return t.Issued })
}

// expiringFile serves GET /reports/expiring.csv.
func (c *call) expiringFile() error {
	return c.trendFile("expiring", "week_from", func(t commerce.Trends) commerce.Trend { return t.Expiring })
}

// quotaFile serves GET /reports/quota.csv.
func (c *call) quotaFile() error {
	products, err := c.commerce.Products(c.Context(), c.Actor, c.Account())
	if err != nil {
		return err
	}
	header := []string{"service", "pack", "used", "amount", "starts_at", "expires_at"}
	return c.CSV("quota", header, func(yield func([]string, error) bool) {
		for i := range products {
			for _, k := range products[i].Packs {
				row := []string{
					products[i].Service.Name, k.ID.String(), strconv.FormatInt(k.Used, 10), strconv.FormatInt(k.Amount, 10),
					ui.RFC3339(k.StartsAt), ui.RFC3339(k.ExpiresAt),
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	})
}
