package certs

import (
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
)

// list serves GET /certificates.
func (c *call) list() error {
	f, err := parseFilter(c.R.URL.Query())
	if err != nil {
		return c.showList(http.StatusUnprocessableEntity, &filter{values: given(c.R.URL.Query()), total: -1, first: 1}, &ra.Finding{}, err)
	}
	f.search.Limit, f.search.Counts = page.PerPage, f.search.After == nil
	found, err := c.ra.Find(c.Context(), c.Actor, &f.search)
	if flt := fault.From(err); err != nil && flt.Code == "search" {
		return c.showList(http.StatusUnprocessableEntity, f, &ra.Finding{}, err)
	}
	if err != nil {
		return err
	}
	if f.search.After == nil {
		f.total = found.Total
	}
	return c.showList(http.StatusOK, f, found, nil)
}

// given are the parameters of a filter that cannot be read.
func given(q url.Values) url.Values {
	values := url.Values{}
	for _, name := range filterNames {
		if v := q.Get(name); v != "" {
			values.Set(name, v)
		}
	}
	return values
}

// showList shows a page of the list, or what is wrong with its filter.
func (c *call) showList(status int, f *filter, found *ra.Finding, problem error) error {
	all, err := c.catalogue()
	if err != nil {
		return err
	}
	views, err := c.ra.SavedViews(c.Context(), c.Actor)
	if err != nil {
		return err
	}
	table := ui.Table{
		Label: c.Say("certificates.title"), Empty: c.none(f, found), CSV: f.address(filePath),
		Columns: []ui.Column{
			{Name: c.Say("certificates.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("certificates.filter.service")},
			{Name: c.Say("certificates.filter.identity")}, {Name: c.Say("certificates.issued")}, {Name: c.Say("mtls.expires")}, {Name: c.Say("mtls.serial")},
		},
	}
	for i := range found.Certificates {
		k := &found.Certificates[i]
		table.Rows = append(table.Rows, ui.Row{URL: pathOf(k.Serial), Cells: page.Cells(
			names(k.Names), ui.Status(c.stateOf(&k.Certificate)), ui.Words(all.service(k.Subscription)), ui.Words(all.identity(k.Identity)),
			ui.Day(k.AcceptedAt), ui.Day(k.NotAfter), page.Serial(k.Serial))})
	}
	last := f.first - 1 + int64(len(table.Rows))
	if found.Next == nil && f.total < 0 {
		f.total = last
	}
	table.Pager = &ui.Pager{First: f.first, Last: last, Total: f.total}
	v := listView{bar: c.bar(f, all), table: table, views: views, here: f.address(page.CertificatesPath), query: f.values.Encode(), unindexed: problem == nil && !found.Indexed && f.search.Name != ""}
	if found.Next != nil {
		table.Pager.Next = f.next(found.Next, last)
		if !found.Full {
			v.looked = time.UnixMilli(found.Next.At).UTC()
		}
	}
	if problem != nil {
		v.problem = c.Say("certificates.search.wrong") + " " + fault.From(problem).Detail
		if fields := fault.From(problem).Fields; len(fields) > 0 {
			v.problem = c.Say("certificates.search.wrong") + " " + fields[0].Path + ": " + fields[0].Problem
		}
	}
	head := ui.Head{Title: c.Say("certificates.title"), Lead: c.Say("certificates.lead"), Act: c.ActIf(authz.CertificateIssue, "certificates.request", page.CertificateNewPath)}
	return c.Show(status, head.Title, listPage(head, v))
}

// A listView is what the list's page shows.
type listView struct {
	bar       ui.Filter
	table     ui.Table
	views     []telamon.SavedView
	here      string // the list's address with its filter
	query     string // the filter alone; "" for none
	problem   string
	looked    time.Time // how far a search went that is not over; zero if it is
	unindexed bool      // certificates of earlier releases may be missing
}

// none says why the list is empty.
func (c *call) none(f *filter, found *ra.Finding) ui.Empty {
	switch {
	case found.Next != nil:
		return ui.Empty{
			Title: c.Say("certificates.part"), Lead: c.Say("certificates.part.do"), Act: &ui.Link{Text: c.Say("certificates.go_on"), URL: f.next(found.Next, f.first-1)},
		}
	case len(f.values) > 0 || f.search.After != nil:
		return ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	return ui.Empty{
		Title: c.Say("certificates.empty"), Lead: c.Say("certificates.empty.do"), Act: c.ActIf(authz.CertificateIssue, "certificates.request", page.CertificateNewPath),
	}
}

// fileStep is how many lines of a file are read at a time.
const fileStep = 500

// file serves GET /certificates/export.csv: all that the filter finds.
func (c *call) file() error {
	f, err := parseFilter(c.R.URL.Query())
	if err != nil {
		return err
	}
	all, err := c.catalogue()
	if err != nil {
		return err
	}
	f.search.Limit, f.search.Whole = fileStep, true
	return c.CSV("certificates", []string{
		"serial", "names", "status", "service", "identity", "credential", "issued_at", "not_before", "not_after", "revoked_at", "reason",
	}, c.lines(&f.search, all))
}

// lines are the lines of a file.
func (c *call) lines(s *ra.Search, all *catalogue) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for {
			found, err := c.ra.Find(c.Context(), c.Actor, s)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range found.Certificates {
				if !yield(c.line(&found.Certificates[i], all), nil) {
					return
				}
			}
			if found.Next == nil {
				return
			}
			s.After = found.Next
		}
	}
}

func (c *call) line(k *ra.ListedCertificate, all *catalogue) []string {
	status, revoked, reason, credential := string(k.Status), "", "", ""
	if k.Revocation != nil {
		revoked, reason = ui.RFC3339(k.Revocation.At), string(k.Revocation.Reason)
	} else if !k.NotAfter.After(c.Clock.Now()) {
		status = "expired"
	}
	if k.Credential != "" {
		credential = all.credential(k.Credential)
	}
	return []string{
		k.Serial.String(), strings.Join(k.Names, " "), status, all.service(k.Subscription), all.identity(k.Identity), credential,
		ui.RFC3339(k.AcceptedAt), ui.RFC3339(k.NotBefore), ui.RFC3339(k.NotAfter), revoked, reason,
	}
}

// saveView serves POST /certificate-views.
func (c *call) saveView() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	q, err := url.ParseQuery(form.Get("query"))
	if err != nil {
		return fault.New(fault.Malformed, "form_unreadable", "The form cannot be read.")
	}
	values := given(q)
	if err := c.ra.SaveView(c.Context(), c.Actor, form.Get("name"), values.Encode()); err != nil {
		if f := fault.From(err); f.Kind != fault.Invalid && f.Kind != fault.Conflict && f.Kind != fault.Limited {
			return err
		}
		return c.askViewName(form, values, err)
	}
	return c.Redirect(page.CertificatesPath + "?" + values.Encode())
}

// askViewName asks again for the name of a view.
func (c *call) askViewName(form, values url.Values, problem error) error {
	f := ui.Field{Name: "name", Label: c.Say("certificates.view.name"), Value: form.Get("name"), Max: 80, Require: true, Focus: true, Error: c.Say("certificates.view.wrong")}
	if code := fault.From(problem).Code; code == "view_exists" || code == "too_many_views" {
		f.Error = c.Say("certificates.view." + code)
	}
	back := page.CertificatesPath + "?" + values.Encode()
	head := ui.Head{Up: &ui.Link{Text: c.Say("certificates.title"), URL: back}, Title: c.Say("certificates.view.save")}
	return c.Show(http.StatusUnprocessableEntity, head.Title, page.FormPage(head, ui.Form{
		Action: viewsPath, Button: c.Say("certificates.view.save"), Hidden: []ui.Option{{Value: "query", Text: values.Encode()}},
		Cancel: c.CancelTo(back),
	}, []ui.Field{f}))
}

// thisView returns the view of the address.
func (c *call) thisView() (telamon.SavedView, error) {
	id, err := telamon.ParseSavedViewID(c.R.PathValue("id"))
	if err != nil {
		return telamon.SavedView{}, page.OrNotFound(err)
	}
	views, err := c.ra.SavedViews(c.Context(), c.Actor)
	if err != nil {
		return telamon.SavedView{}, err
	}
	for _, v := range views {
		if v.ID == id {
			return v, nil
		}
	}
	return telamon.SavedView{}, page.ErrNotFound
}

// askDeleteView serves GET /certificate-views/{id}.
func (c *call) askDeleteView() error {
	v, err := c.thisView()
	if err != nil {
		return err
	}
	back := page.CertificatesPath + "?" + v.Query
	title := c.Say("certificates.view.delete", "name", v.Name)
	return c.Show(http.StatusOK, title, page.ConfirmPage(
		ui.Head{Up: &ui.Link{Text: c.Say("certificates.title"), URL: back}, Title: title},
		ui.Confirmation{
			Object:  []ui.Fact{{Key: c.Say("certificates.view.name"), Value: ui.Words(v.Name)}, {Key: c.Say("mtls.created"), Value: ui.Moment(v.CreatedAt)}},
			Effects: []string{c.Say("certificates.view.effect")}, Keeps: c.Say("certificates.view.keeps"),
			Form: ui.Form{Action: viewsPath + "/" + v.ID.String(), Button: c.Say("certificates.view.button"), Danger: true, Cancel: c.CancelTo(back)},
		}))
}

// deleteView serves POST /certificate-views/{id}.
func (c *call) deleteView() error {
	v, err := c.thisView()
	if err != nil {
		return err
	}
	if err := c.ra.DeleteView(c.Context(), c.Actor, v.ID); err != nil {
		return err
	}
	return c.Redirect(page.CertificatesPath)
}
