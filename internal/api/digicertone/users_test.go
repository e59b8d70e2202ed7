package digicertone

import (
	"strings"
	"testing"
	"time"
)

const (
	usersPath  = "/account/api/v1/user"
	tokensPath = "/account/api/v1/api-access-token"
)

// TestMe compares the whole answer to GET /user/me, whose members stand in the order that
// was seen, on both faces and by both factors.
func TestMe(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.robot(t, "CI-1", time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC), "AM_VIEW_ONLY", "AM_ACCOUNT_USER", "SM_SIGNER")
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
	none, _ := w.robot(t, "none", time.Time{})
	a := w.do(t, none, "GET", usersPath+"/me", "")
	if !strings.Contains(a.body, `"applications":[{"id":"78c0355a-e1ca-4978-b60c-e9d66b9e1f30","name":"Account Manager","permissions":[]}]`) || strings.Contains(a.body, "end_date") {
		t.Errorf("a user without roles is told %d %s", a.status, a.body)
	}
}
