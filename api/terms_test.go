package api

import "testing"

func TestSameTerms(t *testing.T) {
	different := []*Terms{
		nil,
		{Egress: []string{"a:1"}},
		{Egress: []string{"a:1", "b:2"}},
		{GPU: &GPUTerms{Class: GPUShared}},
		{GPU: &GPUTerms{Class: GPUShared, ShareMilli: 1}},
		{GPU: &GPUTerms{Class: GPUShared, Devices: []int{0}}},
		{GPU: &GPUTerms{Class: GPUDeviceExclusive}},
		{Egress: []string{"a:1"}, GPU: &GPUTerms{Class: GPUShared}},
	}
	for i, a := range different {
		for j, b := range different {
			if b != nil {
				again := *b
				b = &again
			}
			if (Lease{Terms: a}).Same(Lease{Terms: b}) != (i == j) {
				t.Errorf("terms %d and %d", i, j)
			}
		}
	}
	if !(&Terms{}).Same(nil) || (Lease{Amount: 1}).Same(Lease{Amount: 2}) {
		t.Error("nothing is not nothing, or one is two")
	}
}
