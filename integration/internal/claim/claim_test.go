package claim

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTake: two living claims differ, and only what nobody holds is swept.
func TestTake(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skipf("claims are kept in %s, which needs root", dir)
	}
	const kind = "claimtest"
	t.Cleanup(func() {
		files, err := filepath.Glob(filepath.Join(dir, kind+"*"))
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				t.Error(err)
			}
		}
	})
	var swept []string
	take := func() *Claim {
		t.Helper()
		c, err := Take(kind, func(tag string) error { swept = append(swept, tag); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := take(), take()
	if a.Number == b.Number || a.Tag == b.Tag || len(swept) > 0 {
		t.Errorf("two claims: %s and %s, swept %v", a.Tag, b.Tag, swept)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	c := take()
	if c.Number != a.Number || !slices.Equal(swept, []string{a.Tag}) {
		t.Errorf("after %s was released: %s, swept %v", a.Tag, c.Tag, swept)
	}
	for _, held := range []*Claim{b, c} {
		if err := held.Release(); err != nil {
			t.Error(err)
		}
	}
}
