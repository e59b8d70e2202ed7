package digicertone

import (
	"net/url"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
)

// What sort may say: the one field by which the audit log can be sorted, and the directions
// (digicert-one.md, Section 6.6).
const (
	sortField = "created_at"
	sortAsc   = "asc"
	sortDesc  = "desc"
)

// An auditItem is an entry of the audit log on the wire (digicert-one.md, Section 6.6).
type auditItem struct {
	ID           string  `json:"id"`
	CreatedAt    string  `json:"created_at"`
	UserID       *string `json:"user_id"` // null: an operator or a stranger
	UserName     string  `json:"user_name"`
	AccountID    string  `json:"account_id"`
	Action       string  `json:"action"`
	ResourceType string  `json:"resource_type"`
	ResourceID   string  `json:"resource_id"`
	Status       string  `json:"status"`
	Description  string  `json:"description"`
	IPAddress    *string `json:"ip_address"` // null: the platform itself
}

func (a *API) auditLogRoutes() {
	a.route("GET /account/api/v1/audit-log", factorAny, a.auditLog)
}

// auditLog serves GET /account/api/v1/audit-log.
func (a *API) auditLog(c *call) error {
	if err := c.may(authz.AuditRead); err != nil {
		return err
	}
	query, err := c.query()
	if err != nil {
		return err
	}
	filter, err := activityFilter(query)
	if err != nil {
		return err
	}
	nobodys := filter.Account != "" && filter.Account != c.actor.Account // the actor sees one account
	filter.Account = c.actor.Account
	list, total, err := a.iam.Activities(c.r.Context(), c.actor, filter)
	if err != nil {
		return err
	}
	if nobodys {
		list, total = nil, 0
	}
	items := make([]auditItem, len(list))
	for i := range list {
		items[i] = auditItemOf(&list[i])
	}
	return writeEnvelope(c, items, total, filter.Limit, filter.Offset)
}

func auditItemOf(a *telamon.Activity) auditItem {
	item := auditItem{
		ID: uuidOf(a.ID), CreatedAt: formatTime(a.At), UserName: a.UserName, AccountID: uuidOf(a.Account), Action: a.Action,
		ResourceType: a.ResourceType, ResourceID: a.Resource, Status: string(store.ActivitySuccess), Description: a.Description,
	}
	if a.Failed {
		item.Status = string(store.ActivityFailure)
	}
	if id := uuidOf(a.User); id != "" {
		item.UserID = &id
	}
	if a.Address.IsValid() {
		address := a.Address.String()
		item.IPAddress = &address
	}
	return item
}

// activityFilter reads the parameters of the audit log. It reports Malformed, naming the
// parameter, for each value that could not be in the log: an answer without entries would
// be taken for the news that nothing happened.
func activityFilter(query url.Values) (f store.ActivityFilter, err error) {
	p := parameters{query: query}
	f.UserName = p.text("user_name")
	f.Action = p.oneOf("action", store.ActivityActions())
	f.Resource = p.text("resource_id")
	f.Status = store.ActivityStatus(p.oneOf("status", []string{string(store.ActivitySuccess), string(store.ActivityFailure)}))
	if list := p.get("resource_types"); list != "" {
		for kind := range strings.SplitSeq(list, ",") {
			f.ResourceTypes = append(f.ResourceTypes, p.known("resource_types", strings.TrimSpace(kind), store.ResourceTypes()))
		}
	}
	if id := p.get("account_id"); id != "" {
		f.Account, err = memberID("account_id", id, telamon.AccountIDFromBytes)
		p.note(err)
	}
	f.From, f.To = p.day("from"), p.day("to")
	if !f.To.IsZero() {
		f.To = f.To.AddDate(0, 0, 1)
		if !f.From.Before(f.To) {
			p.note(badRequest("to", "is before from"))
		}
	}
	f.OldestFirst = p.ascending("sort")
	f.Limit, f.Offset, err = page(query, defaultLimit)
	p.note(err)
	return f, p.err
}

// ascending reads the order: "created_at" with a direction after a colon, or a minus before
// it. It is descending if there is none.
func (p *parameters) ascending(name string) bool {
	value := strings.ToLower(p.get(name))
	switch value {
	case sortField + ":" + sortAsc, sortField:
		return true
	case "", sortField + ":" + sortDesc, "-" + sortField:
	default:
		p.note(badRequest(name, "has to be "+sortField+":"+sortAsc+" or "+sortField+":"+sortDesc))
	}
	return false
}
