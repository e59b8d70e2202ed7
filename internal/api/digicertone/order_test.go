package digicertone

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestOrderOfChecks holds that a route says what the caller lacks before what is wrong with
// the request: the permission, then the object, then the members and parameters
// (digicert-one.md, Section 3.3, steps 5 to 7). Each request is wrong in all that comes
// after.
func TestOrderOfChecks(t *testing.T) {
	w := newWorld(t, nil)
	owner, ownerID := w.serviceUser(t, "owner", time.Time{})
	none, _ := w.serviceUser(t, "none", time.Time{})
	viewer, _ := w.serviceUser(t, "viewer", time.Time{}, "AM_VIEW_ONLY")
	manager, _ := w.serviceUser(t, "manager", time.Time{}, "AM_USER_MANAGER")
	signs, reads := w.signerWith(t, w.account, "signs", "SM_SIGNER"), w.signerWith(t, w.account, "reads", "SM_KEY_MANAGER")
	signer, reader := client{auth: true, cert: signs.cert}, client{auth: true, cert: reads.cert}
	cert, _ := w.newCert(t, owner, "cert")
	pair := w.keyPair(t, w.account, "release", tbs.ECP256)
	const (
		noCert  = `{"errors":[{"code":"resource_not_found","message":"Client authentication certificate not found"}]}`
		auditIn = "/account/api/v1/audit-log?limit=0"
	)
	enable, unknown := certsPath+"/"+cert.ID+"/enable", uuidOf(telamon.NewUserID())
	forOwner, forNobody := `{"name":"/","end_date":"soon","user_id":"`+uuidOf(ownerID)+`"}`, `{"name":"/","end_date":"soon","exp":1,"user_id":"`+unknown+`"}`
	w.try(t, map[string]attempt{
		"users without the permission":              {none, "GET", usersPath + "?status=x", "", 403, bodyDenied},
		"the audit log without the permission":      {none, "GET", auditIn, "", 403, bodyDenied},
		"roles without the permission":              {none, "GET", "/account/api/v1/role?limit=0", "", 403, bodyDenied},
		"key pairs without the permission":          {none, "GET", keyPairsPath + "?limit=0", "", 403, bodySigningDenied},
		"their certificates without the permission": {none, "GET", certificatesPath + "?limit=0", "", 403, bodySigningDenied},
		"a certificate of another user":             {none, "PUT", enable, "{", 404, noCert},
		"a certificate that one may read":           {viewer, "PUT", enable, "{", 403, bodyDenied},
		"no certificate":                            {manager, "PUT", certsPath + "/" + unknown + "/enable", "{", 404, noCert},
		"the own certificate":                       {owner, "PUT", enable, "{", 400, invalid("body", "is not JSON")},
		"a certificate for another user":            {none, "POST", certsPath, forOwner, 404, bodyNoUser},
		"a certificate for a user one may read":     {viewer, "POST", certsPath, forOwner, 403, bodyDenied},
		"a certificate for nobody":                  {manager, "POST", certsPath, forNobody, 404, bodyNoUser},
		"a key for nobody":                          {manager, "POST", certsPath + "/generate", forNobody, 404, bodyNoUser},
		"a token for another user":                  {none, "POST", tokensPath, forOwner, 404, bodyNoUser},
		"a token for a user one may read":           {viewer, "POST", tokensPath, forOwner, 403, bodyDenied},
		"a token for nobody":                        {manager, "POST", tokensPath, forNobody, 404, bodyNoUser},
		"a signature without the permission":        {reader, "POST", signPathOf(pair), "{", 403, bodySigningDenied},
		"a signature by no key pair":                {signer, "POST", keyPairsPath + "/" + unknown + "/sign", "{", 404, bodyNoKeyPair},
		"a signature of nothing":                    {signer, "POST", signPathOf(pair), "{", 400, `{"error":{"status":"invalid_request","message":"body: is not JSON"}}`},
	})
}
