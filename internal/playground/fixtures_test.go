package playground_test

import (
	"net/url"
	"testing"

	"github.com/telamon-ca/telamon/internal/api/atlas/atlastest"
)

// TestFixtures replays what real clients send against the listener.
func TestFixtures(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		u, err := url.Parse(w.Description.AtlasURL)
		if err != nil {
			t.Fatal(err)
		}
		credentials := map[string]atlastest.Credential{}
		for i := range w.Description.Credentials {
			c := &w.Description.Credentials[i]
			credentials[c.Name] = atlastest.Credential{Key: c.APIKey, Secret: c.APISecret, Certificate: w.pair(c)}
		}
		atlastest.RunScripts(t, atlastest.Scripts, &atlastest.Target{
			Addr: u.Host, ServerName: "localhost", Roots: w.roots(), Credentials: credentials,
			Now: w.clock.Now, Advance: w.advance, World: &applicant{w: w, t: t},
		})
	})
}
