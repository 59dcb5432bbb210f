package api

import (
	"strconv"
	"strings"
	"time"
)

// Count says how many there are of something: "1 lease", "2 leases".
func Count[N int | int64 | uint64](n N, noun string) string {
	text := strconv.FormatInt(int64(n), 10) + " " + noun
	if n != 1 {
		text += "s"
	}
	return text
}

// FormatMs says a time in milliseconds as a person types it: "60s", "1h30m", "1.5s".
func FormatMs(ms int64) string {
	d := time.Duration(min(max(ms, -maxMs), maxMs)) * time.Millisecond
	if d > -2*time.Minute && d < 2*time.Minute {
		if d%time.Second == 0 {
			return strconv.FormatInt(int64(d/time.Second), 10) + "s"
		}
		return d.String()
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// maxMs is the longest time that a Duration holds, in milliseconds.
const maxMs = int64(1<<63-1) / int64(time.Millisecond)
