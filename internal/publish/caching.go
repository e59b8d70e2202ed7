package publish

import (
	"fmt"
	"time"

	"github.com/telamon-ca/telamon/internal/store"
)

// maxCaching is how long caches may keep a CRL: a revocation is on the next one within a
// minute, and through a cache within this time more.
const maxCaching = 5 * time.Minute

// CacheControl returns what caches may do with a CRL at an instant: keep it for a few
// minutes, and never beyond its nextUpdate.
func CacheControl(crl *store.CRL, now time.Time) string {
	age := min(maxCaching, crl.NextUpdate.Sub(now))
	if age < time.Second {
		return "no-cache"
	}
	return fmt.Sprintf("public, max-age=%d, must-revalidate", int(age.Seconds()))
}
