package digicertone

import (
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/iam"
)

const (
	usersPath  = "/account/api/v1/user"
	tokensPath = "/account/api/v1/api-access-token"
)

// TestMe compares the whole answer to GET /user/me, whose members stand in the order that
// was seen, on both faces and by both factors.
func TestMe(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.serviceUser(t, "CI-1", time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC), "AM_VIEW_ONLY", "AM_ACCOUNT_USER", "SM_SIGNER")
	want := strings.NewReplacer("$ID", uuidOf(id), "$ACCOUNT", uuidOf(w.account)).Replace(strings.Join([]string{
		`{"id":"$ID","email":"ops@example.com","status":"ACTIVE","access_scope":"account","primary_account_id":"$ACCOUNT",`,
		`"created_at":"2026-11-22T10:00:00Z","created_by":null,"user_type":"service","friendly_name":"CI-1","description":"",`,
		`"locale":"en_US","applications":[{"id":"78c0355a-e1ca-4978-b60c-e9d66b9e1f30","name":"Account Manager",`,
		`"permissions":["VIEW_AM_ACCOUNT","VIEW_AM_AUDIT_LOG","VIEW_AM_ORGANIZATION","VIEW_AM_USER"]},`,
		`{"id":"7660bdb3-66e7-46e6-928f-dcae4d64ee91","name":"Software Trust","permissions":["SIGN_SM_HASH","VIEW_SM_KEYPAIR"]}],`,
		`"accounts":[{"id":"$ACCOUNT","name":"Acme","active":true,"service_period":{"from":"2026-11-22","to":"9999-12-31"},`,
		`"friendly_identifier":"acme","locale":"en_US"}],"end_date":"2027-01-31T23:59:59Z"}`,
	}, ""))
	w.do(t, c, "GET", usersPath+"/me", "").mustBe(t, 200, want)
	_, cert := w.newCert(t, c, "one")
	w.do(t, client{auth: true, cert: cert}, "GET", usersPath+"/me", "").mustBe(t, 200, want)
	w.do(t, client{auth: true, cert: cert, key: c.key}, "GET", usersPath+"/"+strings.ToUpper(uuidOf(id))+"/", "").mustBe(t, 200, want)
	none, _ := w.serviceUser(t, "none", time.Time{})
	a := w.do(t, none, "GET", usersPath+"/me", "")
	if !strings.Contains(a.body, `"applications":[{"id":"78c0355a-e1ca-4978-b60c-e9d66b9e1f30","name":"Account Manager","permissions":[]}]`) || strings.Contains(a.body, "end_date") {
		t.Errorf("a user without roles is told %d %s", a.status, a.body)
	}
}

// TestMeFollows checks that the answer to GET /user/me, which is kept, is that of the user
// and the account as they are.
func TestMeFollows(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.serviceUser(t, "first name", time.Time{}, "AM_ACCOUNT_USER")
	other, _ := w.serviceUser(t, "other", time.Time{})
	over := w.open(t, c)
	me := func() wireUser {
		t.Helper()
		return read[wireUser](t, w.send(t, over, c, "GET", usersPath+"/me", ""), 200)
	}
	for range 2 {
		if u := me(); u.FriendlyName != "first name" || len(u.Applications[0].Permissions) != 1 {
			t.Errorf("the answer is %+v", u)
		}
	}
	if u := read[wireUser](t, w.do(t, other, "GET", usersPath+"/me", ""), 200); u.FriendlyName != "other" {
		t.Errorf("the other is answered %+v", u)
	}
	_, err := w.iam.UpdateUser(t.Context(), operator, w.account, id, iam.UserChange{Name: new("second name"), Roles: []string{"AM_VIEW_ONLY"}})
	must(t, err)
	if u := me(); u.FriendlyName != "second name" || len(u.Applications[0].Permissions) != 4 {
		t.Errorf("after the user was changed the answer is %+v", u)
	}
	must(t, w.iam.SetServicePeriod(t.Context(), operator, w.account, iam.Period{EndsAt: time.Date(2030, 12, 31, 23, 59, 59, 0, time.UTC)}))
	if u := me(); u.Accounts[0].ServicePeriod.To != "2030-12-31" {
		t.Errorf("after the account was changed the answer is %+v", u)
	}
	w.clock.Advance(time.Hour) // the directory is stale: it asks the database
	if u := me(); u.FriendlyName != "second name" || u.Status != "ACTIVE" {
		t.Errorf("of a stale directory the answer is %+v", u)
	}
}

// TestMeCache holds how many answers are kept.
func TestMeCache(t *testing.T) {
	var m meCache
	account := &telamon.Account{}
	encode := func() ([]byte, error) { return []byte("{}"), nil }
	for range maxMe + 1 {
		got(m.body(&telamon.User{ID: telamon.NewUserID()}, account, encode))(t)
	}
	if len(m.bodies) != 1 {
		t.Errorf("%d are kept", len(m.bodies))
	}
}

// TestServiceUserLife takes a service user from its making to its end.
func TestServiceUserLife(t *testing.T) {
	w := newWorld(t, nil)
	admin, adminID := w.serviceUser(t, "admin", time.Time{}, "AM_ACCOUNT_ADMIN")
	account := uuidOf(w.account)
	in := map[string]any{
		"user_type": "service", "friendly_name": "Größe 7_b-c", "email": "Ops@Example.com", "end_date": "2026-11-30", "unknown": 1,
		"accounts": []any{map[string]any{"id": account}}, "roles": []any{map[string]any{"id": formatUUID(roleID("SM_SIGNER"))}, map[string]any{"code": "AM_ACCOUNT_USER"}},
	}
	a := w.do(t, admin, "POST", usersPath, body(t, in), "Content-Type", "application/json; charset=utf-8")
	made := read[wireUser](t, a, 201)
	if made.FriendlyName != "Größe 7_b-c" || made.Email != "ops@example.com" || made.CreatedBy == nil || *made.CreatedBy != uuidOf(adminID) ||
		*made.EndDate != "2026-11-30T23:59:59Z" || made.Type != "service" || len(made.Applications) != 2 || !strings.HasSuffix(a.body, `"api_token":"`+made.APIToken+`"}`) {
		t.Errorf("the answer is %s", a.body)
	}
	if strings.Contains(w.log.String(), made.APIToken[27:]) {
		t.Error("the log has the token")
	}
	service, one := client{key: made.APIToken}, usersPath+"/"+made.ID
	_, cert := w.newCert(t, service, "one")
	mtls := client{auth: true, cert: cert}
	both := func(want, wantCert int) {
		t.Helper()
		if a, b := w.do(t, service, "GET", usersPath+"/me", ""), w.do(t, mtls, "GET", usersPath+"/me", ""); a.status != want || b.status != wantCert {
			t.Errorf("the token is answered %d, the certificate %d, want %d and %d", a.status, b.status, want, wantCert)
		}
	}
	both(200, 200)
	shown := w.do(t, admin, "GET", one, "")
	if shown.status != 200 || strings.Contains(shown.body, "api_token") {
		t.Errorf("the user is shown as %d %s", shown.status, shown.body)
	}
	w.do(t, service, "GET", one, "").mustBe(t, 200, shown.body) // what others see of a user is what the user sees
	w.do(t, admin, "PUT", one, shown.body).mustBe(t, 200, shown.body)
	changed := read[wireUser](t, w.do(t, admin, "PUT", one, `{"friendly_name":"CI","description":"builds","end_date":null,"role_ids":["SM_SIGNER"]}`), 200)
	if changed.FriendlyName != "CI" || changed.Description != "builds" || changed.EndDate != nil || changed.Email != "ops@example.com" || len(changed.Applications[0].Permissions) != 0 {
		t.Errorf("the user is now %+v", changed)
	}
	w.do(t, admin, "PUT", one, `{"end_date":"2026-11-22T10:00:01Z"}`)
	w.clock.Advance(1999 * time.Millisecond)
	both(200, 200)
	w.clock.Advance(time.Millisecond)
	both(401, 403)
	if u := read[wireUser](t, w.do(t, admin, "GET", one, ""), 200); u.Status != "EXPIRED" {
		t.Errorf("the status is %s", u.Status)
	}
	read[wireUser](t, w.do(t, admin, "PUT", one, `{"end_date":"2027-01-01"}`), 200)
	both(200, 200)
	for range 2 {
		if u := read[wireUser](t, w.do(t, admin, "PUT", one+"/enable", `{"enabled":false}`), 200); u.Status != "DISABLED" {
			t.Errorf("the status is %s", u.Status)
		}
		both(401, 403)
	}
	for range 2 {
		if u := read[wireUser](t, w.do(t, admin, "PUT", one+"/enable", `{"enabled":true}`), 200); u.Status != "ACTIVE" {
			t.Errorf("the status is %s", u.Status)
		}
		both(200, 200)
	}
	w.do(t, admin, "DELETE", one, "").mustBe(t, 204, "")
	both(401, 403)
	for _, r := range [][2]string{{"GET", ""}, {"PUT", "/enable"}, {"PUT", ""}, {"DELETE", ""}} {
		w.do(t, admin, r[0], one+r[1], `{"enabled":true}`).mustBe(t, 404, bodyNoUser)
	}
	read[wireUser](t, w.do(t, admin, "POST", usersPath, strings.Replace(body(t, in), "Größe 7_b-c", "ci", 1)), 201) // the name is free again
}

// TestUserList goes through filters and pages of GET /user.
func TestUserList(t *testing.T) {
	w := newWorld(t, nil)
	viewer, _ := w.serviceUser(t, "viewer", time.Time{}, "AM_VIEW_ONLY")
	none, _ := w.serviceUser(t, "none", time.Time{})
	_, disabled := w.serviceUser(t, "disabled", time.Time{})
	must(t, w.iam.DisableUser(t.Context(), operator, w.account, disabled))
	_, gone := w.serviceUser(t, "gone", time.Time{})
	must(t, w.iam.DeleteUser(t.Context(), operator, w.account, gone))
	_, err := w.iam.CreateUser(t.Context(), operator, iam.NewUser{Account: w.account, Email: "ada@example.com", Name: "Ada K. Lovelace"})
	must(t, err)
	elsewhere := got(w.iam.CreateAccount(t.Context(), operator, iam.NewAccount{Name: "Globex"}))(t).ID
	_, _, err = w.iam.CreateServiceUser(t.Context(), operator, iam.NewServiceUser{Account: elsewhere, FriendlyName: "elsewhere", Email: "a@example.com"})
	must(t, err)
	for query, want := range map[string]string{
		"": "viewer none disabled Ada K. Lovelace", "?user_type=service": "viewer none disabled", "?user_type=STANDARD": "Ada K. Lovelace",
		"?status=disabled": "disabled", "?friendly_name=DIS": "disabled", "?email=ADA@example.com": "Ada K. Lovelace",
		"?limit=1&offset=1": "none", "?limit=2": "viewer none", "?offset=9": "", "?user_type=service&status=EXPIRED": "", "?x=y": "viewer none disabled Ada K. Lovelace",
	} {
		var names []string
		for _, u := range read[[]struct {
			Name string `json:"friendly_name"`
		}](t, w.do(t, viewer, "GET", usersPath+query, ""), 200) {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q lists %s, want %s", query, got, want)
		}
	}
	if a := w.do(t, viewer, "GET", usersPath+"?status=EXPIRED", ""); a.body != "[]" {
		t.Errorf("nobody is %s", a.body)
	}
	person := w.do(t, viewer, "GET", usersPath+"?user_type=standard", "")
	if !strings.Contains(person.body, `"first_name":"Ada","last_name":"K. Lovelace","username":"ada@example.com"`) {
		t.Errorf("a person is %s", person.body)
	}
	w.do(t, none, "GET", usersPath, "").mustBe(t, 403, bodyDenied)
	w.do(t, viewer, "GET", usersPath+"?user_type=machine", "").mustBe(t, 400, invalid("user_type", "has to be service or standard"))
	w.do(t, viewer, "GET", usersPath+"?status=GONE", "").mustBe(t, 400, invalid("status", "has to be ACTIVE, DISABLED, LOCKED or EXPIRED"))
	w.do(t, viewer, "GET", usersPath+"?limit=0", "").mustBe(t, 400, invalid("limit", "has to be a number from 1 to 100"))
	w.do(t, viewer, "GET", usersPath+"?status=ACTIVE&status=LOCKED", "").mustBe(t, 400, invalid("status", "is given twice"))
}

// TestUserRefusals goes through what the routes of users refuse, in the order of checks:
// who it is, what they may, what there is, and what the body says.
func TestUserRefusals(t *testing.T) {
	w := newWorld(t, nil)
	admin, adminID := w.serviceUser(t, "admin", time.Time{}, "AM_ACCOUNT_ADMIN")
	manager, _ := w.serviceUser(t, "manager", time.Time{}, "AM_USER_MANAGER")
	viewer, _ := w.serviceUser(t, "viewer", time.Time{}, "AM_VIEW_ONLY")
	none, noneID := w.serviceUser(t, "none", time.Time{})
	_, serviceID := w.serviceUser(t, "service", time.Time{})
	one, unknown := usersPath+"/"+uuidOf(serviceID), usersPath+"/"+uuidOf(telamon.NewUserID())
	of := func(members string) string {
		return `{"user_type":"service","friendly_name":"x","email":"a@b.c","accounts":[{"id":"` + uuidOf(w.account) + `"}]` + members + `}`
	}
	long := strings.Repeat("é", 256)
	w.try(t, map[string]attempt{
		"a stranger lists":              {client{}, "GET", usersPath, "", 401, bodyKey},
		"a stranger makes one":          {client{}, "POST", usersPath, "{", 401, bodyKey},
		"a stranger without a cert":     {client{auth: true}, "GET", usersPath + "/me", "", 403, bodyNoAuth},
		"a viewer makes one":            {viewer, "POST", usersPath, "{", 403, bodyDenied},
		"a viewer changes one":          {viewer, "PUT", one, "{", 403, bodyDenied},
		"a viewer disables one":         {viewer, "PUT", one + "/enable", "{", 403, bodyDenied},
		"a viewer ends one":             {viewer, "DELETE", one, "", 403, bodyDenied},
		"a user changes themself":       {none, "PUT", usersPath + "/me", `{"end_date":null}`, 403, bodyDenied},
		"a user ends themself":          {none, "DELETE", usersPath + "/me", "", 403, bodyDenied},
		"a user reads another":          {none, "GET", one, "", 404, bodyNoUser},
		"a user changes another":        {none, "PUT", one, "{", 404, bodyNoUser},
		"a user ends another":           {none, "DELETE", one, "", 404, bodyNoUser},
		"no such user":                  {admin, "GET", unknown, "", 404, bodyNoUser},
		"no such user to change":        {admin, "PUT", unknown, "{", 404, bodyNoUser},
		"no such user to enable":        {admin, "PUT", unknown + "/enable", "{", 404, bodyNoUser},
		"no such user to end":           {admin, "DELETE", unknown, "", 404, bodyNoUser},
		"no ID":                         {admin, "GET", usersPath + "/1", "", 404, bodyNoUser},
		"an ID of another form":         {admin, "GET", usersPath + "/" + serviceID.String(), "", 404, bodyNoUser},
		"a method that is not there":    {admin, "PATCH", one, "{}", 405, bodyMethod},
		"another type of body":          {admin, "POST", usersPath, "text", 415, bodyType},
		"no JSON":                       {admin, "POST", usersPath, "{", 400, invalid("body", "is not JSON")},
		"an array":                      {admin, "POST", usersPath, "[]", 400, invalid("body", "is not a JSON object")},
		"a member twice":                {admin, "PUT", one, `{"email":"a@b.c","Email":"d@e.f"}`, 400, invalid("body", "has a member twice")},
		"no type":                       {admin, "POST", usersPath, `{}`, 400, invalid("user_type", "has to be service")},
		"a person":                      {admin, "POST", usersPath, `{"user_type":"standard"}`, 400, invalid("user_type", "has to be service")},
		"no account":                    {admin, "POST", usersPath, `{"user_type":"service"}`, 400, invalid("accounts", "has to name an account")},
		"another account":               {admin, "POST", usersPath, of(`,"account_ids":["` + uuidOf(telamon.NewAccountID()) + `"]`), 400, invalid("accounts", "has to be your own account alone")},
		"an account that is no ID":      {admin, "PUT", one, `{"accounts":[{"id":"Acme"}]}`, 400, invalid("accounts", "has to be a UUID")},
		"a role that is not there":      {admin, "POST", usersPath, of(`,"role_ids":["root"]`), 400, invalid("roles", "has to name roles by their ID or code")},
		"a role's ID that is not there": {admin, "PUT", one, `{"roles":[{"id":"` + uuidOf(serviceID) + `"}]}`, 400, invalid("roles", "has to name roles by their ID or code")},
		"no name":                       {admin, "PUT", one, `{"friendly_name":""}`, 400, invalid("friendly_name", nameRule)},
		"a slash in the name":           {admin, "PUT", one, `{"friendly_name":"a/b"}`, 400, invalid("friendly_name", nameRule)},
		"a long name":                   {admin, "PUT", one, `{"friendly_name":"` + long + `"}`, 400, invalid("friendly_name", nameRule)},
		"a name of a megabyte":          {admin, "PUT", one, `{"friendly_name":"` + strings.Repeat("a", 1<<20) + `"}`, 400, invalid("body", "is longer than 524288 bytes")},
		"half a megabyte":               {admin, "PUT", one, `{"friendly_name":"` + strings.Repeat("a", 500<<10) + `"}`, 400, invalid("friendly_name", nameRule)},
		"a number for a name":           {admin, "PUT", one, `{"friendly_name":7}`, 400, invalid("friendly_name", "has to be a string")},
		"no address":                    {admin, "PUT", one, `{"email":"Ada <a@b.c>"}`, 400, invalid("email", "is not an e-mail address")},
		"no date":                       {admin, "PUT", one, `{"end_date":"soon"}`, 400, ""},
		"a number for a date":           {admin, "PUT", one, `{"end_date":1}`, 400, ""},
		"a date that looks like none":   {admin, "PUT", one, `{"end_date":"0001-01-01T00:00:00Z"}`, 400, invalid("end_date", field.EndRule)},
		"a date in the past":            {admin, "PUT", one, `{"end_date":"2026-11-21"}`, 400, invalid("end_date", "is not in the future")},
		"this very second":              {admin, "PUT", one, `{"end_date":"2026-11-22T10:00:00Z"}`, 400, invalid("end_date", "is not in the future")},
		"neither enabled nor not":       {admin, "PUT", one + "/enable", `{"enabled":null}`, 400, invalid("enabled", "has to be true or false")},
		"a word for enabled":            {admin, "PUT", one + "/enable", `{"enabled":"true"}`, 400, invalid("enabled", "has to be true or false")},
		"a name that is taken":          {admin, "POST", usersPath, strings.Replace(of(""), `"x"`, `"SERVICE"`, 1), 409, taken("SERVICE")},
		"a taken name for a change":     {admin, "PUT", one, `{"friendly_name":"None"}`, 409, taken("None")},
		"one's own roles":               {admin, "PUT", usersPath + "/" + uuidOf(adminID), `{"role_ids":["AM_ACCOUNT_ADMIN","SM_SIGNER"]}`, 403, bodyDenied},
		"roles beyond one's own":        {manager, "PUT", one, `{"role_ids":["AM_ACCOUNT_ADMIN"]}`, 403, bodyDenied},
	})
	if u := got(w.iam.User(t.Context(), operator, w.account, serviceID))(t); u.Name != "service" || u.State != telamon.Active || len(u.Roles) != 0 || !u.EndsAt.IsZero() {
		t.Errorf("what was refused left %+v", u)
	}
	if u := got(w.iam.User(t.Context(), operator, w.account, noneID))(t); u.State != telamon.Active {
		t.Errorf("what was refused left %+v", u)
	}
}
