package api

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// LeaseKind is the resource that a lease is for.
type LeaseKind string

// The lease kinds; their unit is in the package comment.
const (
	KindCPU   LeaseKind = "cpu"
	KindMem   LeaseKind = "mem"
	KindBlock LeaseKind = "block"
	KindNet   LeaseKind = "net"
	KindGPU   LeaseKind = "gpu"
)

// LeaseKinds lists every kind in the order in which a request's leases are granted.
func LeaseKinds() []LeaseKind { return []LeaseKind{KindCPU, KindMem, KindBlock, KindNet, KindGPU} }

// Unit returns the unit of the kind's amounts, for people.
func (k LeaseKind) Unit() string {
	switch k {
	case KindCPU:
		return "millicores"
	case KindMem, KindBlock:
		return "bytes"
	case KindNet:
		return "bits/s"
	case KindGPU:
		return "devices"
	}
	return "units"
}

// BlockSize is the size in bytes of one block of a block lease.
const BlockSize = 512

// MaxAmount bounds every amount, so that sums over a fleet cannot overflow.
const MaxAmount = math.MaxInt64 / (1 << 20)

// Resources is a vector of amounts, one per lease kind. Zero means none.
type Resources struct {
	CPU   int64 `json:"cpu"`
	Mem   int64 `json:"mem"`
	Block int64 `json:"block"`
	Net   int64 `json:"net"`
	GPU   int64 `json:"gpu"`
}

// Get returns the amount of one kind; zero for a kind that does not exist.
func (r Resources) Get(k LeaseKind) int64 {
	switch k {
	case KindCPU:
		return r.CPU
	case KindMem:
		return r.Mem
	case KindBlock:
		return r.Block
	case KindNet:
		return r.Net
	case KindGPU:
		return r.GPU
	}
	return 0
}

// With returns r with the amount of kind k replaced.
func (r Resources) With(k LeaseKind, amount int64) Resources {
	switch k {
	case KindCPU:
		r.CPU = amount
	case KindMem:
		r.Mem = amount
	case KindBlock:
		r.Block = amount
	case KindNet:
		r.Net = amount
	case KindGPU:
		r.GPU = amount
	}
	return r
}

// Add returns r + s.
func (r Resources) Add(s Resources) Resources {
	return Resources{r.CPU + s.CPU, r.Mem + s.Mem, r.Block + s.Block, r.Net + s.Net, r.GPU + s.GPU}
}

// Sub returns r - s; a component may become negative.
func (r Resources) Sub(s Resources) Resources {
	return Resources{r.CPU - s.CPU, r.Mem - s.Mem, r.Block - s.Block, r.Net - s.Net, r.GPU - s.GPU}
}

// Fits reports whether ask fits into r in every dimension. It is the one fit
// function: placement decides with it and the state machine guards with it.
func (r Resources) Fits(ask Resources) bool {
	return ask.CPU <= r.CPU && ask.Mem <= r.Mem && ask.Block <= r.Block && ask.Net <= r.Net && ask.GPU <= r.GPU
}

// Short returns the kinds in which ask does not fit into r, in order.
func (r Resources) Short(ask Resources) []LeaseKind {
	var short []LeaseKind
	for _, k := range LeaseKinds() {
		if ask.Get(k) > r.Get(k) {
			short = append(short, k)
		}
	}
	return short
}

// IsZero reports whether every amount is zero.
func (r Resources) IsZero() bool { return r == Resources{} }

// Floor returns r with negative amounts raised to zero.
func (r Resources) Floor() Resources {
	return Resources{max(r.CPU, 0), max(r.Mem, 0), max(r.Block, 0), max(r.Net, 0), max(r.GPU, 0)}
}

// CheckAsk refuses a request that asks for nothing, for a negative amount, for more
// than MaxAmount of anything, or for block bytes that are not whole blocks.
func (r Resources) CheckAsk() error {
	for _, k := range LeaseKinds() {
		n := r.Get(k)
		if n < 0 {
			return Refuse(InvalidArgument, "%s is %d: an amount cannot be negative", k, n)
		}
		if n > MaxAmount {
			return Refuse(InvalidArgument, "%s is %d: an amount is at most %d %s", k, n, int64(MaxAmount), k.Unit())
		}
	}
	if r.Block%BlockSize != 0 {
		return Refuse(InvalidArgument, "block is %d bytes: it must be a multiple of %d", r.Block, BlockSize)
	}
	if r.IsZero() {
		return Refuse(InvalidArgument, "nothing is asked for: give at least one of cpu, mem, block, net, gpu above zero")
	}
	return nil
}

// ParseSize reads plain bytes or a number with K, M, G or T (powers of 1024); a
// trailing B or iB is allowed. It refuses what is negative, fractional or overflows.
func ParseSize(s string) (int64, error) {
	num := strings.TrimSpace(s)
	num = strings.TrimSuffix(strings.TrimSuffix(num, "B"), "i")
	shift := uint(0)
	if num != "" {
		switch num[len(num)-1] {
		case 'K', 'k':
			shift = 10
		case 'M', 'm':
			shift = 20
		case 'G', 'g':
			shift = 30
		case 'T', 't':
			shift = 40
		}
	}
	if shift > 0 {
		num = num[:len(num)-1]
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n < 0 || n > MaxAmount>>shift {
		return 0, Refuse(InvalidArgument, "size %q is not a whole number of bytes, optionally with K, M, G or T, of at most %d bytes",
			clip(s, 40), int64(MaxAmount))
	}
	return n << shift, nil
}

// FormatSize prints bytes with the largest power of 1024 that fits, one decimal at most.
func FormatSize(n int64) string {
	const units = "KMGTPE"
	if n < 1024 && n > -1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/1024, 0
	for (f >= 1024 || f <= -1024) && i < len(units)-1 {
		f /= 1024
		i++
	}
	s := strconv.FormatFloat(f, 'f', 1, 64)
	return fmt.Sprintf("%s %ciB", strings.TrimSuffix(s, ".0"), units[i])
}
