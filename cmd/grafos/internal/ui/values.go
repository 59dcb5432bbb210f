package ui

import (
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

// Size is a flag for bytes or bits: plain or with K, M, G or T. Given tells a flag that
// was not set from one that was set to its default.
type Size struct {
	N     int64
	Given bool
}

// String prints the size as Set reads it.
func (s *Size) String() string {
	if s == nil || s.N == 0 {
		return ""
	}
	n, units := s.N, "KMGT"
	unit := ""
	for n%1024 == 0 && units != "" {
		n, unit, units = n/1024, units[:1], units[1:]
	}
	return strconv.FormatInt(n, 10) + unit
}

// Set reads a size.
func (s *Size) Set(text string) error {
	n, err := api.ParseSize(text)
	if err != nil {
		return err
	}
	s.N, s.Given = n, true
	return nil
}

// Type names the value in help.
func (*Size) Type() string { return "size" }

// Number is a flag for a whole number that is not negative.
type Number struct {
	N     int64
	Given bool
}

// String prints the number.
func (n *Number) String() string {
	if n == nil || n.N == 0 {
		return ""
	}
	return strconv.FormatInt(n.N, 10)
}

// Set reads a number.
func (n *Number) Set(text string) error {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || v > api.MaxAmount {
		return api.Refuse(api.InvalidArgument, "%q is not a whole number from 0 to %d", Clean(text), int64(api.MaxAmount))
	}
	n.N, n.Given = v, true
	return nil
}

// Type names the value in help.
func (*Number) Type() string { return "number" }

// TTL is a flag for a time to live.
type TTL struct {
	D     time.Duration
	Given bool
}

// String prints the duration.
func (t *TTL) String() string {
	if t == nil || t.D == 0 {
		return ""
	}
	return t.D.String()
}

// Set reads a duration such as 60s, 5m or 24h. Plain numbers are refused, since nobody
// agrees on their unit.
func (t *TTL) Set(text string) error {
	d, err := ParseTTL(text)
	if err != nil {
		return err
	}
	t.D, t.Given = d, true
	return nil
}

// Type names the value in help.
func (*TTL) Type() string { return "duration" }

// ParseTTL reads a time to live and refuses one outside 1 s to 24 h.
func ParseTTL(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, api.Refuse(api.InvalidArgument, "ttl %q is not a duration such as 60s, 5m or 24h", Clean(text))
	}
	if err := api.CheckTTL(d.Milliseconds()); err != nil {
		return 0, err
	}
	return d, nil
}

// Limit is a flag for one limit of a quota: an amount, or unlimited.
type Limit struct {
	N     int64
	Given bool
	// Plain reads a plain number, as for cpu and gpu; otherwise a size.
	Plain bool
}

// String prints the limit as Set reads it.
func (l *Limit) String() string {
	switch {
	case l == nil || !l.Given:
		return ""
	case l.N == api.Unlimited:
		return "unlimited"
	}
	return strconv.FormatInt(l.N, 10)
}

// Set reads a limit.
func (l *Limit) Set(text string) error {
	if text == "unlimited" || text == strconv.Itoa(api.Unlimited) {
		l.N, l.Given = api.Unlimited, true
		return nil
	}
	var v Number
	var s Size
	var err error
	if l.Plain {
		err = v.Set(text)
		l.N = v.N
	} else {
		err = s.Set(text)
		l.N = s.N
	}
	l.Given = err == nil
	return err
}

// Type names the value in help.
func (*Limit) Type() string { return "limit" }

// Fuel is a flag for an instruction budget: a number, or unlimited (-1).
type Fuel struct {
	N int64
}

// String prints the budget.
func (f *Fuel) String() string {
	switch {
	case f == nil || f.N == 0:
		return ""
	case f.N < 0:
		return "unlimited"
	}
	return strconv.FormatInt(f.N, 10)
}

// Set reads a budget.
func (f *Fuel) Set(text string) error {
	if text == "unlimited" {
		f.N = -1
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return api.Refuse(api.InvalidArgument, "fuel %q is not a number of instructions above zero, or unlimited", Clean(text))
	}
	f.N = n
	return nil
}

// Type names the value in help.
func (*Fuel) Type() string { return "fuel" }
