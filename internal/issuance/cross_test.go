package issuance_test

import (
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/lint"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// TestCrossSignStrictly holds a cross certificate by a strict root to the rules of strict
// CAs, also in a dry run: it has a policy, and what the lints refuse is not signed.
func TestCrossSignStrictly(t *testing.T) {
	w := newWorld(t, tbs.ECP256, tlsSeries)
	linter, err := lint.New(lint.Config{})
	if err != nil {
		t.Fatal(err)
	}
	engine := issuance.New(issuance.Config{Keys: w.keys, Clock: w.clock, StatusBaseURL: "http://status.example", Lint: linter.Check})
	root := func(name string) *telamon.Issuer {
		made, err := engine.CreateHierarchy(t.Context(), issuance.HierarchySpec{
			Name: name, Kind: telamon.HierarchyStrictTLS, Country: "XX", Organization: "Example", RootKeyType: tbs.ECP256, RootYears: 20,
			Series: []issuance.SeriesSpec{{Name: name + "-ec", KeyType: tbs.ECP256, EKUFamily: telamon.EKUTLS, Years: 5}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return &made.Issuers[0]
	}
	spec := issuance.CrossSpec{
		Signer: root("strict"), Hierarchy: telamon.HierarchyStrictTLS, Subject: root("strict-next").Certificate, NotAfter: w.clock.Now().AddDate(5, 0, 0),
	}
	if err := engine.CheckCrossSign(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	cert, err := engine.CrossSign(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if got := cert.Policies; len(got) != 1 || got[0].String() != "2.5.29.32.0" {
		t.Errorf("the cross certificate has the policies %v, want anyPolicy", got)
	}
	spec.Subject = w.made.Issuers[0].Certificate // a private one, without a country
	_, err = engine.CrossSign(t.Context(), spec)
	for _, err := range []error{err, engine.CheckCrossSign(t.Context(), spec)} {
		if f := fault.From(err); f.Code != "lint" || len(f.Fields) != 1 || f.Fields[0].Path != "e_ca_country_name_missing" {
			t.Errorf("a root that strict rules refuse: %v", err)
		}
	}
}
