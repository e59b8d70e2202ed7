package iam_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/iam"
)

// BenchmarkAuthenticateUser measures what each request of a user costs before its route.
func BenchmarkAuthenticateUser(b *testing.B) {
	w := newWorld(b, sqlite(b))
	m := w.newMachine(b, w.account, "alpha", time.Time{})
	for _, bench := range []struct {
		name  string
		shown iam.Shown
	}{
		{"key", iam.Shown{Key: m.key}},
		{"cert", iam.Shown{Certificate: m.der}},
		{"both", iam.Shown{Key: m.key, Certificate: m.der}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			shown := bench.shown
			shown.AsksCertificate, shown.Address = true, home
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.AuthenticateUser(b.Context(), shown); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
