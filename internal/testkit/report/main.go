// Command report reads what "go test -json" prints and shows the packages, what
// failed tests printed, and every test that was skipped. It exits with status 1 if
// a test failed or was skipped: here a skipped test is one that nobody runs.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// event is what the go command prints about a test (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	var (
		output          = map[string][]string{} // by package and test, until it passes
		passed          int
		failed, skipped []string
	)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(lines.Text())
			continue
		}
		name := strings.TrimSuffix(e.Package+" "+e.Test, " ")
		switch e.Action {
		case "output":
			output[name] = append(output[name], e.Output)
		case "build-output":
			fmt.Print(e.Output)
		case "pass":
			if e.Test == "" {
				fmt.Printf("ok    %-60s %.1fs\n", e.Package, e.Elapsed)
			} else {
				passed++
			}
			delete(output, name)
		case "fail":
			failed = append(failed, name)
			fmt.Printf("FAIL  %s\n%s", name, strings.Join(output[name], ""))
			delete(output, name)
		case "skip":
			if e.Test != "" {
				skipped = append(skipped, name)
				fmt.Printf("SKIP  %s\n%s", name, strings.Join(output[name], ""))
			}
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Println("report:", err)
		os.Exit(1)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, len(failed), len(skipped))
	if len(failed)+len(skipped) > 0 || passed == 0 {
		os.Exit(1)
	}
}
