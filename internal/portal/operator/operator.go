// Package operator serves the pages of those who operate the CA: services and their
// policies, issuers, revocation lists, jobs, the audit log, mails, problem reports and
// cases, and what waits for a second person. Anybody may report a problem with a
// certificate.
//
// It holds no rules: use cases have them. What may need two people is asked of the admin
// API, so that it waits as the same proposal wherever it was asked for.
package operator

import (
	"context"
	"net/http"
	"slices"

	"github.com/a-h/templ"
	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/lifecycle"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/publish"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/staff"
	"github.com/telamon-ca/telamon/internal/web"
)

// The paths of the pages.
const (
	servicesPath     = page.OperatorServicesPath
	approvalsPath    = page.OperatorApprovalsPath
	issuersPath      = page.OperatorIssuersPath
	seriesPath       = page.OperatorPath + "/series"
	statusPath       = page.OperatorStatusPath
	jobsPath         = page.OperatorJobsPath
	auditPath        = page.OperatorAuditPath
	mailPath         = page.OperatorMailPath
	reportsPath      = page.OperatorReportsPath
	casesPath        = page.OperatorPath + "/cases"
	certificatesPath = page.OperatorCertificatesPath
	healthPath       = page.OperatorHealthPath
)

// acts is what carries out acts that may need two people: the admin API.
type acts interface {
	// Act does what a request of the admin API asks for, as the actor. It reports NotReady
	// with approval_needed if the act waits for a second person.
	Act(ctx context.Context, actor telamon.Actor, method, path string, body any) (any, error)
	// Approve approves a proposal, whose hash the actor has seen, and carries it out.
	Approve(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, hash, reason string) (telamon.Proposal, error)
}

// Config names what the pages are made of.
type Config struct {
	IAM   *iam.IAM
	RA    *ra.RA
	Staff *staff.Staff
	Life  *lifecycle.Life
	CRLs  *publish.Publisher
	Acts  acts
	// Verifier is that of the audit log's checkpoints.
	Verifier note.Verifier
	// Ready reports why the process cannot do its work.
	Ready func(context.Context) error
	// ParseRequest reads a request for a certificate as the Atlas API does, and Answer is
	// how that refuses one.
	ParseRequest func(body []byte) (*ra.CertificateRequest, error)
	Answer       func(err error) (status int, body []byte)
	// Reporters bounds how often one address may report a problem; nil sets no bound.
	Reporters *web.Limiter
}

// Pages serves the pages.
type Pages struct {
	Config
	shell *page.Shell
}

// New returns the pages.
func New(shell *page.Shell, cfg Config) *Pages { return &Pages{cfg, shell} }

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	mux.HandleFunc("GET "+page.ReportPath, p.shell.Handle(p.askReport))
	mux.HandleFunc("POST "+page.ReportPath, p.shell.Handle(p.fileReport))
	mux.HandleFunc("GET "+page.OperatorPath, p.person((*call).home))
	p.serviceRoutes(mux)
	p.approvalRoutes(mux)
	p.issuerRoutes(mux)
	p.platformRoutes(mux)
	p.auditRoutes(mux)
	p.reportRoutes(mux)
	p.certificateRoutes(mux)
}

// A call is one request of somebody who operates the CA.
type call struct {
	*page.Call
	*Pages
}

// person is a handler for those who may see how the platform does: others are refused
// before anything is looked up.
func (p *Pages) person(h func(*call) error) http.HandlerFunc {
	return p.shell.Person(func(c *page.Call) error {
		if err := authz.Check(c.Actor, authz.PlatformRead, ""); err != nil {
			return err
		}
		return h(&call{c, p})
	})
}

// home serves GET /operator: what waits for somebody.
func (c *call) home() error { return c.Redirect(approvalsPath) }

// detail answers with a page of parts.
func (c *call) detail(status int, h ui.Head, parts ...templ.Component) error {
	return c.Show(status, h.Title, ui.Header(h), templ.Join(parts...))
}

// up leads to the list that a page belongs to.
func (c *call) up(key, path string) *ui.Link { return &ui.Link{Text: c.Say(key), URL: path} }

// act asks for something that may need a second person. If it does, the reader is led to
// what waits; otherwise to the page where it shows.
func (c *call) act(method, path string, body any, to string) error {
	_, err := c.Acts.Act(c.Context(), c.Actor, method, path, body)
	if fault.Is(err, fault.NotReady) && fault.From(err).Code == "approval_needed" {
		return c.Redirect(approvalsPath)
	}
	if err != nil {
		return err
	}
	return c.Redirect(to)
}

// confirm asks once before an act.
func (c *call) confirm(up *ui.Link, title, button string, object []ui.Fact, effects []string, danger bool, fields ...ui.Field) error {
	confirmation := ui.Confirmation{
		Object: object, Effects: effects,
		Form: ui.Form{Action: c.R.URL.RequestURI(), Button: button, Danger: danger, Cancel: c.CancelTo(up.URL)},
	}
	return c.Show(http.StatusOK, title, ui.Header(ui.Head{Up: up, Title: title}), confirmWith(confirmation, fields))
}

// columns are the columns of a table, by the keys of their names; those that end in a
// number sign are numbers.
func (c *call) columns(keys ...string) []ui.Column {
	var all []ui.Column
	for _, key := range keys {
		number := key[len(key)-1] == '#'
		if number {
			key = key[:len(key)-1]
		}
		all = append(all, ui.Column{Name: c.Say("operator.column." + key), Number: number})
	}
	return all
}

// fact is one line of a list of facts.
func (c *call) fact(key string, value templ.Component) ui.Fact {
	return ui.Fact{Key: c.Say("operator.column." + key), Value: value}
}

// words is a text, or a dash for none.
func words(text string) templ.Component {
	if text == "" {
		text = "–"
	}
	return ui.Words(text)
}

// ahead is a list that has what is urgent first, and then of the others what is not there
// yet, up to page.MaxRows: however many others there are, they hide nothing urgent.
func ahead[T any, ID comparable](urgent, others []T, id func(*T) ID) []T {
	all := slices.Clone(urgent)
	there := map[ID]bool{}
	for i := range urgent {
		there[id(&urgent[i])] = true
	}
	for i := range others {
		if !there[id(&others[i])] {
			all = append(all, others[i])
		}
	}
	return all[:min(len(all), page.MaxRows)]
}
