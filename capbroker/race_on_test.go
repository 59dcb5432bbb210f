//go:build race

package capbroker

import "time"

// slack is how much longer things may take under the race detector.
func slack() time.Duration { return 15 }
