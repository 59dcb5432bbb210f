package fsm

import "github.com/grafos/grafos/api"

// appendTerms writes the terms of a lease or run, which may be none.
func appendTerms(b []byte, t *api.Terms) []byte {
	if t == nil {
		t = &api.Terms{}
	}
	b = appendUint(b, uint64(len(t.Egress)))
	for _, e := range t.Egress {
		b = appendText(b, e)
	}
	if t.GPU == nil {
		return appendBool(b, false)
	}
	b = appendBool(b, true)
	b = appendText(b, t.GPU.Class)
	b = appendInt(b, t.GPU.ShareMilli)
	b = appendUint(b, uint64(len(t.GPU.Devices)))
	for _, d := range t.GPU.Devices {
		b = appendUint(b, uint64(d))
	}
	return b
}

// terms reads what appendTerms wrote; nil is none.
func (r *recordReader) terms() *api.Terms {
	t := &api.Terms{}
	if n := r.count(); n > 0 {
		t.Egress = make([]string, n)
		for i := range t.Egress {
			t.Egress[i] = r.text()
		}
	}
	switch r.byte() {
	case 0:
	case 1:
		t.GPU = &api.GPUTerms{Class: api.GPUClass(r.text()), ShareMilli: r.int()}
		if n := r.count(); n > 0 {
			t.GPU.Devices = make([]int, n)
			for i := range t.GPU.Devices {
				t.GPU.Devices[i] = int(r.uint()) //nolint:gosec // what is written is an ordinal
			}
		}
	default:
		r.bad = true
	}
	if t.Empty() {
		return nil
	}
	return t
}
