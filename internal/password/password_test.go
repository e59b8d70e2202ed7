package password_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/password"
)

func TestProblem(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		ok             bool
	}{
		{"twelve characters", "ééééééééhorse", true},
		{"the longest", strings.Repeat("a", 1024), true},
		{"too short", "ééééééééééé", false},
		{"too long", strings.Repeat("a", 1025), false},
		{"no text", "correct horse\xff", false},
		{"none", "", false},
	} {
		if problem := password.Problem(tt.password); (problem == "") != tt.ok {
			t.Errorf("%s: Problem() = %q", tt.name, problem)
		}
	}
}

func TestHashAndVerify(t *testing.T) {
	h := password.NewHasher()
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("a new hash is %q: not of the cost that is promised", hash)
	}
	cheap := password.NewHasherOf(password.Cost{Memory: 8, Passes: 1, Threads: 1})
	if right, err := cheap.Verify(t.Context(), hash, "correct horse"); !right || err != nil {
		t.Errorf("a hash of another cost is verified as %v, %v", right, err)
	}
	for _, tt := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"the password", hash, "correct horse", true},
		{"another one", hash, "Correct horse", false},
		{"no password", hash, "", false},
		{"one that is too long", hash, strings.Repeat("correct horse", 100), false},
		{"no hash", "", "correct horse", false},
		{"neither", "", "", false},
	} {
		if got, err := h.Verify(t.Context(), tt.hash, tt.password); got != tt.want || err != nil {
			t.Errorf("%s: Verify() = %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := h.Verify(t.Context(), strings.Replace(hash, "t=2", "t=17", 1), "correct horse"); err == nil {
		t.Error("a hash that costs too much is verified")
	}
}

// FuzzHash reads stored hashes: only what was written so, and only at a bounded cost.
func FuzzHash(f *testing.F) {
	if seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", "FuzzHash")); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds, so this would prove nothing: %v", err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		again, memory, time, threads, err := password.ParseHash(text)
		if err == nil && (again != text || memory > 1<<20 || time < 1 || time > 16 || threads < 1 || threads > 16) {
			t.Fatalf("%q is read as %q of the cost %d, %d, %d", text, again, memory, time, threads)
		}
	})
}
