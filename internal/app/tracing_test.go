package app_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
)

// TestTracing checks that a collector gets the trace of a request, and that no
// token or secret is in it.
func TestTracing(t *testing.T) {
	sent := make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	dir := t.TempDir()
	cfg := app.DefaultConfig()
	cfg.Database = "sqlite:" + filepath.Join(dir, "telamon.db")
	cfg.Keys = app.KeysConfig{Dir: filepath.Join(dir, "keys"), KEKFile: filepath.Join(dir, "kek")}
	cfg.StatusBaseURL, cfg.Names.Atlas = "http://pki.test", []string{"localhost"}
	cfg.Listen, cfg.StatusListen, cfg.MetricsListen, cfg.AdminSocket = "127.0.0.1:0", "127.0.0.1:0", "", ""
	cfg.Tracing = app.TracingConfig{Endpoint: collector.URL, Ratio: 1}
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	if err := app.Init(ctx, cfg, app.InitOptions{MakeKEK: true}, telamon.SystemClock{}, log); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(ctx, cfg, telamon.SystemClock{}, log, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	server, err := a.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	client := insecureClient()
	res, err := client.Post("https://"+server.Addr.String()+"/v2/login", "application/json",
		strings.NewReader(`{"api_key":"0123456789abcdef","api_secret":"0123456789abcdef0123456789abcdef01234567"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"https://"+server.Addr.String()+"/account/api/v1/client-auth-certificate/x/p12?token=0123456789abcdef", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", "0123456789abcdef")
	if res, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	client.CloseIdleConnections()
	stop() // which sends what is left
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for len(sent) > 0 {
		all.WriteString(<-sent)
	}
	if !strings.Contains(all.String(), "/v1/traces") || !strings.Contains(all.String(), "telamon") {
		t.Errorf("the collector got %q", all.String())
	}
	if !strings.Contains(all.String(), "/p12") {
		t.Error("the trace of a download is not there, so this proves nothing")
	}
	if strings.Contains(all.String(), "0123456789abcdef") {
		t.Error("a trace holds a key or secret")
	}
}

// insecureClient trusts any server: it talks to this process.
func insecureClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}
