package invariant

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store"
)

// activities compares what each account is shown with its audit events: each entry has its
// event, of the same time and outcome, and each event that has to be shown its entry.
func (c *checker) activities(ctx context.Context) {
	c.t.Helper()
	for _, account := range c.directory.Accounts {
		shown := c.shown(ctx, account.ID)
		filter := store.AuditFilter{Account: account.ID}
		for more := true; more; more = filter.After != "" {
			page, err := c.db.AuditEvents(ctx, filter)
			if err != nil {
				c.t.Fatalf("read the audit log: %v", err)
			}
			for _, event := range page.Events {
				c.activity(event, shown)
			}
			filter.After = page.Next
		}
		for id, a := range shown {
			c.t.Errorf("account %s is shown %+v, but has no event %s", account.ID, a, id)
		}
	}
}

// shown returns the entries of an account, which are fewer than can be listed.
func (c *checker) shown(ctx context.Context, account telamon.AccountID) map[telamon.EventID]telamon.Activity {
	c.t.Helper()
	list, total, err := c.db.Activities(ctx, store.ActivityFilter{Account: account, Limit: store.MaxActivities})
	if err != nil || total != int64(len(list)) {
		c.t.Fatalf("list what account %s is shown: %d of %d, %v", account, len(list), total, err)
	}
	shown := make(map[telamon.EventID]telamon.Activity, len(list))
	for _, a := range list {
		shown[a.ID] = a
	}
	return shown
}

// activity checks the entry of an event, and takes it out of those that are shown.
func (c *checker) activity(event *audit.Payload, shown map[telamon.EventID]telamon.Activity) {
	c.t.Helper()
	a, ok := shown[event.ID]
	delete(shown, event.ID)
	switch {
	case ok != store.IsActivity(event.Action):
		c.t.Errorf("event %s of %s is shown: %t", event.ID, event.Action, ok)
	case ok && (!a.At.Equal(event.At) || a.Failed != (event.Result != "ok") || a.Failed != (a.Description != "") || a.Address != event.Address):
		c.t.Errorf("event %s, %+v, is shown as %+v", event.ID, event, a)
	}
}
