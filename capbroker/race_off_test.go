//go:build !race

package capbroker

import "time"

// slack is what may take d.
func slack(d time.Duration) time.Duration { return d }
