package attest

import (
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestDeep: a message of nothing but lengths takes no time to refuse.
func TestDeep(t *testing.T) {
	c := newClouds(t)
	open := slices.Repeat([]byte{0x30, 0x80}, maxSigned/4)
	flat := []byte{0x30, 0x82, 0x1f, 0xfc}
	for name, raw := range map[string][]byte{
		"open":   open,
		"closed": append(slices.Clone(open[:len(open)-2]), append([]byte{0x30, 0}, slices.Repeat([]byte{0, 0}, maxSigned/4-2)...)...),
		"wide":   append(flat, slices.Repeat([]byte{0x30, 0}, (maxSigned-4)/2)...),
		"set":    append([]byte{0x30, 0x80}, slices.Repeat([]byte{0x30, 0x00}, (maxSigned-4)/2)...),
	} {
		began := time.Now()
		if _, err := c.verify(api.EvidenceAWS, base64.StdEncoding.EncodeToString(raw), mine(), now()); err == nil {
			t.Errorf("%s is taken", name)
		}
		if took := time.Since(began); took > 2*time.Second { // it takes 5 ms
			t.Errorf("%s takes %s", name, took)
		}
	}
}
