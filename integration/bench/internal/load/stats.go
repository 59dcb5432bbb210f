package load

import (
	"cmp"
	"slices"
	"time"
)

// Series are the runs of one system under one load, in the order they were made.
type Series []Run

// PerSecond is the median of what the runs did in a second, with the least and the most.
func (s Series) PerSecond() (median, least, most float64) {
	all := make([]float64, len(s))
	for i, r := range s {
		all[i] = r.PerSecond()
	}
	return Median(all), slices.Min(all), slices.Max(all)
}

// Latency is the median over the runs of their p-th percentile.
func (s Series) Latency(p int) time.Duration {
	all := make([]time.Duration, len(s))
	for i, r := range s {
		all[i] = Percentile(r.Took, p)
	}
	return Median(all)
}

// Failed counts the operations that failed in any run; first is the first failure.
func (s Series) Failed() (n int, first error) {
	for _, r := range s {
		n += r.Failed
		if first == nil {
			first = r.First
		}
	}
	return n, first
}

// Median returns the middle of values, the upper one of two; zero of none.
func Median[T cmp.Ordered](values []T) T { return Percentile(values, 50) }

// Percentile returns the value that p of a hundred of the values are not above; zero of none.
func Percentile[T cmp.Ordered](values []T, p int) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
