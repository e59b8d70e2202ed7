package digicertone

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/field"
)

// TestTokenRotation exchanges an API token in the documented order, in which no call is
// refused: find the own user, list, make a new one, look at it, disable the old one,
// delete it (digicert-one.md, Section 6.3).
func TestTokenRotation(t *testing.T) {
	w := newWorld(t, nil)
	old, id := w.serviceUser(t, "build", time.Time{})
	me := read[wireUser](t, w.do(t, old, "GET", usersPath+"/me", ""), 200)
	list := read[[]wireToken](t, w.do(t, old, "GET", tokensPath+"?user_id="+me.ID, ""), 200)
	if len(list) != 1 || list[0].UserID != uuidOf(id) || !list[0].Enabled || list[0].EndDate != nil {
		t.Fatalf("the tokens are %+v", list)
	}
	first := list[0].ID
	a := w.do(t, old, "POST", tokensPath, `{"name":"2027","end_date":"2027-11-22"}`)
	made := read[wireToken](t, a, 201)
	want := fmt.Sprintf(`{"id":"%s","user_id":"%s","name":"2027","enabled":true,"created_at":"2026-11-22T10:00:00Z","end_date":"2027-11-22T23:59:59Z"`, made.ID, me.ID)
	if a.body != want+`,"token":"`+made.Token+`"}` {
		t.Errorf("the answer is %s", a.body)
	}
	next := client{key: made.Token}
	w.do(t, next, "GET", tokensPath+"/"+made.ID, "").mustBe(t, 200, want+"}")
	w.do(t, old, "GET", usersPath+"/me", "")
	if k := read[wireToken](t, w.do(t, next, "PUT", tokensPath+"/"+first, `{"enabled":false}`), 200); k.Enabled {
		t.Errorf("the old token is %+v", k)
	}
	w.do(t, old, "GET", usersPath+"/me", "").mustBe(t, 401, bodyKey)
	if k := read[wireToken](t, w.do(t, next, "PUT", tokensPath+"/"+first, `{"enabled":true}`), 200); !k.Enabled {
		t.Errorf("rolled back, the old token is %+v", k)
	}
	read[wireUser](t, w.do(t, old, "GET", usersPath+"/me", ""), 200)
	read[wireToken](t, w.do(t, next, "PUT", tokensPath+"/"+first, `{"enabled":false}`), 200)
	w.do(t, next, "DELETE", tokensPath+"/"+first, "").mustBe(t, 204, "")
	w.do(t, next, "DELETE", tokensPath+"/"+first, "").mustBe(t, 404, bodyNoToken)
	if list := read[[]wireToken](t, w.do(t, next, "GET", tokensPath+"?user_id="+me.ID, ""), 200); len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("the tokens are %+v", list)
	}
	if strings.Contains(w.log.String(), made.Token[27:]) {
		t.Error("the log has the token")
	}
}

// TestTokenChanges changes a token, with a token and with a certificate alone.
func TestTokenChanges(t *testing.T) {
	w := newWorld(t, nil)
	service, id := w.serviceUser(t, "build", time.Time{})
	_, cert := w.newCert(t, service, "one")
	mtls := client{auth: true, cert: cert}
	made := read[wireToken](t, w.do(t, mtls, "POST", tokensPath, `{"name":" ends ","end_date":"2026-11-22T19:00:02+09:00","user_id":"`+uuidOf(id)+`"}`), 201)
	if made.Name != "ends" || *made.EndDate != "2026-11-22T10:00:02Z" {
		t.Fatalf("the token is %+v", made)
	}
	one := tokensPath + "/" + made.ID
	change := func(in string) wireToken {
		t.Helper()
		return read[wireToken](t, w.do(t, mtls, "PUT", one, in), 200)
	}
	if k := change(`{}`); k.Name != "ends" || *k.EndDate != *made.EndDate || !k.Enabled {
		t.Errorf("a change of nothing makes %+v", k)
	}
	if k := change(`{"name":"Ends 2","end_date":null}`); k.Name != "Ends 2" || k.EndDate != nil {
		t.Errorf("the token is %+v", k)
	}
	if k := change(`{"end_date":"2026-11-22T10:00:01.9Z"}`); *k.EndDate != "2026-11-22T10:00:01Z" {
		t.Errorf("the token is %+v", k)
	}
	w.clock.Advance(1999 * time.Millisecond)
	read[wireUser](t, w.do(t, client{key: made.Token}, "GET", usersPath+"/me", ""), 200)
	w.clock.Advance(time.Millisecond)
	w.do(t, client{key: made.Token}, "GET", usersPath+"/me", "").mustBe(t, 401, bodyKey)
	for _, in := range []string{`{"end_date":"2027-01-01"}`, `{"end_date":null}`, `{"name":"late"}`, `{"enabled":false}`} {
		w.do(t, mtls, "PUT", one, in).mustBe(t, 400,
			`{"errors":[{"code":"invalid_request","message":"The API token has expired: it cannot be changed. Make a new one."}]}`)
	}
	if k := read[wireToken](t, w.do(t, mtls, "GET", one, ""), 200); k.Name != "Ends 2" || !k.Enabled {
		t.Errorf("the expired token is %+v", k)
	}
	w.do(t, mtls, "DELETE", one, "").mustBe(t, 204, "")
}

// TestTokenRefusals goes through what the routes of tokens refuse.
func TestTokenRefusals(t *testing.T) {
	w := newWorld(t, nil)
	manager, managerID := w.serviceUser(t, "manager", time.Time{}, "AM_USER_MANAGER")
	viewer, _ := w.serviceUser(t, "viewer", time.Time{}, "AM_VIEW_ONLY")
	none, noneID := w.serviceUser(t, "none", time.Time{})
	_, serviceID := w.serviceUser(t, "build", time.Time{}, "SM_SIGNER")
	_, adminID := w.serviceUser(t, "admin", time.Time{}, "AM_ACCOUNT_ADMIN")
	service, admin := uuidOf(serviceID), uuidOf(adminID)
	made := read[wireToken](t, w.do(t, manager, "POST", tokensPath, `{"name":"build","user_id":"`+service+`"}`), 201)
	if made.UserID != service {
		t.Errorf("the token is %+v", made)
	}
	one, unknown := tokensPath+"/"+made.ID, tokensPath+"/"+uuidOf(telamon.NewAPITokenID())
	w.try(t, map[string]attempt{
		"a stranger lists":             {client{}, "GET", tokensPath, "", 401, bodyKey},
		"a stranger makes one":         {client{}, "POST", tokensPath, "{", 401, bodyKey},
		"no user":                      {manager, "GET", tokensPath, "", 400, invalid("user_id", "is required")},
		"a user that is no ID":         {manager, "GET", tokensPath + "?user_id=me", "", 400, invalid("user_id", "has to be a UUID")},
		"two users":                    {manager, "GET", tokensPath + "?user_id=" + service + "&user_id=" + service, "", 400, invalid("user_id", "is given twice")},
		"a user who is not there":      {manager, "GET", tokensPath + "?user_id=" + uuidOf(telamon.NewUserID()), "", 404, bodyNoUser},
		"another's":                    {none, "GET", tokensPath + "?user_id=" + service, "", 404, bodyNoUser},
		"another's token":              {none, "GET", one, "", 404, bodyNoToken},
		"another's token to change":    {none, "PUT", one, "{", 404, bodyNoToken},
		"another's token to end":       {none, "DELETE", one, "", 404, bodyNoToken},
		"no such token":                {manager, "GET", unknown, "", 404, bodyNoToken},
		"no such token to change":      {manager, "PUT", unknown, "{", 404, bodyNoToken},
		"no such token to end":         {manager, "DELETE", unknown, "", 404, bodyNoToken},
		"no ID":                        {manager, "GET", tokensPath + "/build", "", 404, bodyNoToken},
		"a viewer changes one":         {viewer, "PUT", one, "{", 403, bodyDenied},
		"a viewer ends one":            {viewer, "DELETE", one, "", 403, bodyDenied},
		"a viewer makes one":           {viewer, "POST", tokensPath, `{"name":"x","user_id":"` + service + `"}`, 403, bodyDenied},
		"somebody makes one":           {none, "POST", tokensPath, `{"name":"x","user_id":"` + service + `"}`, 404, bodyNoUser},
		"for a user who is not there":  {manager, "POST", tokensPath, `{"name":"x","user_id":"` + uuidOf(telamon.NewUserID()) + `"}`, 404, bodyNoUser},
		"for a user who is no ID":      {manager, "POST", tokensPath, `{"name":"x","user_id":"me"}`, 400, invalid("user_id", "has to be a UUID")},
		"for a user with more rights":  {manager, "POST", tokensPath, `{"name":"x","user_id":"` + admin + `"}`, 403, bodyDenied},
		"a method that is not there":   {manager, "POST", one, "{}", 405, bodyMethod},
		"another type of body":         {manager, "POST", tokensPath, "text", 415, bodyType},
		"no name":                      {manager, "POST", tokensPath, `{}`, 400, invalid("name", nameRule)},
		"a name of a blank":            {manager, "POST", tokensPath, `{"name":" "}`, 400, invalid("name", nameRule)},
		"a name with a dot":            {manager, "PUT", one, `{"name":"a.b"}`, 400, invalid("name", nameRule)},
		"a huge name":                  {manager, "PUT", one, `{"name":"` + strings.Repeat("x", 500<<10) + `"}`, 400, invalid("name", nameRule)},
		"a date in the past":           {manager, "PUT", one, `{"end_date":"2026-11-21"}`, 400, invalid("end_date", "is not in the future")},
		"an empty date":                {manager, "POST", tokensPath, `{"name":"x","end_date":""}`, 400, invalid("end_date", field.EndRule)},
		"a date that looks like none":  {manager, "POST", tokensPath, `{"name":"x","end_date":"0001-01-01T00:00:00Z"}`, 400, invalid("end_date", field.EndRule)},
		"an hour of one digit":         {manager, "PUT", one, `{"end_date":"2027-01-01T1:00:00Z"}`, 400, invalid("end_date", field.EndRule)},
		"a word for enabled":           {manager, "PUT", one, `{"enabled":"yes"}`, 400, invalid("enabled", "has to be true or false")},
		"a name that is taken":         {manager, "POST", tokensPath, `{"name":"BUILD","user_id":"` + service + `"}`, 409, taken("BUILD")},
		"a taken name for a change":    {manager, "PUT", one, `{"name":"default"}`, 409, taken("default")},
		"the same name, own token":     {manager, "POST", tokensPath, `{"name":"build"}`, 201, ""},
		"the own list":                 {none, "GET", tokensPath + "?user_id=" + strings.ToUpper(uuidOf(noneID)), "", 200, ""},
		"a list of a viewer":           {viewer, "GET", tokensPath + "?user_id=" + uuidOf(managerID) + "&limit=1&offset=1", "", 200, ""},
		"a list that begins too early": {viewer, "GET", tokensPath + "?user_id=" + service + "&offset=-1", "", 400, ""},
	})
	if k := read[wireToken](t, w.do(t, manager, "GET", one, ""), 200); k.Name != "build" || !k.Enabled || k.EndDate != nil {
		t.Errorf("what was refused left %+v", k)
	}
}
