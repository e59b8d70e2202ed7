package portal_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// The gallery shows every component in every state. Its words are examples, and stay
// as they are in every language.

// galleryNow is when it is in the gallery.
var galleryNow = time.Date(2026, 11, 22, 9, 41, 0, 0, time.UTC)

var galleryStates = []ui.State{
	{Tone: ui.Good, Word: "Active"}, {Tone: ui.Pending, Word: "Pending"}, {Tone: ui.Off, Word: "Disabled"},
	{Tone: ui.Bad, Word: "Revoked"}, {Tone: ui.Warn, Word: "Expires in 12 days"},
}

// galleryChrome is what is around a page whose navigation stands at current.
func galleryChrome(current string, staff bool) ui.Chrome {
	item := func(name, count string) ui.NavItem {
		return ui.NavItem{Text: name, URL: "/" + strings.ToLower(strings.ReplaceAll(name, " ", "-")), Current: name == current, Count: count}
	}
	return ui.Chrome{
		Groups: []ui.NavGroup{
			{Items: []ui.NavItem{item("Dashboard", "")}},
			{Items: []ui.NavItem{item("Services", ""), item("Identities", "1")}},
			{Items: []ui.NavItem{item("Credentials", ""), item("mTLS certificates", ""), item("Client certificates", ""), item("Service users", "")}},
			{Items: []ui.NavItem{item("Domains", "3"), item("Certificates", "")}},
			{Items: []ui.NavItem{item("Members", ""), item("Audit", ""), item("Settings", "")}},
			{Name: "Operator", Staff: true, Items: []ui.NavItem{item("Accounts", ""), item("Vetting", "2"), item("Issuers", ""), item("Health", "")}},
		},
		Account: "Northwind Energy Supply Ltd", User: "Ada Wolff", Email: "ada.wolff@northwind.example", Staff: staff, Home: "/",
		Me: []ui.Link{{Text: "Your details", URL: "/me"}, {Text: "Settings", URL: "/settings"}}, SignOut: "/sign-out",
	}
}

// galleryPage is a page of the gallery in the shell.
func galleryPage(title, current string, staff bool, parts ...templ.Component) templ.Component {
	return within(ui.Shell(ui.Page{Title: title, Scripts: true, HTMX: true}, galleryChrome(current, staff)), parts...)
}

// within puts components into another one.
func within(outer templ.Component, parts ...templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return outer.Render(templ.WithChildren(ctx, templ.Join(parts...)), w)
	})
}

// galleryPages are the pages by their paths.
func galleryPages() map[string]templ.Component {
	return map[string]templ.Component{
		"/gallery/dashboard":   galleryDashboard(),
		"/gallery/table":       galleryTable(),
		"/gallery/components":  galleryComponents(),
		"/gallery/form":        galleryForm(),
		"/gallery/pick":        galleryPick(),
		"/gallery/secret":      gallerySecret(),
		"/gallery/confirm":     galleryConfirm(),
		"/gallery/certificate": galleryCertificate(),
	}
}

func galleryDashboard() templ.Component {
	return galleryPage("Dashboard", "Dashboard", false,
		ui.Header(ui.Head{Title: "Dashboard", Lead: "Six steps to the first certificate. Each one needs those before it."}),
		ui.ToDo([]ui.Step{
			{Title: "Accept a service", Done: true, Note: "2 services: Business TLS, Client authentication", Act: &ui.Link{Text: "Services", URL: "/services"}},
			{Title: "Request an identity", Done: true, Note: "1 active identity", Act: &ui.Link{Text: "Identities", URL: "/identities"}},
			{Title: "Generate an API credential", Lead: "An API key and a secret, for one service and one identity.", Act: &ui.Link{Text: "Generate credential", URL: "/credentials/new"}},
			{Title: "Generate an mTLS certificate", Lead: "The second factor of API calls, made from your own certificate request.", Blocked: "Needs an API credential."},
			{Title: "Prove control of a domain", Lead: "By DNS, by HTTP or by e-mail.", Act: &ui.Link{Text: "Add domain", URL: "/domains/new"}},
			{Title: "Request the first certificate", Lead: "From a certificate request, here or by the API.", Blocked: "Needs a verified domain."},
		}),
	)
}

// galleryRows are lines of a table with n certificates.
func galleryRows(n int) []ui.Row {
	var rows []ui.Row
	for i := range n {
		rows = append(rows, ui.Row{
			URL: fmt.Sprintf("/certificates/%d", i),
			Cells: []templ.Component{
				ui.Name([]string{"www.northwind.example", "api.metering.northwind.example", "a-very-long-host-name-that-somebody-chose-in-1998.legacy.northwind.example"}[i%3], ""),
				ui.Status(galleryStates[(i+i/3)%len(galleryStates)]),
				ui.ShortID(fmt.Sprintf("01A4F2%02XC81E7B90D3355AA0F1E2D3C4", 17*i%256)),
				ui.Words(ui.English.Count(int64(i * i * 3713))),
				ui.Day(galleryNow.AddDate(0, 0, 12+17*i)),
			},
		})
	}
	return rows
}

var galleryColumns = []ui.Column{
	{Name: "Name", Sort: "?sort=name"}, {Name: "State"}, {Name: "Serial number"}, {Name: "Uses", Number: true},
	{Name: "Expires", Sort: "?sort=expires", Sorted: "ascending"},
}

func galleryTable() templ.Component {
	return galleryPage("Certificates", "Certificates", false,
		ui.Header(ui.Head{
			Title: "Certificates", Lead: "All that was issued to this account.", Act: &ui.Link{Text: "Request certificate", URL: "/certificates/new"},
			Quiet: []ui.Link{{Text: "Expiring", URL: "?view=expiring"}},
		}),
		ui.FilterBar(ui.Filter{
			Action: "/certificates", Hint: "Name, serial number or fingerprint", Target: "list",
			Fields: []ui.Field{
				{Name: "state", Label: "State", Value: "active", Options: []ui.Option{{Value: "", Text: "Any"}, {Value: "active", Text: "Active"}, {Value: "revoked", Text: "Revoked"}}},
				{Name: "from", Label: "Expires from", Type: "date"}, {Name: "to", Label: "Expires until", Type: "date"},
			},
			Chips: []ui.Chip{{Text: "State: Active", Without: "?"}, {Text: "Service: Business TLS", Without: "?state=active"}},
		}),
		ui.List("list", ui.Table{
			Label: "Certificates", Columns: galleryColumns, Rows: galleryRows(9), CSV: "/certificates.csv",
			Pager: &ui.Pager{First: 1, Last: 100, Total: 1204331, Next: "?after=x"},
		}),
	)
}

func galleryComponents() templ.Component {
	log := []ui.LogLine{
		{At: galleryNow.Add(-3 * time.Second), State: ui.State{Tone: ui.Pending, Word: "Asked"}, Words: "TXT records of northwind.example", By: "DNS"},
		{At: galleryNow.Add(-2 * time.Second), State: ui.State{Tone: ui.Bad, Word: "Not found"}, Words: "No matching TXT record at northwind.example. Found: 2 records.", By: "DNS, seen from 5 of 6 vantage points"},
		{At: galleryNow, State: ui.State{Tone: ui.Good, Word: "Verified"}, Words: "The record holds the code.", By: "DNS"},
	}
	var states []ui.Fact
	for _, s := range galleryStates {
		states = append(states, ui.Fact{Key: string(s.Tone), Value: ui.Status(s)})
	}
	states = append(states, ui.Fact{Key: "with a reason", Value: ui.Status(ui.State{Tone: ui.Warn, Word: "Blocked", Reason: "Its identity is not active."})},
		ui.Fact{Key: "identifier", Value: ui.Identifier("crd_01jd8zq4k2m7x9v3b5n6c8w0ye")}, ui.Fact{Key: "short", Value: ui.ShortID("crd_01jd8zq4k2m7x9v3b5n6c8w0ye")},
		ui.Fact{Key: "moment", Value: ui.Moment(galleryNow.Add(-26 * time.Minute))}, ui.Fact{Key: "day", Value: ui.Day(galleryNow.AddDate(5, 0, 0))},
		ui.Fact{Key: "never", Value: ui.Day(time.Time{})}, ui.Fact{Key: "domain", Value: ui.Name("api.metering.northwind.example", "")})
	parts := []templ.Component{
		ui.Header(ui.Head{
			Up: &ui.Link{Text: "Accounts", URL: "/operator/accounts"}, Title: "Northwind Energy Supply Ltd", ID: "acc_01jd8zq4k2m7x9v3b5n6c8w0ye",
			State: &galleryStates[0], Quiet: []ui.Link{{Text: "Disable", URL: "/x"}},
		}),
	}
	for _, s := range galleryStates {
		parts = append(parts, ui.Pill(s))
	}
	return galleryPage("Components", "Accounts", true, append(parts,
		within(ui.Section("Facts and states", "Each state has a shape and a word."), within(ui.Panel(), ui.Facts(states))),
		within(ui.Section("Notices", ""), within(ui.Notice(ui.Warn, "This is shown only once"), ui.Words("Copy it now, or download the file.")),
			within(ui.Notice(ui.Good, ""), ui.Words("The certificate is ready.")), within(ui.Notice(ui.Bad, "This cannot be undone"), ui.Words("Clients that use it fail at once."))),
		within(ui.Section("Log", ""), ui.Log("log", log, false, ""), ui.Log("log-empty", nil, false, "")),
		within(ui.Section("Empty list", ""), ui.DataTable(ui.Table{Empty: ui.Empty{
			Title: "No API credentials yet", Lead: "A credential is an API key and a secret for one service and one identity.", Act: &ui.Link{Text: "Generate credential", URL: "/credentials/new"},
		}})),
		within(ui.Section("Table that ends", ""), ui.List("ended", ui.Table{
			Label: "Certificates", Columns: galleryColumns, Rows: galleryRows(2), Pager: &ui.Pager{First: 101, Last: 102, Total: -1, Previous: "?"},
		})),
	)...)
}

func galleryForm() templ.Component {
	fields := []ui.Field{
		{Name: "name", Label: "Familiar name", Hint: "Lower-case letters, digits and _. It cannot be changed later.", Value: "Billing!", Error: "Names use a–z, 0–9 and _.", Code: true},
		{Name: "service", Label: "Service", Value: "b", Options: []ui.Option{{Value: "a", Text: "Business TLS"}, {Value: "b", Text: "Client authentication"}}},
		{Name: "ip", Label: "Allowed addresses", Hint: "One address or prefix a line; none allows any.", Lines: 3, Code: true, Value: "192.0.2.0/24\n2001:db8::/32"},
		{Name: "email", Label: "Work e-mail", Type: "email", Error: "Write the whole address, such as ada@example.com."},
	}
	parts := []templ.Component{}
	for _, f := range fields {
		parts = append(parts, ui.FieldOf(f))
	}
	parts = append(parts,
		ui.DateField(ui.Field{Name: "ends", Label: "Ends on", Hint: "Up to 2031-11-21", Value: "2027-11-21", First: "2026-11-22", Last: "2031-11-21"},
			[]ui.Option{{Value: "2027-02-20", Text: "90 days"}, {Value: "2027-11-22", Text: "1 year"}, {Value: "2031-11-21", Text: "Longest"}}),
		ui.Choices(ui.Field{Name: "delivery", Label: "How should the secret reach you?", Value: "view", Options: []ui.Option{
			{Value: "view", Text: "Show it here", Hint: "Once, on the next page."}, {Value: "file", Text: "Encrypted file", Hint: "Only the holder of your RSA key can open it."},
		}}),
		ui.Tick(ui.Field{Name: "agree", Label: "I accept the subscriber agreement", Value: "yes", Hint: "Version 4.2 of 2026-03-01"}, true),
	)
	return galleryPage("Form", "Credentials", false,
		ui.Header(ui.Head{Up: &ui.Link{Text: "API credentials", URL: "/credentials"}, Title: "Generate API credential"}),
		within(ui.Readable(), ui.ErrorSummary(fields), within(ui.FormOf(ui.Form{Action: "/x", Button: "Generate credential", Cancel: &ui.Link{Text: "Cancel", URL: "/credentials"}}), parts...)))
}

var gallerySteps = []string{"How you connect", "Credentials", "Request", "Certificate"}

func galleryPick() templ.Component {
	rows := []ui.PickRow{
		{Value: "a", Name: "metering_prod", Picked: true, Cells: []templ.Component{ui.Words("Business TLS"), ui.Status(galleryStates[0]), ui.Day(galleryNow.AddDate(0, 0, -2))}},
		{Value: "b", Name: "billing", Cells: []templ.Component{ui.Words("Client authentication"), ui.Status(galleryStates[0]), ui.Day(time.Time{})}},
		{Value: "c", Name: "old_gateway", Disabled: "Deleted credentials cannot be linked.", Cells: []templ.Component{ui.Words("Business TLS"), ui.Status(galleryStates[3]), ui.Day(time.Time{})}},
	}
	return galleryPage("Wizard", "mTLS certificates", false,
		ui.Header(ui.Head{Up: &ui.Link{Text: "mTLS certificates", URL: "/mtls"}, Title: "Generate mTLS certificate"}),
		within(ui.WizardOf(ui.Wizard{
			Steps: gallerySteps, Current: 1, URLs: []string{"/mtls/new"},
			Summary: []ui.Fact{{Key: "Connection", Value: ui.Words("Directly, by the API")}, {Key: "Credentials", Value: ui.Picked("None yet", "metering_prod")}},
		}), within(ui.FormOf(ui.Form{Action: "/mtls/new", Get: true, Button: "Continue"}), ui.Pick(ui.Field{Name: "credential", Label: "Which credentials is it for?", Hint: "One certificate can serve several."},
			[]ui.Column{{Name: "Name"}, {Name: "Service"}, {Name: "State"}, {Name: "Last used"}}, rows))))
}

func gallerySecret() templ.Component {
	return galleryPage("Credential", "Credentials", false,
		ui.Header(ui.Head{Title: "Credential generated", State: &ui.State{Tone: ui.Good, Word: "Active"}}),
		within(ui.Readable(), within(ui.Notice(ui.Warn, "The secret is shown only once"), ui.Words("It is not stored in readable form. Copy it or download the file before you leave.")),
			ui.CopyField("API key", "a1b2c3d4e5f60718"), ui.SecretField("secret", "API secret", "0123456789abcdef0123456789abcdef01234567"),
			ui.CopyBlock("Command", "openssl pkcs12 -export -inkey key.pem -in certificate.cer \\\n  -certfile issuing-ca.cer -out client.p12")))
}

func galleryConfirm() templ.Component {
	return galleryPage("Delete", "Credentials", false,
		ui.Header(ui.Head{Up: &ui.Link{Text: "metering_prod", URL: "/credentials/x"}, Title: "Delete metering_prod?"}),
		ui.Confirm(ui.Confirmation{
			Object:  []ui.Fact{{Key: "Credential", Value: ui.Words("metering_prod")}, {Key: "Last used", Value: ui.Moment(galleryNow.Add(-2 * time.Hour))}},
			Effects: []string{"Programs that use its key fail at once.", "It is unlinked from 2 mTLS certificates."},
			Keeps:   "Certificates that it requested stay valid.",
			Form:    ui.Form{Action: "/x", Button: "Delete credential", Danger: true, Cancel: &ui.Link{Text: "Keep it", URL: "/credentials/x"}},
		}))
}

func galleryCertificate() templ.Component {
	return galleryPage("Certificate", "Certificates", false,
		ui.Header(ui.Head{Up: &ui.Link{Text: "Certificates", URL: "/certificates"}, Title: "www.northwind.example", State: &galleryStates[4], Act: &ui.Link{Text: "Reissue", URL: "/x"}, Quiet: []ui.Link{{Text: "Revoke", URL: "/x"}}}),
		ui.Certificate(ui.CertificateView{
			Chain: []ui.Card{
				{Role: "Root", Name: "Telamon TLS Root R1", Detail: "until 2051-11-01", URL: "/x"}, {Role: "Issuing CA", Name: "Telamon TLS RSA CA 2026Q4", Detail: "until 2029-12-01", URL: "/x"},
				{Role: "Certificate", Name: "www.northwind.example", Detail: "until 2026-12-04", Current: true},
			},
			Facts: []ui.Fact{
				{Key: "Names", Value: ui.Name("www.northwind.example", "")}, {Key: "Serial number", Value: ui.Identifier("01A4F2C81E7B90D3355AA0F1E2D3C4")},
				{Key: "Valid", Value: ui.Moment(galleryNow.AddDate(0, 0, 12))}, {Key: "Key", Value: ui.Words("EC P-256")},
				{Key: "SHA-256 fingerprint", Value: ui.Identifier(strings.Repeat("5f1c", 16))},
			},
			PEM: "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("MIIBszCCAVmgAwIBAgIUFvP3bYk1Q0yXkz0q0l5m3x2mW5owCgYIKoZIzj0EAwIw\n", 8) + "-----END CERTIFICATE-----\n",
			Hex: strings.Repeat("30 82 01 b3 30 82 01 59 a0 03 02 01 02 02 14 16\n", 6),
		}))
}
