package chaos

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// roundTime is how long one cluster of a soak lives, at most half of it: a short one has a
// cluster of each size too.
const roundTime = 15 * time.Minute

// TestSoak draws faults at random for GRAFOS_SOAK_HOURS, from a seed that is printed. Clusters
// of three and of five schedulers take turns; each has a history of its own, which is checked
// before the next begins. What was survived so far stands in GRAFOS_SOAK_FILE after each.
func TestSoak(t *testing.T) {
	text := os.Getenv("GRAFOS_SOAK_HOURS")
	if text == "" {
		t.Skip("it takes hours: make soak HOURS=n")
	}
	hours, err := strconv.ParseFloat(text, 64)
	if err != nil || hours <= 0 {
		t.Fatalf("GRAFOS_SOAK_HOURS is %q: it must be a number above zero", text)
	}
	need(t)
	began, first := time.Now(), seed(t)
	whole := time.Duration(hours * float64(time.Hour))
	end := began.Add(whole)
	sum := soaked{seed: first, began: began, errors: map[string]map[api.Kind]int{}}
	for round := uint64(0); time.Now().Before(end) && !t.Failed(); round++ {
		of := three()
		if round%2 == 1 {
			of = five()
		}
		until := time.Now().Add(min(roundTime, whole/2))
		if until.After(end) {
			until = end
		}
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			const enough = 2000
			r := suffer(t, first+round, of, drawn(first+round, able(t), enough), until)
			sum.add(r)
		})
		sum.write(t)
	}
	t.Log(sum.String())
}

// soaked is what a soak survived.
type soaked struct {
	seed       uint64
	began      time.Time
	rounds     int
	operations int
	rows       []row
	errors     map[string]map[api.Kind]int
}

func (s *soaked) add(r *run) {
	s.rounds++
	s.operations += r.load.record.Operations()
	s.rows = append(s.rows, r.rows...)
	merge(s.errors, r.load.book.errors)
}

// String is the result.
func (s *soaked) String() string {
	return fmt.Sprintf("seed %d, begun %s, %s, %d clusters, %d faults, %d operations checked\n\n%s",
		s.seed, s.began.UTC().Format(time.RFC3339), time.Since(s.began).Round(time.Second), s.rounds, len(s.rows), s.operations, table(s.rows, s.errors))
}

// write writes the result to its file.
func (s *soaked) write(t *testing.T) {
	t.Helper()
	file := os.Getenv("GRAFOS_SOAK_FILE")
	if file == "" {
		return
	}
	text := s.String()
	if t.Failed() {
		text = "FAILED, see the test's output\n" + text
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}
