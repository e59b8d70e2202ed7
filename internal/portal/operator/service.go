package operator

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

func (p *Pages) serviceRoutes(mux page.Router) {
	mux.HandleFunc("GET "+servicesPath, p.person((*call).services))
	mux.HandleFunc("GET "+servicesPath+"/new", p.person((*call).newService))
	mux.HandleFunc("POST "+servicesPath+"/new", p.person((*call).editService))
	mux.HandleFunc("GET "+servicesPath+"/{id}", p.person((*call).service))
	mux.HandleFunc("POST "+servicesPath+"/{id}", p.person((*call).editService))
}

// services serves GET /operator/services.
func (c *call) services() error {
	list, err := c.IAM.Services(c.Context(), c.Actor, store.Page{Limit: page.MaxRows})
	if err != nil {
		return err
	}
	names, err := c.seriesNames()
	if err != nil {
		return err
	}
	table := ui.Table{Label: c.Say("operator.services.title"), Columns: c.columns("name", "series", "version#", "demands", "changed"),
		Empty: ui.Empty{Title: c.Say("operator.services.empty"), Lead: c.Say("operator.services.empty.lead"), Act: &ui.Link{Text: c.Say("operator.services.new"), URL: servicesPath + "/new"}}}
	for i := range list {
		v := &list[i]
		table.Rows = append(table.Rows, ui.Row{URL: servicesPath + "/" + v.ID.String(), Cells: page.Cells(
			ui.Words(v.Name), words(names[v.Series]), ui.Words(strconv.Itoa(v.Version)), words(c.demands(v)), ui.Day(v.ChangedAt))})
	}
	head := ui.Head{Title: c.Say("operator.services.title"), Lead: c.Say("operator.services.lead"), Act: &ui.Link{Text: c.Say("operator.services.new"), URL: servicesPath + "/new"}}
	if len(list) == 0 {
		head.Act = nil
	}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, ui.Filter{}, table, false))
}

func (c *call) seriesNames() (map[telamon.SeriesID]string, error) {
	_, series, err := c.Staff.Issuers(c.Context(), c.Actor)
	names := map[telamon.SeriesID]string{}
	for _, s := range series {
		names[s.ID] = s.Name
	}
	return names, err
}

// A flag is a switch of a service.
type flag struct {
	name string
	of   func(*telamon.Service) *bool
}

var flags = []flag{
	{"domain_validation", func(v *telamon.Service) *bool { return &v.DomainValidation }},
	{"strict_content", func(v *telamon.Service) *bool { return &v.StrictContent }},
	{"strict_caa", func(v *telamon.Service) *bool { return &v.StrictCAA }},
	{"strict_mpic", func(v *telamon.Service) *bool { return &v.StrictMPIC }},
	{"unlimited", func(v *telamon.Service) *bool { return &v.Unlimited }},
	{"sticky_tokens", func(v *telamon.Service) *bool { return &v.StickyTokens }},
}

// demands are the switches of a service that are on.
func (c *call) demands(v *telamon.Service) string {
	var on []string
	for _, f := range flags {
		if *f.of(v) {
			on = append(on, c.Say("operator.flag."+f.name))
		}
	}
	return strings.Join(on, ", ")
}

// An editor is all of the page of a service.
type editor struct {
	action, back, version, was string
	isNew                      bool
	fields                     []ui.Field
	members                    []member
	json, request, data        ui.Field
	problems                   []fault.Field // of the policy
	tried                      templ.Component
}

// A member is the rule of one member of the subject.
type member struct{ name, presence, format string }

// all are the fields that may have an error.
func (e *editor) all() []ui.Field { return append(slices.Clone(e.fields), e.json, e.request, e.data) }

// newPolicy is what a new service begins with: names of TLS servers, by requests.
const newPolicy = `{
  "validity": {"secondsmin": 86400, "secondsmax": 7776000},
  "subject_dn": {"common_name": {"presence": "OPTIONAL", "format": "^[a-z0-9.*-]+$"}},
  "san": {"dns_names": {"list": ["^[a-z0-9.*-]+$"], "mincount": 1, "maxcount": 100}},
  "key_usages": {"digital_signature": "STATIC_TRUE"},
  "extended_key_usages": {"ekus": {"static": true, "list": ["1.3.6.1.5.5.7.3.1"]}},
  "signature": {"algorithm": {"presence": "OPTIONAL", "list": ["ECDSA"]}, "hash_algorithm": {"presence": "OPTIONAL", "list": ["SHA-256"]}},
  "public_key": {"key_type": "ECDSA", "allowed_lengths": [256], "key_format": "PKCS10"},
  "public_key_signature": "OPTIONAL"
}`

// A draft is a service as the form has it, before anybody saves it.
type draft struct {
	service telamon.Service
	model   *policy.Model
	text    string // the JSON, as it was written
	series  string
	values  url.Values // of the form; nil: those of the model
}

// newService serves GET /operator/services/new.
func (c *call) newService() error {
	model, err := policy.ParseModel([]byte(newPolicy))
	if err != nil {
		return err
	}
	return c.editorPage(http.StatusOK, &draft{model: model, text: pretty(model)}, nil)
}

// service serves GET /operator/services/{id}.
func (c *call) service() error {
	v, err := c.thisService()
	if err != nil {
		return err
	}
	names, err := c.seriesNames()
	if err != nil {
		return err
	}
	model, err := policy.ParseModel(v.PolicyTemplate)
	if err != nil {
		return err
	}
	return c.editorPage(http.StatusOK, &draft{service: v, model: model, text: pretty(model), series: names[v.Series]}, nil)
}

func (c *call) thisService() (telamon.Service, error) {
	id, err := telamon.ParseServiceID(c.R.PathValue("id"))
	if err != nil {
		return telamon.Service{}, page.OrNotFound(err)
	}
	return c.IAM.Service(c.Context(), c.Actor, id)
}

// editService serves the POSTs of the editor: the form follows the JSON or the other way
// round, a request is tried, or all is saved. Only saving changes anything.
func (c *call) editService() error {
	form, err := c.Form()
	if err != nil {
		return err
	}
	d := &draft{series: form.Get("series"), text: form.Get("json"), values: form}
	isNew := c.R.PathValue("id") == ""
	if isNew {
		d.service.Name = strings.TrimSpace(form.Get("name"))
	} else if d.service, err = c.thisService(); err != nil {
		return err
	}
	seen, _ := strconv.Atoi(form.Get("version"))
	current := d.service.Version
	d.service.Version = seen
	for _, f := range flags {
		*f.of(&d.service) = form.Get(f.name) == "on"
	}
	wrong, both := d.settle(form)
	tell := func(e *editor) {
		for i := range e.fields {
			for _, w := range wrong {
				if e.fields[i].Name == w.Path {
					e.fields[i].Error = c.Say("operator.editor.wrong." + strings.SplitN(w.Path, ".", 2)[0])
				}
			}
		}
		if both {
			e.json.Error = c.Say("operator.editor.both")
		}
	}
	switch act := form.Get("act"); {
	case d.model == nil || len(wrong) > 0 || both && act == "save":
		return c.editorPage(http.StatusUnprocessableEntity, d, tell)
	case act == "save" && !isNew && seen != current:
		return c.conflictPage(d)
	case act == "save":
		return c.save(d, isNew)
	case act == "try":
		return c.editorPage(http.StatusOK, d, func(e *editor) { tell(e); c.try(d, e) })
	}
	return c.editorPage(http.StatusOK, d, tell)
}

// settle makes the draft's policy of what was changed: the JSON, or the members that the
// form shows. It returns what of the form cannot be read, and whether both were changed.
func (d *draft) settle(form url.Values) (wrong []fault.Field, both bool) {
	was, err := policy.ParseModel([]byte(form.Get("was")))
	if err != nil {
		was = &policy.Model{}
	}
	model, err := policy.ParseModel([]byte(d.text))
	jsonChanged, formChanged := !sameJSON(d.text, form.Get("was")), !sameForm(was, form)
	act := form.Get("act")
	if act == "json" || jsonChanged && !formChanged || !jsonChanged && !formChanged {
		if err != nil {
			return nil, false // the model stays nil
		}
		d.model, d.text, d.values = model, pretty(model), nil
		return nil, false
	}
	base := was
	if wrong = applyForm(base, form); len(wrong) > 0 {
		d.model = was
		return wrong, false
	}
	if jsonChanged && act != "form" { // nothing of either is lost: somebody says which counts
		d.model = base
		return nil, true
	}
	d.model, d.text, d.values = base, pretty(base), nil
	return nil, false
}

// save asks for the service to be made or changed, which may need a second person.
func (c *call) save(d *draft, isNew bool) error {
	body := map[string]any{"series": d.series, "policy": json.RawMessage(d.text)}
	for _, f := range flags {
		body[f.name] = *f.of(&d.service)
	}
	if problems := c.compile(d); len(problems) > 0 {
		return c.editorPage(http.StatusUnprocessableEntity, d, nil)
	}
	method, path := http.MethodPost, "/services"
	if isNew {
		body["name"] = d.service.Name
	} else {
		method, path = http.MethodPut, "/services/"+d.service.ID.String()
		body["version"] = d.service.Version
	}
	err := c.act(method, path, body, servicesPath)
	switch {
	case err != nil && fault.From(err).Code == "changed_meanwhile":
		return c.conflictPage(d)
	case fault.Is(err, fault.Invalid), err != nil && fault.From(err).Code == "name_taken":
		return c.editorPage(http.StatusUnprocessableEntity, d, func(e *editor) {
			if !page.Blame(c.R, e.fields, err, nil) {
				e.problems = append(e.problems, fault.Field{Path: fault.From(err).Code, Problem: fault.From(err).Detail})
			}
			if fault.From(err).Code == "name_taken" && len(e.fields) > 0 {
				e.fields[0].Error = c.Say("operator.services.taken")
			}
		})
	}
	return err
}

// conflictPage says that somebody saved meanwhile, and shows both.
func (c *call) conflictPage(d *draft) error {
	now, err := c.thisService()
	if err != nil {
		return err
	}
	theirs, err := policy.ParseModel(now.PolicyTemplate)
	if err != nil {
		return err
	}
	path := servicesPath + "/" + now.ID.String()
	head := ui.Head{Up: c.up("operator.services.title", servicesPath), Title: c.Say("operator.services.conflict", "name", now.Name), Lead: c.Say("operator.services.conflict.lead", "version", strconv.Itoa(now.Version)),
		Act: &ui.Link{Text: c.Say("operator.services.conflict.again"), URL: path}}
	lines := diff(json.RawMessage(pretty(theirs)), json.RawMessage(d.text))
	return c.detail(http.StatusConflict, head,
		section(c.Say("operator.services.conflict.differs"), "", diffTable(c.Say("operator.services.conflict.theirs"), c.Say("operator.services.conflict.yours"), lines)),
		ui.CopyBlock(c.Say("operator.services.conflict.yours"), d.text), ui.CopyBlock(c.Say("operator.services.conflict.theirs"), pretty(theirs)))
}

// compile returns what is wrong with a draft's policy and series, for a sample identity.
func (c *call) compile(d *draft) []fault.Field {
	trial, err := c.trial(d, iam.SampleIdentity(), &ra.CertificateRequest{})
	switch {
	case err != nil:
		f := fault.From(err)
		return []fault.Field{{Path: "series", Problem: f.Detail}}
	case trial.Policy != nil:
		return nil
	}
	f := fault.From(trial.Refused)
	if len(f.Fields) == 0 {
		return []fault.Field{{Path: f.Code, Problem: f.Detail}}
	}
	return f.Fields
}

// trial has a request tried on a draft.
func (c *call) trial(d *draft, data map[string]string, req *ra.CertificateRequest) (*ra.Trial, error) {
	_, series, err := c.Staff.Issuers(c.Context(), c.Actor)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(series, func(s telamon.Series) bool { return s.Name == d.series })
	if at < 0 {
		return nil, fault.New(fault.NotFound, "series_not_found", "There is no such series.")
	}
	service := d.service
	service.Series, service.PolicyTemplate = series[at].ID, []byte(d.text)
	return c.RA.Try(c.Context(), c.Actor, &service, data, req)
}

// dataOf reads an identity's data: a member and a value in each line.
func dataOf(text string) map[string]string {
	data := map[string]string{}
	for _, line := range items(text, "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			data[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return data
}

// try puts into the editor what the draft makes of the request.
func (c *call) try(d *draft, e *editor) {
	text := strings.TrimSpace(e.request.Value)
	req := &ra.CertificateRequest{PublicKey: text}
	var err error
	switch {
	case strings.Contains(text, "PRIVATE KEY-----"):
		e.request.Value, e.request.Error = "", c.Say("operator.report.private_key")
		return
	case strings.HasPrefix(text, "{"):
		if req, err = c.ParseRequest([]byte(text)); err != nil {
			e.request.Error = c.Say("operator.try.unreadable")
			e.tried = c.refusal(err)
			return
		}
	case text == "":
		e.request.Error = c.Say("operator.try.empty")
		return
	}
	trial, err := c.trial(d, dataOf(e.data.Value), req)
	switch {
	case err != nil:
		e.tried = c.refusal(err)
	case trial.Refused != nil:
		e.tried = c.refusal(trial.Refused)
	default:
		e.tried = granted(c.grantedFacts(trial))
	}
}

// refusal shows why a request is refused: first as the API would say it, then all of it.
func (c *call) refusal(err error) templ.Component {
	status, body := c.Answer(err)
	var wire bytes.Buffer
	if json.Indent(&wire, body, "", "  ") != nil {
		wire.Write(body)
	}
	var rest []string
	if f := fault.From(err); len(f.Fields) > 1 {
		for _, field := range f.Fields {
			rest = append(rest, field.Path+": "+field.Problem)
		}
	}
	return refusals(strconv.Itoa(status), wire.String(), rest)
}

// grantedFacts are what the certificate of a trial would say.
func (c *call) grantedFacts(t *ra.Trial) []ui.Fact {
	a := t.Accepted
	var subject, usages []string
	for _, attribute := range a.Content.Subject {
		subject = append(subject, fmt.Sprintf("%s=%s", attribute.Type, attribute.Value.Text))
	}
	for _, oid := range a.Content.ExtKeyUsage.OIDs {
		usages = append(usages, oid.String())
	}
	san := &a.Content.SAN
	names := slices.Concat(san.DNSNames, san.Emails, san.URIs)
	for _, ip := range san.IPAddresses {
		names = append(names, ip.String())
	}
	return []ui.Fact{
		c.fact("subject", words(strings.Join(subject, ", "))), c.fact("names", words(strings.Join(names, ", "))),
		c.fact("not_before", ui.Moment(a.NotBefore)), c.fact("ends", ui.Moment(a.NotAfter)),
		c.fact("key_usage", words(keyUsages(a.Content.KeyUsage))), c.fact("ekus", words(strings.Join(usages, ", "))),
		c.fact("octets", ui.Words(strconv.Itoa(len(t.TBS)))),
	}
}

// keyUsages are the names of the bits of a key usage, as policies have them.
func keyUsages(u x509.KeyUsage) string {
	var names []string
	for i, name := range policy.KeyUsageNames {
		if u&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// sampleData is the data of the sample identity, as the panel shows it.
func sampleData() string {
	sample := iam.SampleIdentity()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(sample)) {
		lines = append(lines, name+"="+sample[name])
	}
	return strings.Join(lines, "\n")
}

// editorPage shows a draft. change, which may be nil, puts in what came of it.
func (c *call) editorPage(status int, d *draft, change func(*editor)) error {
	_, series, err := c.Staff.Issuers(c.Context(), c.Actor)
	if err != nil {
		return err
	}
	path, isNew := servicesPath+"/new", d.service.ID == ""
	head := ui.Head{Up: c.up("operator.services.title", servicesPath), Title: c.Say("operator.services.new"), Lead: c.Say("operator.editor.lead")}
	if !isNew {
		path = servicesPath + "/" + d.service.ID.String()
		head.Title, head.ID = d.service.Name, d.service.ID.String()
		head.Lead = c.Say("operator.editor.version", "version", strconv.Itoa(d.service.Version))
	}
	form := d.values
	if form == nil {
		form = formOf(d.model)
	}
	e := editor{
		action: path, back: servicesPath, version: strconv.Itoa(d.service.Version), isNew: isNew,
		json:    ui.Field{Name: "json", Label: c.Say("operator.editor.policy"), Value: d.text, Lines: 40, Code: true},
		request: ui.Field{Name: "request", Label: c.Say("operator.try.request"), Hint: c.Say("operator.try.request.hint"), Value: c.R.PostFormValue("request"), Lines: 10, Code: true},
		data:    ui.Field{Name: "data", Label: c.Say("operator.try.data"), Hint: c.Say("operator.try.data.hint"), Value: c.R.PostFormValue("data"), Lines: 10, Code: true},
	}
	if e.data.Value == "" {
		e.data.Value = sampleData()
	}
	e.was = c.R.PostFormValue("was")
	if d.model == nil {
		e.problems = unreadable(d.text)
		e.json.Error = c.Say("operator.editor.unreadable")
	} else if d.values == nil {
		e.was = d.text
	}
	e.fields = c.editorFields(d, form, series)
	for _, name := range policy.SubjectMembers() {
		e.members = append(e.members, member{name, form.Get("presence." + name), form.Get("format." + name)})
	}
	if d.model != nil {
		if d.series == "" && len(series) > 0 {
			d.series = series[0].Name
		}
		e.problems = c.compile(d)
	}
	if change != nil {
		change(&e)
	}
	return c.Show(status, head.Title, ui.Header(head), editorPage(e))
}

// unreadable is why a text is no policy.
func unreadable(text string) []fault.Field {
	_, err := policy.ParseModel([]byte(text))
	if err == nil {
		return nil
	}
	return fault.From(err).Fields
}

// editorFields are the fields of the form but the members of the subject.
func (c *call) editorFields(d *draft, form url.Values, series []telamon.Series) []ui.Field {
	field := func(name string) ui.Field {
		return ui.Field{Name: name, Label: c.Say("operator.policy." + name), Value: form.Get(name)}
	}
	choice := func(name string, values ...string) ui.Field {
		f := field(name)
		for _, v := range values {
			f.Options = append(f.Options, ui.Option{Value: v, Text: v})
		}
		return f
	}
	var all []ui.Field
	if d.service.ID == "" {
		f := field("name")
		f.Value, f.Max, f.Require = d.service.Name, 100, true
		all = append(all, f)
	}
	line := choice("series")
	line.Value = d.series
	for _, s := range series {
		line.Options = append(line.Options, ui.Option{Value: s.Name, Text: s.Name})
	}
	all = append(all, line)
	for _, f := range flags {
		box := ui.Field{Name: f.name, Label: c.Say("operator.flag." + f.name), Type: "checkbox", Value: "on"}
		if *f.of(&d.service) {
			box.Max = 1
		}
		all = append(all, box)
	}
	low, high := field("seconds_min"), field("seconds_max")
	low.Narrow, high.Narrow, low.Mode, high.Mode = true, true, "numeric", "numeric"
	high.Hint = c.Say("operator.policy.seconds.hint")
	all = append(all, low, high)
	for _, l := range lists {
		f := ui.Field{Name: "list." + l.name, Label: c.Say("operator.policy." + l.name), Hint: c.Say("operator.policy.list.hint"), Value: form.Get("list." + l.name), Lines: 2, Code: true}
		count := ui.Field{Name: "count." + l.name, Label: c.Say("operator.policy.count", "of", c.Say("operator.policy."+l.name)), Value: form.Get("count." + l.name), Narrow: true}
		static := ui.Field{Name: "static." + l.name, Label: c.Say("operator.policy.static", "of", c.Say("operator.policy."+l.name)), Type: "checkbox", Value: "on"}
		if form.Get("static."+l.name) == "on" {
			static.Max = 1
		}
		all = append(all, f, count, static)
	}
	lengths := field("lengths")
	lengths.Narrow = true
	return append(all, choice("key_type", "RSA", "ECDSA"), lengths, choice("key_format", "PKCS8", "PKCS10"), choice("possession", "OPTIONAL", "REQUIRED", "FORBIDDEN"),
		choice("algorithm", presences...), field("algorithms"), choice("hash", presences...), field("hashes"))
}
