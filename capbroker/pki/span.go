package pki

import "time"

// span prints how long ago or ahead something is, to the second: "3m12s". What is under a
// second is "0s" and a fraction.
func span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Truncate(time.Second).String()
}
