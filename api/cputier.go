package api

import (
	"net/url"
	"slices"
)

// CPUTier says how a cell keeps the share of a cpu lease.
type CPUTier string

// The tiers. A weight counts while workers compete, and a quota caps as well. CPUReservation is a
// lease without a run: its amount is counted, and nothing runs under it.
const (
	CPUWeightV1    CPUTier = "cgroup_v1_weight"
	CPUQuotaV1     CPUTier = "cgroup_v1_quota"
	CPUWeightV2    CPUTier = "cgroup_v2_weight"
	CPUQuotaV2     CPUTier = "cgroup_v2_quota"
	CPUNice        CPUTier = "nice"
	CPUReservation CPUTier = "reservation"
)

// Valid reports whether the tier is one of those that exist.
func (t CPUTier) Valid() bool {
	return slices.Contains([]CPUTier{CPUWeightV1, CPUQuotaV1, CPUWeightV2, CPUQuotaV2, CPUNice, CPUReservation}, t)
}

// tierKey is the parameter of a coordinate that says the tier.
const tierKey = "cpu"

// WithTier returns a coordinate that says the tier.
func (t CPUTier) WithTier(coordinate string) string {
	return coordinate + "?" + tierKey + "=" + string(t)
}

// CPUTier returns how the lease's cell keeps its share, as its coordinate says; "" is that the lease is
// not bound, or not of cpu.
func (l Lease) CPUTier() CPUTier {
	if l.Kind != KindCPU || l.Coordinate == "" {
		return ""
	}
	if l.RunID == "" {
		return CPUReservation
	}
	u, err := url.Parse(l.Coordinate)
	if err != nil {
		return ""
	}
	if t := CPUTier(u.Query().Get(tierKey)); t.Valid() {
		return t
	}
	return ""
}
