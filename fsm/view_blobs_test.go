package fsm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestDigests: every blob that a tenant or a run names, once, page by page.
func TestDigests(t *testing.T) {
	cd, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	s := newState(cd)
	want := map[api.Digest]bool{}
	digest := func(n int) api.Digest { return api.Digest(fmt.Sprintf("sha256:%064d", n)) }
	for n := range 10 {
		if n%2 == 0 {
			s.putBlob(BlobRef{Tenant: "acme", Digest: digest(n)})
			s.putBlob(BlobRef{Tenant: "other", Digest: digest(n)})
			want[digest(n)] = true
		}
		if n%3 == 0 {
			s.putRun(api.Run{ID: api.RunID(fmt.Sprint("r-", n)), Module: digest(n)})
			want[digest(n)] = true
		}
	}
	v := s.publish()
	for limit := range 8 {
		var got []api.Digest
		for page := v.Digests("", limit+1); len(page) > 0; page = v.Digests(page[len(page)-1], limit+1) {
			got = append(got, page...)
		}
		if len(got) != len(want) || !slices.IsSorted(got) {
			t.Fatalf("pages of %d: %d of %d: %v", limit+1, len(got), len(want), got)
		}
		for _, d := range got {
			if !want[d] {
				t.Errorf("%s is not referred to", d)
			}
		}
	}
}
