package ui

import (
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// Duration prints d with the one or two units that a person cares about: 12ms, 3.4s,
// 47s, 5m10s, 3h, 2d4h.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-d)
	}
	switch {
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return strconv.FormatInt(max(d.Microseconds(), 1), 10) + "µs"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		s := strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', 1, 64)
		return strings.TrimSuffix(s, ".0") + "s"
	case d < time.Minute:
		return pair(d, time.Second, "s", 0, "")
	case d < time.Hour:
		return pair(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return pair(d, time.Hour, "h", time.Minute, "m")
	}
	return pair(d, 24*time.Hour, "d", time.Hour, "h")
}

func pair(d, big time.Duration, bigUnit string, small time.Duration, smallUnit string) string {
	text := strconv.FormatInt(int64(d/big), 10) + bigUnit
	if small > 0 && d%big/small > 0 {
		text += strconv.FormatInt(int64(d%big/small), 10) + smallUnit
	}
	return text
}

// Age is how long ago t was: "47s", or "-" for no time at all.
func Age(now, t time.Time) Cell {
	if t.IsZero() {
		return V("-", "-")
	}
	return V(Duration(max(now.Sub(t), 0).Truncate(time.Second)), t.UTC().Format(time.RFC3339))
}

// Until is how far off t is: "in 42s", or "3s ago" when it has passed.
func Until(now, t time.Time) Cell {
	if t.IsZero() {
		return V("-", "-")
	}
	raw := t.UTC().Format(time.RFC3339)
	if left := t.Sub(now).Truncate(time.Second); left >= 0 {
		return V("in "+Duration(left), raw)
	}
	return V(Duration(now.Sub(t).Truncate(time.Second))+" ago", raw)
}

// Past is how long ago something was. Clocks differ: what is ahead of ours was just now.
func Past(now, t time.Time) Cell {
	c := Until(now, t)
	if !t.IsZero() && t.After(now.Add(-time.Second)) {
		c.Text = "now"
	}
	return c
}

// Stamp is a point in time with its age: "2026-11-23 08:41:02Z (8m ago)".
func Stamp(now, t time.Time) Cell {
	if t.IsZero() {
		return Cell{Raw: "-"}
	}
	when := t.UTC().Format("2006-01-02 15:04:05Z")
	if t.After(now) {
		return V(when+" ("+Until(now, t).Text+")", t.UTC().Format(time.RFC3339))
	}
	return V(when+" ("+Age(now, t).Text+" ago)", t.UTC().Format(time.RFC3339))
}

// Cores prints millicores as cores: 0.5, 2, 1.25.
func Cores(milli int64) string {
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}

// Bits prints bits per second in powers of 1000, as networks are sold.
func Bits(n int64) string {
	f, unit := float64(n), "b/s"
	for _, next := range []string{"kb/s", "Mb/s", "Gb/s", "Tb/s"} {
		if f < 1000 {
			break
		}
		f, unit = f/1000, next
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + " " + unit
}

// Amount prints n of a lease kind with its unit. Resource names that are no kind, as the
// leases of a quota, are plain numbers.
func Amount(k api.LeaseKind, n int64) string {
	switch k {
	case api.KindCPU:
		return Cores(n) + plural(n == 1000, " core")
	case api.KindMem, api.KindBlock:
		return api.FormatSize(n)
	case api.KindNet:
		return Bits(n)
	case api.KindGPU:
		return strconv.FormatInt(n, 10) + plural(n == 1, " gpu")
	}
	return strconv.FormatInt(n, 10)
}

// AmountCell is Amount for people and the plain number for programs.
func AmountCell(k api.LeaseKind, n int64) Cell { return V(Amount(k, n), strconv.FormatInt(n, 10)) }

// Share prints what is free of what there is, the unit once: "40/122 GiB", "6/8".
func Share(k api.LeaseKind, free, total int64) Cell {
	raw := strconv.FormatInt(free, 10) + "/" + strconv.FormatInt(total, 10)
	if total == 0 {
		return V("-", raw)
	}
	switch k {
	case api.KindCPU:
		return V(Cores(free)+"/"+Cores(total), raw)
	case api.KindGPU:
		return V(raw, raw)
	case api.KindMem, api.KindBlock, api.KindNet:
		return V(shareUnits(Amount(k, free), Amount(k, total)), raw)
	}
	return V(raw, raw)
}

func shareUnits(free, total string) string {
	number, unit, _ := strings.Cut(free, " ")
	_, totalUnit, _ := strings.Cut(total, " ")
	if unit == totalUnit || number == "0" {
		return number + "/" + total
	}
	return free + "/" + total
}

// Count prints n of a noun: "1 lease", "3 leases".
func Count(n int, noun string) string { return api.Count(n, noun) }

func plural(one bool, noun string) string {
	if one {
		return noun
	}
	return noun + "s"
}
