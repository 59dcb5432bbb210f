package rumor

import (
	"strings"
	"testing"
)

func TestMetaDecoder(t *testing.T) {
	good := `{"node_id":"s1","url":"u","from_a_later_release":1}`
	if m, err := DecodeMeta("s1", []byte(good)); err != nil || m.URL != "u" {
		t.Errorf("got %+v, %v", m, err)
	}
	for name, b := range map[string]string{
		"nothing": "", "not JSON": "x", "another node": `{"node_id":"s2"}`, "too large": `{"node_id":"s1","url":"` + strings.Repeat("x", 600) + `"}`,
		"a negative expectation": `{"node_id":"s1","expect":-1}`,
	} {
		if _, err := DecodeMeta("s1", []byte(b)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := DecodeMeta("S1", []byte(`{"node_id":"S1"}`)); err == nil {
		t.Error("a bad name was taken")
	}
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"node_id":"s1","url":"https://127.0.0.1:1","raft_addr":"127.0.0.1:2","expect":3,"has_state":true,"version":"1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeMeta("s1", b); err == nil && m.Node != "s1" {
			t.Errorf("took the meta of %q", m.Node)
		}
	})
}
