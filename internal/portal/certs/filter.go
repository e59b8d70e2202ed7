package certs

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/store"
)

// The parameters of a list's address, in the order of its filters.
var filterNames = []string{"q", "status", "service", "identity", "credential", "issued_from", "issued_to", "expires_from", "expires_to"}

// expiring are the days that certificates which are about to expire are looked for in.
var expiring = []int{30, 60, 90}

// fromPortal is the value of a credential for certificates that were requested here.
const fromPortal = "portal"

// A filter is what a list's address asks for.
type filter struct {
	search ra.Search
	values url.Values // those of filterNames that are given
	first  int64      // the number of the page's first line
	total  int64      // of all lines; -1 if it is not known
}

// parseFilter reads an address. It reports Invalid with a field for what cannot be read.
func parseFilter(q url.Values) (*filter, error) {
	f := &filter{values: url.Values{}, first: 1, total: -1}
	var wrong []fault.Field
	for _, name := range filterNames {
		value := strings.TrimSpace(q.Get(name))
		if value == "" {
			continue
		}
		f.values.Set(name, value)
		if err := f.set(name, value); err != nil {
			wrong = append(wrong, fault.Field{Path: name, Problem: err.Error()})
		}
	}
	if after := q.Get("after"); after != "" && !f.setCursor(after) {
		wrong = append(wrong, fault.Field{Path: "after", Problem: "is no place in a list"})
	}
	if len(wrong) > 0 {
		return nil, &fault.Fault{Kind: fault.Invalid, Code: "search", Detail: wrong[0].Path + " " + wrong[0].Problem, Fields: wrong}
	}
	return f, nil
}

// likeSerial is a text that is rather a serial number than a name: those of certificates
// begin with 01.
var likeSerial = regexp.MustCompile(`^0?1[0-9A-Fa-f: -]{3,}$`)

func (f *filter) set(name, value string) (err error) {
	s := &f.search
	switch name {
	case "q":
		if s.Name = value; likeSerial.MatchString(value) {
			s.Name, s.Serial = "", value
		}
	case "status":
		state, days, _ := strings.Cut(value, "-")
		if s.State = store.CertificateState(state); days != "" {
			s.Days, err = strconv.Atoi(days)
		}
	case "service":
		s.Subscription, err = telamon.ParseSubscriptionID(value)
	case "identity":
		s.Identity, err = telamon.ParseIdentityID(value)
	case "credential":
		if s.Portal = value == fromPortal; !s.Portal {
			s.Credential, err = telamon.ParseCredentialID(value)
		}
	case "issued_from":
		s.IssuedFrom, err = dayOf(value, 0)
	case "issued_to":
		s.IssuedUntil, err = dayOf(value, 1)
	case "expires_from":
		s.ExpiresFrom, err = dayOf(value, 0)
	case "expires_to":
		s.ExpiresUntil, err = dayOf(value, 1)
	}
	return err
}

// dayOf is the beginning of a day, or of the one that is so many days later.
func dayOf(text string, later int) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Year() < 1970 || day.Year() > 9998 {
		return time.Time{}, fmt.Errorf("is no day such as 2026-11-22")
	}
	return day.AddDate(0, 0, later), nil
}

// setCursor reads a place in the list: milliseconds, serial number, number of the line
// before, and of all lines.
func (f *filter) setCursor(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 4 {
		return false
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	serial, ok, err2 := telamon.ParseSerial(parts[1])
	before, err3 := strconv.ParseInt(parts[2], 10, 64)
	total, err4 := strconv.ParseInt(parts[3], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || !ok || before < 0 || total < -1 || before >= 1<<40 || total >= 1<<40 {
		return false
	}
	f.search.After = &store.CertificateCursor{At: at, Serial: serial}
	f.first, f.total = before+1, total
	return true
}

// next is the address of the page after the cursor, which n lines are before.
func (f *filter) next(at *store.CertificateCursor, n int64) string {
	q := url.Values{"after": {fmt.Sprintf("%d.%s.%d.%d", at.At, at.Serial, n, f.total)}}
	for name, values := range f.values {
		q[name] = values
	}
	return page.CertificatesPath + "?" + q.Encode()
}

// address is the list's, or the file's, with the filter but for some parameters.
func (f *filter) address(path string, without ...string) string {
	q := url.Values{}
	for name, values := range f.values {
		q[name] = values
	}
	for _, name := range without {
		q.Del(name)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// bar is the filter as people change it.
func (c *call) bar(f *filter, all *catalogue) ui.Filter {
	v := f.values
	anyOf := func(name string, options ...ui.Option) ui.Field {
		return ui.Field{
			Name: name, Label: c.Say("certificates.filter." + name), Value: v.Get(name),
			Options: append([]ui.Option{{Text: c.Say("list.any")}}, options...),
		}
	}
	states := []ui.Option{{Value: "issued", Text: c.Say("certificates.issued")}}
	for _, days := range expiring {
		states = append(states, ui.Option{Value: fmt.Sprintf("expiring-%d", days), Text: c.Many("certificates.expiring", days)})
	}
	states = append(states, ui.Option{Value: "expired", Text: c.Say("state.expired")}, ui.Option{Value: "revoked", Text: c.Say("state.revoked")})
	bar := ui.Filter{
		Action: page.CertificatesPath, Search: v.Get("q"), Hint: c.Say("certificates.search"), Target: "list",
		Fields: []ui.Field{
			anyOf("status", states...), anyOf("service", all.serviceOptions()...), anyOf("identity", all.identityOptions()...),
			anyOf("credential", all.credentialOptions(c)...),
		},
	}
	for _, name := range filterNames[5:] {
		bar.Fields = append(bar.Fields, ui.Field{Name: name, Label: c.Say("certificates.filter." + name), Value: v.Get(name), Type: "date", Narrow: true})
	}
	for _, name := range filterNames {
		if value := v.Get(name); value != "" {
			text := c.Say("certificates.filter."+name) + ": " + c.valueText(bar, name, value)
			bar.Chips = append(bar.Chips, ui.Chip{Text: text, Without: f.address(page.CertificatesPath, name)})
		}
	}
	return bar
}

// valueText is a value of the filter as people read it.
func (c *call) valueText(bar ui.Filter, name, value string) string {
	for _, field := range bar.Fields {
		for _, o := range field.Options {
			if field.Name == name && o.Value == value {
				return o.Text
			}
		}
	}
	return value
}

func (all *catalogue) serviceOptions() (options []ui.Option) {
	for _, o := range all.offers {
		options = append(options, ui.Option{Value: o.Subscription.ID.String(), Text: o.Service.Name})
	}
	return options
}

func (all *catalogue) identityOptions() (options []ui.Option) {
	for _, i := range all.identities {
		options = append(options, ui.Option{Value: i.ID.String(), Text: i.Name})
	}
	return options
}

func (all *catalogue) credentialOptions(c *call) []ui.Option {
	options := []ui.Option{{Value: fromPortal, Text: c.Say("certificates.portal")}}
	for _, k := range all.credentials {
		options = append(options, ui.Option{Value: k.ID.String(), Text: k.Name})
	}
	return options
}
