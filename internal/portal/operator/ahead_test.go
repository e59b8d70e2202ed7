package operator

import (
	"slices"
	"testing"

	"github.com/telamon-ca/telamon/internal/portal/page"
)

// TestAhead puts what is urgent before however many others, each once.
func TestAhead(t *testing.T) {
	same := func(n *int) int { return *n }
	if all := ahead([]int{7, 3}, []int{9, 3, 8, 7}, same); !slices.Equal(all, []int{7, 3, 9, 8}) {
		t.Errorf("the list is %v", all)
	}
	others := make([]int, page.MaxRows)
	for i := range others {
		others[i] = i + 1
	}
	if all := ahead([]int{-1}, others, same); len(all) != page.MaxRows || all[0] != -1 || all[1] != 1 {
		t.Errorf("of a flood, the list has %d, and begins with %v", len(all), all[:2])
	}
	if all := ahead(nil, []int(nil), same); len(all) != 0 {
		t.Errorf("nothing is %v", all)
	}
}
