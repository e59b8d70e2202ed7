package app

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon/internal/retention"
)

// termsEvery is how often it is seen whether certificates lack what they are found by.
const termsEvery = time.Minute

// indexTerms makes what certificates of earlier releases are found by. Others have the
// database for most of the time.
func (a *App) indexTerms(ctx context.Context) error {
	return a.Store.IndexTerms(ctx, retention.Pace)
}
