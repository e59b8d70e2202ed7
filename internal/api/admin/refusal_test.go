package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestRefusals sends what no client of ours sends, and looks at the whole answer.
func TestRefusals(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	do[admin.Account](w, post, "/accounts", admin.NewAccount{Name: "Acme"})
	const acme = "/accounts/Acme"
	tests := []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no JSON", post, "/accounts", "name=Acme", 400, "body_unreadable"},
		{"no body", post, "/accounts", "", 400, "body_unreadable"},
		{"half a body", post, "/accounts", `{"name":"Acme"`, 400, "body_unreadable"},
		{"an unknown member", post, "/accounts", `{"name":"New","state":"active"}`, 400, "body_unreadable"},
		{"a number for a text", post, "/accounts", `{"name":1}`, 400, "body_unreadable"},
		{"two bodies", post, "/accounts", `{"name":"New"}{}`, 400, "body_unreadable"},
		{"a list", post, "/accounts", `[]`, 400, "body_unreadable"},
		{"a large body", post, "/accounts", `{"name":"` + strings.Repeat("x", 5<<20) + `"}`, 400, "body_unreadable"},
		{"a name that is taken", post, "/accounts", `{"name":"Acme"}`, 409, "name_taken"},
		{"a time that is none", post, acme + "/identities/" + idOf("idn") + "/move", `{"to":"active","expires_at":"soon"}`, 400, "body_unreadable"},
		{"an account that is not there", get, "/accounts/nobody", "", 404, "account_not_found"},
		{"an account's ID that is not there", get, "/accounts/" + idOf("acc"), "", 404, "account_not_found"},
		{"an object of an account that is not there", get, "/accounts/nobody/users", "", 404, "account_not_found"},
		{"an ID that is none", get, acme + "/users/x", "", 404, "user_not_found"},
		{"an ID of another kind", get, acme + "/users/" + idOf("acc"), "", 404, "user_not_found"},
		{"no such user", get, acme + "/users/" + idOf("usr"), "", 404, "user_not_found"},
		{"no such identity", post, acme + "/identities/" + idOf("idn") + "/move", `{"to":"queued"}`, 404, "identity_not_found"},
		{"no such credential", post, acme + "/credentials/" + idOf("crd") + "/disable", "", 404, "credential_not_found"},
		{"no such certificate", get, acme + "/client-certificates/" + idOf("mtl"), "", 404, "client_certificate_not_found"},
		{"no such subscription", get, acme + "/subscriptions/" + idOf("sub") + "/lots", "", 404, "subscription_not_found"},
		{"no such service", get, "/services/none", "", 404, "service_not_found"},
		{"no such route", get, "/nothing", "", 404, "no_such_route"},
		{"the root", get, "/", "", 404, "no_such_route"},
		{"a wrong method", del, "/accounts", "", 405, "no_such_route"},
		{"a wrong method of an object", put, acme, "{}", 405, "no_such_route"},
		{"a limit of none", get, "/accounts?limit=0", "", 400, "limit"},
		{"a limit of too many", get, acme + "/users?limit=1001", "", 400, "limit"},
		{"a limit that is no number", get, "/audit/events?limit=ten", "", 400, "limit"},
		{"a time that is no time", get, "/audit/events?from=2028", "", 400, "from"},
		{"another one", get, "/audit/events?to=now", "", 400, "to"},
		{"neither true nor false", get, "/audit/events?newest=maybe", "", 400, "newest"},
		{"an event's ID that is none", get, "/audit/events?after=x", "", 400, "event_id"},
		{"events of no account", get, "/audit/events?account=nobody", "", 404, "account_not_found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := w.raw(tt.method, tt.path, tt.body)
			var problem admin.Problem
			decoder := json.NewDecoder(strings.NewReader(body))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&problem); err != nil {
				t.Fatalf("the answer is %s: %v", body, err)
			}
			if res.StatusCode != tt.status || problem.Status != tt.status || problem.Code != tt.code {
				t.Errorf("got %d, %+v, want %d %s", res.StatusCode, problem, tt.status, tt.code)
			}
			if problem.Type != "about:blank" || problem.Title != http.StatusText(tt.status) || problem.Detail == "" || problem.RequestID == "" {
				t.Errorf("the problem is %+v", problem)
			}
			if kind := res.Header.Get("Content-Type"); kind != "application/problem+json" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("its header is %v", res.Header)
			}
			if allow := res.Header.Get("Allow"); (allow != "") != (tt.status == http.StatusMethodNotAllowed) {
				t.Errorf("with %d, Allow is %q", tt.status, allow)
			}
		})
	}
	t.Run("fields", func(t *testing.T) {
		res, body := w.raw(post, acme+"/users", `{"email":"nobody","name":"","roles":["king"]}`)
		var problem admin.Problem
		if err := json.Unmarshal([]byte(body), &problem); err != nil || res.StatusCode != http.StatusUnprocessableEntity || len(problem.Fields) < 2 {
			t.Fatalf("got %d, %s, %v", res.StatusCode, body, err)
		}
		for _, field := range problem.Fields {
			if strings.Count(problem.Error(), field.Path+": "+field.Problem) != 1 {
				t.Errorf("%q is not said once:\n%s", field, problem.Error())
			}
		}
	})
	t.Run("a stranger's body changes nothing", func(t *testing.T) {
		if list := do[admin.List[admin.Account]](w, get, "/accounts", nil); len(list.Items) != 2 {
			t.Errorf("the accounts are %+v", list.Items)
		}
	})
}

// idOf returns an ID of a kind that names nothing.
func idOf(kind string) string {
	id := telamon.NewAccountID().String()
	return kind + strings.TrimPrefix(id, "acc")
}

// TestClientFails calls what is no server of ours.
func TestClientFails(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		err := admin.NewClient(filepath.Join(t.TempDir(), "s")).Do(t.Context(), get, "/status", nil, nil)
		if _, refused := errors.AsType[*admin.Problem](err); err == nil || refused {
			t.Errorf("got %v", err)
		}
	})
	socket := filepath.Join(socketDir(t), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/html":
			w.WriteHeader(http.StatusBadGateway)
			w.Write([]byte("<html>"))
		case "/broken":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			w.Write([]byte("{"))
		default:
			w.Write([]byte("no JSON"))
		}
	}
	server := &http.Server{Handler: http.HandlerFunc(answer)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	client := admin.NewClient(socket)
	for name, path := range map[string]string{"an error of a proxy": "/html", "half a problem": "/broken", "no JSON": "/other"} {
		t.Run(name, func(t *testing.T) {
			var into map[string]any
			err := client.Do(t.Context(), get, path, nil, &into)
			if _, refused := errors.AsType[*admin.Problem](err); err == nil || refused {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a caller who has gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := client.Do(ctx, get, "/other", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a body that is no JSON", func(t *testing.T) {
		if err := client.Do(t.Context(), post, "/other", make(chan int), nil); err == nil {
			t.Error("it was sent")
		}
	})
}
