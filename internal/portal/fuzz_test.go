package portal_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/portal"
)

// FuzzApprovePath holds that whatever stands in a request's target, the desk is
// asked for nothing but plain values, GET approves nothing, there is no redirect,
// and nothing of the target comes back.
func FuzzApprovePath(f *testing.F) {
	f.Add(link)
	f.Fuzz(func(t *testing.T, target string) {
		address, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			d := newDesk("shop.example.com")
			handler := portal.New(portal.Config{Approvals: d, Log: slog.New(slog.DiscardHandler)})
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, &http.Request{
				Method: method, URL: address, Host: "localhost", RequestURI: target, Header: http.Header{}, Body: http.NoBody,
			})
			checkHeaders(t, w.Header())
			_, approved := d.calls()
			if isLink := address.Path == link; (w.Code == http.StatusOK && !strings.HasPrefix(address.Path, "/assets/")) != isLink ||
				approved > 0 != (isLink && method == http.MethodPost) {
				t.Errorf("%s %q = %d, %d approvals", method, target, w.Code, approved)
			}
			for _, v := range d.values {
				if len(v) == 0 || len(v) > 256 || strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
					t.Errorf("%s %q asks for %q", method, target, v)
				}
			}
			last := target[strings.LastIndex(target, "/")+1:]
			if len(last) > 20 && strings.Contains(w.Body.String(), last) && !strings.HasPrefix(address.Path, "/assets/") {
				t.Errorf("%s %q comes back:\n%s", method, target, w.Body)
			}
		}
	})
}
