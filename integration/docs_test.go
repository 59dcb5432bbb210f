package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api/mutant"
)

// TestConsistencyPage: what docs/consistency.md names is there, each name in the file that it
// stands behind, so that whoever audits a promise finds its code and its test.
func TestConsistencyPage(t *testing.T) {
	b, err := os.ReadFile("../docs/consistency.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	reference := regexp.MustCompile("`([\\w./-]+\\.go)`((?:,?\\s+`\\w+`)*)")
	name := regexp.MustCompile("`(\\w+)`")
	tests := 0
	for _, ref := range reference.FindAllStringSubmatch(page, -1) {
		src, err := os.ReadFile(filepath.Join("..", ref[1]))
		if err != nil {
			t.Errorf("the page names %s, and it is not there", ref[1])
			continue
		}
		for _, n := range name.FindAllStringSubmatch(ref[2], -1) {
			declared := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |const |var |\t)` + n[1] + `\b`)
			if !declared.Match(src) {
				t.Errorf("the page says that %s has %s", ref[1], n[1])
			}
			if strings.HasPrefix(n[1], "Test") {
				tests++
			}
		}
	}
	if tests < 100 {
		t.Errorf("the page names %d tests: is it written as this test reads it?", tests)
	}
	for _, part := range regexp.MustCompile("Mutants?:\\s+((?:`[a-z-]+`(?:,\\s+)?)+)").FindAllStringSubmatch(page, -1) {
		for _, n := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(part[1], -1) {
			if !slices.Contains(mutant.All(), mutant.Fault(n[1])) {
				t.Errorf("the page names a fault %s, and there is none", n[1])
			}
		}
	}
	for _, f := range mutant.All() {
		if !strings.Contains(page, "`"+string(f)+"`") {
			t.Errorf("the fault %s belongs to no promise of the page", f)
		}
	}
}
