package operator

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/store"
)

func (p *Pages) platformRoutes(mux page.Router) {
	mux.HandleFunc("GET "+statusPath, p.person((*call).status))
	mux.HandleFunc("GET "+statusPath+"/{id}/publish", p.person((*call).askPublish))
	mux.HandleFunc("POST "+statusPath+"/{id}/publish", p.person((*call).publish))
	mux.HandleFunc("GET "+jobsPath, p.person((*call).jobs))
	mux.HandleFunc("GET "+jobsPath+"/{id}", p.person((*call).job))
	mux.HandleFunc("POST "+jobsPath+"/{id}/run", p.person((*call).runJob))
	mux.HandleFunc("GET "+mailPath, p.person((*call).mails))
	mux.HandleFunc("GET "+healthPath, p.person((*call).health))
}

// states are the states of all CRLs.
func (c *call) states() ([]publish.State, error) {
	if err := authz.Check(c.Actor, authz.CRLRead, ""); err != nil {
		return nil, err
	}
	return c.CRLs.States(c.Context())
}

func (c *call) crlState(s *publish.State) ui.State {
	now := c.Clock.Now()
	switch {
	case s.Done:
		return ui.State{Tone: ui.Off, Word: c.Say("operator.crl.done")}
	case s.CRL != nil && !s.CRL.NextUpdate.After(now):
		return ui.State{Tone: ui.Bad, Word: c.Say("operator.crl.expired")}
	case s.Offline:
		return ui.State{Tone: ui.Off, Word: c.Say("operator.crl.offline")}
	case s.Failures > 0:
		return ui.State{Tone: ui.Bad, Word: c.Say("operator.crl.failing"), Reason: s.Problem}
	case !s.Due.After(now):
		return ui.State{Tone: ui.Warn, Word: c.Say("operator.crl.due")}
	case s.IsDirty():
		return ui.State{Tone: ui.Pending, Word: c.Say("operator.crl.waiting")}
	}
	return ui.State{Tone: ui.Good, Word: c.Say("operator.crl.ok")}
}

// status serves GET /operator/status: CRLs of each shard, and the keys of OCSP.
func (c *call) status() error {
	states, err := c.states()
	if err != nil {
		return err
	}
	issuers, _, err := c.Staff.Issuers(c.Context(), c.Actor)
	if err != nil {
		return err
	}
	names := map[telamon.IssuerID]string{}
	for _, i := range issuers {
		names[i.ID] = i.Certificate.Subject.CommonName
	}
	l := c.Language()
	crls := ui.Table{Label: c.Say("operator.status.crls"), Columns: c.columns("issuer", "shard#", "state", "number#", "this_update", "next_update", "age#", "entries#", "octets#"),
		Empty: ui.Empty{Title: c.Say("operator.status.empty"), Lead: c.Say("operator.issuers.none.lead")}}
	for i := range states {
		s := &states[i]
		row := ui.Row{Cells: page.Cells(ui.Words(names[s.Issuer]), ui.Words(strconv.Itoa(s.Shard)), ui.Status(c.crlState(s)), words(""), words(""), words(""), words(""), words(""), words(""))}
		if s.CRL != nil {
			row.Cells = append(row.Cells[:3], ui.Words(l.Count(s.CRL.Number)), ui.Moment(s.CRL.ThisUpdate), ui.Moment(s.CRL.NextUpdate),
				ui.Words(c.Clock.Now().Sub(s.CRL.ThisUpdate).Truncate(time.Minute).String()), ui.Words(l.Count(s.CRL.Entries)), ui.Words(l.Count(s.CRL.Size)))
		}
		if !s.Offline && !s.Done && s.Shard == 0 {
			row.Acts = []ui.Link{{Text: c.Say("operator.status.publish"), URL: statusPath + "/" + s.Issuer.String() + "/publish"}}
		}
		crls.Rows = append(crls.Rows, row)
	}
	responders, err := c.Staff.Responders(c.Context(), c.Actor)
	if err != nil {
		return err
	}
	ocsp := ui.Table{Label: c.Say("operator.status.ocsp"), Columns: c.columns("issuer", "state", "ends"),
		Empty: ui.Empty{Title: c.Say("operator.status.ocsp.empty"), Lead: c.Say("operator.status.ocsp.empty.lead")}}
	for _, r := range responders {
		if r.Status == store.ResponderDestroyed {
			continue
		}
		state := ui.State{Tone: ui.Good, Word: c.Say("operator.ocsp.ready")}
		switch {
		case !r.Certificate.NotAfter.After(c.Clock.Now()):
			state = ui.State{Tone: ui.Bad, Word: c.Say("operator.issuer.expired")}
		case r.Status == store.ResponderRetired:
			state = ui.State{Tone: ui.Off, Word: c.Say("operator.issuer.retired")}
		}
		ocsp.Rows = append(ocsp.Rows, ui.Row{Cells: page.Cells(words(names[r.Issuer]), ui.Status(state), ui.Moment(r.Certificate.NotAfter))})
	}
	return c.detail(http.StatusOK, ui.Head{Title: c.Say("operator.status.title"), Lead: c.Say("operator.status.lead")},
		section(c.Say("operator.status.crls"), "", ui.DataTable(crls)), section(c.Say("operator.status.ocsp"), c.Say("operator.status.ocsp.lead"), ui.DataTable(ocsp)))
}

func (c *call) askPublish() error {
	i, _, err := c.thisIssuer()
	if err != nil {
		return err
	}
	return c.confirm(c.up("operator.status.title", statusPath), c.Say("operator.status.publish.ask", "name", i.Certificate.Subject.CommonName), c.Say("operator.status.publish"),
		[]ui.Fact{c.fact("issuer", ui.Words(i.Certificate.Subject.String())), c.fact("shards", ui.Words(strconv.Itoa(i.CRLShards)))}, []string{c.Say("operator.status.publish.effect")}, false)
}

func (c *call) publish() error {
	if err := authz.Check(c.Actor, authz.CRLPublish, ""); err != nil {
		return err
	}
	i, _, err := c.thisIssuer()
	if err != nil {
		return err
	}
	if _, err := c.CRLs.Publish(c.Context(), c.Actor, i.ID); err != nil {
		return err
	}
	return c.Redirect(statusPath)
}

// queueRows is how many jobs a page lists.
const queueRows = 200

func (c *call) jobState(j *store.QueuedJob) ui.State {
	now := c.Clock.Now()
	switch {
	case j.HeldUntil.After(now):
		return ui.State{Tone: ui.Pending, Word: c.Say("operator.job.running")}
	case j.LastError != "":
		return ui.State{Tone: ui.Warn, Word: c.Say("operator.job.failing")}
	case !j.RunAt.After(now):
		return ui.State{Tone: ui.Pending, Word: c.Say("operator.job.due")}
	}
	return ui.State{Tone: ui.Off, Word: c.Say("operator.job.waiting")}
}

// jobs serves GET /operator/jobs: what waits to be done, by kind.
func (c *call) jobs() error {
	kind := c.R.URL.Query().Get("kind")
	queue, err := c.Staff.Queue(c.Context(), c.Actor, kind, queueRows)
	if err != nil {
		return err
	}
	l := c.Language()
	kinds := ui.Table{Label: c.Say("operator.jobs.kinds"), Columns: c.columns("kind", "jobs#", "first", "attempts#"), Empty: ui.Empty{Title: c.Say("operator.jobs.empty"), Lead: c.Say("operator.jobs.empty.lead")}}
	for _, k := range queue.Kinds {
		kinds.Rows = append(kinds.Rows, ui.Row{URL: jobsPath + "?" + url.Values{"kind": {k.Kind}}.Encode(), Cells: page.Cells(
			ui.Words(k.Kind), ui.Words(l.Count(k.N)), ui.Moment(k.First), ui.Words(l.Count(k.Attempts)))})
	}
	table := ui.Table{Label: c.Say("operator.jobs.title"), Columns: c.columns("kind", "of", "state", "when", "attempts#", "error"), Empty: ui.Empty{Title: c.Say("operator.jobs.empty"), Lead: c.Say("operator.jobs.empty.lead")}}
	for i := range queue.Jobs {
		j := &queue.Jobs[i]
		table.Rows = append(table.Rows, ui.Row{URL: jobsPath + "/" + j.ID.String(), Cells: page.Cells(
			ui.Words(j.Kind), ui.ShortID(j.Key), ui.Status(c.jobState(j)), ui.Moment(j.RunAt), ui.Words(l.Count(int64(j.Attempts))), words(firstLine(j.LastError)))})
	}
	parts := section(c.Say("operator.jobs.kinds"), "", ui.DataTable(kinds))
	if kind != "" {
		parts = ui.FilterBar(ui.Filter{Action: jobsPath, Chips: []ui.Chip{{Text: kind, Without: jobsPath}}})
	}
	return c.detail(http.StatusOK, ui.Head{Title: c.Say("operator.jobs.title"), Lead: c.Say("operator.jobs.lead")}, parts, section(c.Say("operator.jobs.next"), "", ui.DataTable(table)))
}

func (c *call) thisJob() (store.QueuedJob, error) {
	id, err := telamon.ParseJobID(c.R.PathValue("id"))
	if err != nil {
		return store.QueuedJob{}, page.OrNotFound(err)
	}
	return c.Staff.QueuedJob(c.Context(), c.Actor, id)
}

// job serves GET /operator/jobs/{id}.
func (c *call) job() error {
	j, err := c.thisJob()
	if err != nil {
		return err
	}
	state := c.jobState(&j)
	facts := []ui.Fact{
		c.fact("kind", ui.Words(j.Kind)), c.fact("of", words(j.Key)), c.fact("when", ui.Moment(j.RunAt)), c.fact("attempts", ui.Words(strconv.Itoa(j.Attempts))),
		c.fact("holder", words(j.Holder)), c.fact("held_until", ui.MomentIf(j.HeldUntil)), c.fact("made", ui.Moment(j.CreatedAt)), c.fact("error", plain(j.LastError)),
	}
	head := ui.Head{Up: c.up("operator.jobs.title", jobsPath), Title: j.Kind, ID: j.ID.String(), State: &state}
	if !j.RunAt.After(c.Clock.Now()) || j.HeldUntil.After(c.Clock.Now()) {
		return c.detail(http.StatusOK, head, ui.Facts(facts))
	}
	return c.detail(http.StatusOK, head, ui.Facts(facts),
		section(c.Say("operator.job.run"), c.Say("operator.job.run.lead"), actForm(ui.Form{Action: jobsPath + "/" + j.ID.String() + "/run", Button: c.Say("operator.job.run")}, nil)))
}

func (c *call) runJob() error {
	j, err := c.thisJob()
	if err != nil {
		return err
	}
	if err := c.Staff.RunJob(c.Context(), c.Actor, j.ID); err != nil {
		return err
	}
	return c.Redirect(jobsPath)
}

var mailTones = map[store.MailState]ui.Tone{store.MailQueued: ui.Pending, store.MailSent: ui.Good, store.MailFailed: ui.Bad}

// mails serves GET /operator/mail: the mails of all accounts with what became of them.
func (c *call) mails() error {
	q := c.R.URL.Query()
	found, err := c.IAM.Mails(c.Context(), c.Actor, store.MailFilter{
		Recipient: q.Get("q"), State: store.MailState(q.Get("state")), After: telamon.MailID(q.Get("after")), Limit: page.PerPage,
	})
	if err != nil {
		return err
	}
	table := ui.Table{Label: c.Say("operator.mail.title"), Columns: c.columns("recipient", "state", "template", "made", "ended"), Empty: ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("operator.mail.empty")}}
	for _, m := range found.Mails {
		table.Rows = append(table.Rows, ui.Row{Cells: page.Cells(
			ui.Name(m.Recipient, ""), ui.Status(ui.State{Tone: mailTones[m.State], Word: c.Say("operator.mail." + string(m.State)), Reason: firstLine(m.LastError)}), ui.Words(c.MailName(m.Template)), ui.Moment(m.CreatedAt), ui.MomentIf(m.EndedAt))})
	}
	if found.Next != "" {
		next := url.Values{"q": {q.Get("q")}, "state": {q.Get("state")}, "after": {found.Next.String()}}
		table.Pager = &ui.Pager{First: 1, Last: int64(len(found.Mails)), Total: -1, Next: mailPath + "?" + next.Encode()}
	}
	state := ui.Field{Name: "state", Label: c.Say("operator.column.state"), Value: q.Get("state"), Options: []ui.Option{{Text: c.Say("list.any")}}}
	for _, s := range []store.MailState{store.MailQueued, store.MailSent, store.MailFailed} {
		state.Options = append(state.Options, ui.Option{Value: string(s), Text: c.Say("operator.mail." + string(s))})
	}
	head := ui.Head{Title: c.Say("operator.mail.title"), Lead: c.Say("operator.mail.lead")}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, ui.Filter{Action: mailPath, Search: q.Get("q"), Hint: c.Say("operator.column.recipient"), Fields: []ui.Field{state}, Target: "list"}, table, true))
}

// Thresholds of what is worth a look.
const (
	lateJobs = 15 * time.Minute
	lateLog  = time.Minute
)

// health serves GET /operator/health: what the platform needs, and what to do if it lacks
// it.
func (c *call) health() error {
	h, err := c.Staff.Health(c.Context(), c.Actor)
	if err != nil {
		return err
	}
	now := c.Clock.Now()
	table := ui.Table{Label: c.Say("operator.health.title"), Columns: c.columns("part", "state", "detail")}
	add := func(part string, ok bool, detail, problem string) {
		state := ui.State{Tone: ui.Good, Word: c.Say("operator.health.good")}
		if !ok {
			state, detail = ui.State{Tone: ui.Bad, Word: c.Say("operator.health.bad")}, problem+" "+c.Say("operator.health."+part+".do")
		}
		table.Rows = append(table.Rows, ui.Row{Cells: page.Cells(ui.Words(c.Say("operator.health."+part)), ui.Status(state), words(detail))})
	}
	if h.Database != nil {
		add("database", false, "", h.Database.Error())
	} else {
		add("database", true, h.Engine+", "+strconv.FormatInt(h.Schema, 10), "")
	}
	if c.Ready != nil {
		ready := c.Ready(c.Context())
		problem := ""
		if ready != nil {
			problem = ready.Error()
		}
		add("process", ready == nil, "", problem)
	}
	var oldest time.Time
	var due int64
	for _, d := range h.Due {
		due += d.N
		if oldest.IsZero() || d.Oldest.Before(oldest) {
			oldest = d.Oldest
		}
	}
	add("jobs", oldest.IsZero() || now.Sub(oldest) < lateJobs, c.Many("operator.health.due", int(due)), c.Many("operator.health.due", int(due)))
	add("log", h.Log.Age(now) < lateLog, c.Many("operator.health.events", int(h.LogSize)), c.Many("operator.health.pending", int(h.Log.Pending)))
	if h.Database == nil {
		states, err := c.states()
		if err != nil {
			return err
		}
		bad := 0
		for i := range states {
			if s := c.crlState(&states[i]); s.Tone == ui.Bad || s.Tone == ui.Warn {
				bad++
			}
		}
		add("crls", bad == 0, c.Many("operator.health.crls", len(states)), c.Many("operator.health.crls_bad", bad))
		failed, err := c.IAM.Mails(c.Context(), c.Actor, store.MailFilter{State: store.MailFailed, From: now.Add(-24 * time.Hour), Limit: 100})
		if err != nil {
			return err
		}
		add("mail", len(failed.Mails) == 0, c.Say("operator.health.mail.none"), c.Many("operator.health.mail_failed", len(failed.Mails)))
	}
	return c.detail(http.StatusOK, ui.Head{Title: c.Say("operator.health.title"), Lead: c.Say("operator.health.lead")}, ui.DataTable(table))
}
