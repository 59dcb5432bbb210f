package netlab

import "time"

// Link is what happens to what one host sends to another. The zero value delivers everything
// at once.
type Link struct {
	// Cut lets nothing through, also of what is under way.
	Cut bool
	// Delay is how long a frame takes; Jitter adds up to so much to it, at random.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are probabilities. What is reordered is not delayed, and so
	// overtakes what is.
	Loss, Duplicate, Reorder float64
	// Rate bounds the bits per second; 0 does not. What would wait longer than maxWait for its
	// turn is lost.
	Rate int64
}

// maxWait is how much of a narrow link's time may be queued up.
const maxWait = 500 * time.Millisecond

// lane is what is remembered of one directed pair. It belongs to the sender's reader.
type lane struct {
	free time.Duration // when a narrow link has sent all it was given
	last time.Duration // when the last frame in line arrives
}

// arrivals is when the copies of a frame arrive, none to two of them.
type arrivals struct {
	at [2]time.Duration
	n  int
}

func (a *arrivals) add(t time.Duration) {
	a.at[a.n] = t
	a.n++
}

// plan decides over a frame of so many bytes that was sent now. chance returns a number from
// 0 up to 1, another one each time.
func (l *lane) plan(k Link, now time.Duration, bytes int, chance func() float64) arrivals {
	var out arrivals
	if k.Cut || k.Loss > 0 && chance() < k.Loss {
		return out
	}
	sent := now
	if k.Rate > 0 {
		if l.free-now > maxWait {
			return out
		}
		sent = max(now, l.free) + time.Duration(int64(bytes)*8*int64(time.Second)/k.Rate)
		l.free = sent
	}
	arrives := sent + k.Delay
	if k.Jitter > 0 {
		arrives += time.Duration(chance() * float64(k.Jitter))
	}
	if k.Reorder > 0 && chance() < k.Reorder {
		out.add(sent)
	} else {
		arrives = max(arrives, l.last)
		l.last = arrives
		out.add(arrives)
	}
	if k.Duplicate > 0 && chance() < k.Duplicate {
		out.add(out.at[0])
	}
	return out
}
