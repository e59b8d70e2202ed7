package digicertone

import (
	"fmt"
	"testing"
)

// The bodies of refusals that do not name what is wrong, to the letter.
const (
	bodyNoAuth    = `{"errors":[{"code":"AUTHORIZATION_ERROR","message":"No authentication data provided"}]}`
	bodyKey       = `{"errors":[{"code":"invalid_api_key","message":"Missing or invalid API key"}]}`
	bodyDenied    = `{"errors":[{"code":"access_denied","message":"You do not have permission to perform this operation"}]}`
	bodyNoPath    = `{"errors":[{"code":"INTERNAL_SERVER_ERROR","message":"Path not found"}]}`
	bodyNoUser    = `{"errors":[{"code":"resource_not_found","message":"User not found"}]}`
	bodyNoToken   = `{"errors":[{"code":"resource_not_found","message":"API access token not found"}]}`
	bodyMethod    = `{"errors":[{"code":"invalid_request","message":"Method not allowed"}]}`
	bodyType      = `{"errors":[{"code":"invalid_request","message":"Content-Type must be application/json"}]}`
	bodyMisdirect = `{"errors":[{"code":"invalid_request","message":"Misdirected request"}]}`
)

// nameRule is what is told of names that cannot be.
const nameRule = "must be a text of 1 to 255 letters, numbers, spaces, dashes and underscores"

// invalid is the body that names one member that is wrong.
func invalid(member, problem string) string {
	return fmt.Sprintf(`{"errors":[{"code":"invalid_request","message":%q,"field":%q}]}`, member+": "+problem, member)
}

// taken is the body that says that a name is in use.
func taken(name string) string {
	return `{"errors":[{"code":"duplicate_error","message":"Nickname ` + name + ` already exists. Enter a different nickname."}]}`
}

// An attempt is a request and how it is answered.
type attempt struct {
	by                 client
	method, path, body string // the body "text" is announced as text
	status             int
	answer             string // its body; "": any
}

// try makes the attempts, by what they try.
func (w *world) try(t *testing.T, attempts map[string]attempt) {
	t.Helper()
	for what, tt := range attempts {
		header := []string{}
		if tt.body == "text" {
			header = []string{"Content-Type", "text/plain"}
		}
		a := w.do(t, tt.by, tt.method, tt.path, tt.body, header...)
		if a.status != tt.status || tt.answer != "" && a.body != tt.answer || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %.300s, want %d %s", what, a.status, a.body, tt.status, tt.answer)
		}
	}
}
