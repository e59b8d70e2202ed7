package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/notify"
	"github.com/telamon-ca/telamon/internal/store"
)

// noticeDays are how many days before a switch people are told of it.
var noticeDays = []int{30, 7}

// A notice is one that is due.
type notice struct {
	link
	days   int
	series telamon.Series
}

// dueNotices returns what is to be told now, the latest notice of each switch, unless the
// operators have been told, which they are at last.
func (l *Life) dueNotices(ctx context.Context, s *state) ([]notice, error) {
	given, err := l.Store.Notices(ctx)
	if err != nil {
		return nil, err
	}
	var out []notice
	for _, series := range s.series {
		for _, k := range s.waiting(s.line(series.ID)) {
			days := 0
			for _, n := range noticeDays {
				if !s.now.Before(k.at.AddDate(0, 0, -n)) {
					days = n
				}
			}
			told := slices.ContainsFunc(given, func(n store.Notice) bool {
				return n.Issuer == k.id && n.ActivateAt.Equal(k.at) && n.Days == days && n.Account == ""
			})
			if days > 0 && !told && k.at.After(s.now) {
				out = append(out, notice{k, days, series})
			}
		}
	}
	return out, nil
}

// A switchMail is what the mails of a switch are made of.
type switchMail struct {
	Issuer     telamon.IssuerID `json:"issuer"`
	Series     string           `json:"series"`
	Name       string           `json:"name"` // of the next issuing CA
	ActivateAt time.Time        `json:"activate_at"`
	Days       int              `json:"days"`
	Unsigned   bool             `json:"unsigned,omitempty"`
}

// giveNotices tells the people of accounts, and then the operators, of switches to come.
// Each is told once, also if this is cut short in between.
func (l *Life) giveNotices(ctx context.Context) error {
	s, err := l.read(ctx) // of what this turn has made, too
	if err != nil {
		return err
	}
	due, err := l.dueNotices(ctx, s)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range due {
		errs = append(errs, l.give(ctx, s, n))
	}
	if len(due) > 0 {
		l.WakeJobs()
	}
	return errors.Join(errs...)
}

func (l *Life) give(ctx context.Context, s *state, n notice) error {
	p, err := l.describe(n.link, n.series)
	if err != nil {
		return err
	}
	left := int(math.Ceil(n.at.Sub(s.now).Hours() / 24))
	params, err := json.Marshal(switchMail{n.id, n.series.Name, p.CommonName, n.at, left, n.issuer == nil})
	if err != nil {
		return fmt.Errorf("encode a notice of %s: %w", n.id, err)
	}
	if n.issuer != nil { // nobody else has a use for what may not come
		accounts, err := l.Store.AccountsOfSeries(ctx, n.series.ID)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			addresses, err := l.people(ctx, account)
			if err != nil {
				return err
			}
			if err := l.tell(ctx, n, account, notify.TemplateIssuerSwitch, addresses, params); err != nil {
				return err
			}
		}
	}
	template := notify.TemplateIssuerSwitch
	if n.issuer == nil {
		template = notify.TemplateIssuerUnsigned
	}
	return l.tell(ctx, n, "", template, l.Operators, params)
}

// tell writes a notice with its mails, unless it is written.
func (l *Life) tell(ctx context.Context, n notice, account telamon.AccountID, template string, addresses []string, params []byte) error {
	var mails []store.Mail
	for _, address := range addresses {
		mails = append(mails, store.Mail{Account: account, Recipient: address, Template: template, Params: params})
	}
	err := l.Store.GiveNotice(ctx, system, store.Notice{Issuer: n.id, ActivateAt: n.at, Days: n.days, Account: account}, mails)
	if isConflict(err) {
		return nil
	}
	return err
}

// maxPeople is how many people of an account are told.
const maxPeople = 20

// people returns the addresses of the administrators of an account.
func (l *Life) people(ctx context.Context, account telamon.AccountID) ([]string, error) {
	users, err := l.Store.Users(ctx, account, store.Page{Limit: 1000})
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, u := range users {
		if u.State == telamon.Active && slices.Contains(u.Roles, "administrator") && len(addresses) < maxPeople {
			addresses = append(addresses, u.Email)
		}
	}
	return addresses, nil
}

// Templates are those of the mails that RenderMail makes.
func Templates() []string {
	return []string{notify.TemplateIssuerSwitch, notify.TemplateIssuerUnsigned}
}

// RenderMail makes the message of a mail that this package wrote. It reports
// notify.ErrMoot if the switch is another one by now.
func (l *Life) RenderMail(ctx context.Context, m *store.Mail) (notify.Message, error) {
	var p switchMail
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return notify.Message{}, fmt.Errorf("read the parameters of mail %s: %w", m.ID, err)
	}
	s, err := l.read(ctx)
	if err != nil {
		return notify.Message{}, err
	}
	stands := slices.ContainsFunc(s.issuers, func(i *telamon.Issuer) bool {
		return i.ID == p.Issuer && i.ActivateAt.Equal(p.ActivateAt) && !p.Unsigned &&
			(i.Status == telamon.IssuerPlanned || i.Status == telamon.IssuerActive)
	}) || slices.ContainsFunc(s.plans, func(plan store.IssuerPlan) bool {
		return plan.ID == p.Issuer && plan.ActivateAt.Equal(p.ActivateAt) && p.Unsigned
	})
	if !stands {
		return notify.Message{}, notify.ErrMoot
	}
	data := notify.IssuerMail{Series: p.Series, Name: p.Name, At: p.ActivateAt, Days: p.Days}
	if m.Account != "" {
		account, err := l.Store.Account(ctx, m.Account)
		if err != nil {
			return notify.Message{}, err
		}
		data.Account = account.Name
	}
	return notify.Render(m.Template, data)
}
