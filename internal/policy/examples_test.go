package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/policy"
)

// TestExamples checks that the policies that the documents show can be used.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "docs", "policies", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			template, err := policy.ParseModel(text)
			if err != nil {
				t.Fatal(err)
			}
			model, err := template.Bind(identity)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := policy.Compile(model, policy.Limits{EKUFamily: telamon.EKUTLS, KeyType: "EC-P256"}); err != nil {
				t.Error(err)
			}
		})
	}
}
