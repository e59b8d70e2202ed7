package iam_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// TestRequirement100MailHistory lists mails of one account, and lets it switch its list off.
func TestRequirement100MailHistory(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		var ids []telamon.MailID
		for i, to := range []string{"ada@example.com", "Bob@example.com", "ada@example.com"} {
			account := w.account
			if i == 2 {
				account = w.other
			}
			id := telamon.NewMailID()
			must(t, w.db.PutExtra(ctx, store.Extra{Mails: []store.Mail{{ID: id, Account: account, Recipient: to, Template: "claim_verified", Params: []byte("{}")}}}))
			ids = append(ids, id)
			w.clock.Advance(time.Minute)
		}
		must(t, w.db.EndMail(ctx, ids[1], store.MailFailed, "mailbox is unknown"))
		admin := telamon.Actor{Kind: telamon.ActorUser, Account: w.account, User: telamon.NewUserID(), Roles: []string{"administrator"}}
		list := func(by telamon.Actor, f store.MailFilter) []store.Mail {
			t.Helper()
			page := got(w.Mails(ctx, by, f))(t)
			if page.Next != "" && len(page.Mails) != f.Limit {
				t.Errorf("a page that is not full is followed by %s", page.Next)
			}
			return page.Mails
		}
		own := store.MailFilter{Account: w.account}
		if all := list(admin, own); len(all) != 2 || all[0].ID != ids[1] || all[1].ID != ids[0] || all[0].LastError != "mailbox is unknown" {
			t.Errorf("the account's mails are %+v", all)
		}
		if all := list(operator, store.MailFilter{}); len(all) != 3 {
			t.Errorf("an operator sees %d mails", len(all))
		}
		for name, f := range map[string]store.MailFilter{
			"recipient": {Recipient: "BOB"}, "state": {State: store.MailFailed}, "from": {From: w.clock.Now().Add(-2 * time.Minute), To: w.clock.Now().Add(-time.Minute)},
			"page": {Limit: 1},
		} {
			f.Account = w.account
			if name == "from" {
				f.From, f.To = w.clock.Now().Add(-2*time.Minute), w.clock.Now()
			}
			if all := list(admin, f); len(all) != 1 || all[0].ID != ids[1] {
				t.Errorf("by %s there are %+v", name, all)
			}
		}
		if all := list(admin, store.MailFilter{Account: w.account, Limit: 1, After: ids[1]}); len(all) != 1 || all[0].ID != ids[0] {
			t.Errorf("the next page is %+v", all)
		}
		if all := list(admin, store.MailFilter{Account: w.account, Recipient: "100%"}); len(all) != 0 {
			t.Errorf("nobody's mails are %+v", all)
		}
		must(t, errorOf(w.Mail(ctx, admin, w.account, ids[0])))
		mustBe(t, errorOf(w.Mail(ctx, admin, w.account, ids[2])), fault.NotFound, "mail_not_found")
		mustBe(t, errorOf(w.Mails(ctx, admin, store.MailFilter{Account: w.other})), fault.NotFound, "not_found")
		mustBe(t, errorOf(w.Mails(ctx, admin, store.MailFilter{})), fault.NotFound, "not_found")

		reader := admin
		reader.Roles = []string{"read_only"}
		mustBe(t, errorOf(w.Mails(ctx, reader, own)), fault.Denied, "access_denied")
		mustBe(t, w.SetAccountSettings(ctx, reader, w.account, store.AccountSettings{}), fault.Denied, "access_denied")
		must(t, w.SetAccountSettings(ctx, admin, w.account, store.AccountSettings{}))
		mustBe(t, errorOf(w.Mails(ctx, admin, own)), fault.NotReady, "mail_history_off")
		mustBe(t, errorOf(w.Mail(ctx, admin, w.account, ids[0])), fault.NotReady, "mail_history_off")
		if all := list(operator, own); len(all) != 2 {
			t.Errorf("an operator sees %d mails of an account that keeps no history", len(all))
		}
		must(t, w.SetAccountSettings(ctx, admin, w.account, store.AccountSettings{MailHistory: true}))
		if all := list(admin, own); len(all) != 2 {
			t.Errorf("afterwards there are %+v", all)
		}
		if e := w.events(t, "account.settings"); len(e) != 2 || string(e[0].Before) != `{"mail_history":true}` || string(e[0].After) != `{"mail_history":false}` {
			t.Errorf("the audit log has %+v", e)
		}
	})
}
