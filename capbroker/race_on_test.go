//go:build race

package capbroker

import "time"

// slack is what may take d under the race detector.
func slack(d time.Duration) time.Duration { return 15 * d }
