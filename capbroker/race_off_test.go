//go:build !race

package capbroker

import "time"

// slack is how much longer things may take.
func slack() time.Duration { return 1 }
