package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// The whole of a soak, as make sim-soak does it, and what it must have seen.
const soakWorlds = 8800

func soakAsked() asked { return asked{kills: 100_000, took: 365 * 24 * time.Hour} }

// soak is a long row of worlds. How far it has come stands in a file, where one is named, so that
// the next soak goes on where this one was interrupted.
type soak struct {
	file   string
	config Config
	stop   atomic.Bool
	began  time.Time
	before int // worlds that had ended when it began

	mu    sync.Mutex
	p     progress  // guarded by mu
	under []uint64  // guarded by mu: seeds of the worlds under way
	next  uint64    // guarded by mu: the seed of the next one
	said  time.Time // guarded by mu
}

// progress is how far a soak has come.
type progress struct {
	First  uint64        `json:"first"`  // its first seed
	Worlds int           `json:"worlds"` // that it is to have
	Faults time.Duration `json:"faults"` // of each world
	Ended  []uint64      `json:"ended"`  // seeds of worlds that ended, from Next on
	Next   uint64        `json:"next"`   // the worlds before it have ended
	Failed []uint64      `json:"failed"` // seeds of those that failed
	Sum    Account       `json:"sum"`
}

// done is how many worlds have ended.
func (p *progress) done() int { return int(p.Next-p.First) + len(p.Ended) }

// end notes a world that ended.
func (p *progress) end(seed uint64) {
	p.Ended = append(p.Ended, seed)
	for i := slices.Index(p.Ended, p.Next); i >= 0; i = slices.Index(p.Ended, p.Next) {
		p.Ended = slices.Delete(p.Ended, i, i+1)
		p.Next++
	}
}

// interruptedError is the end of a soak that somebody stopped.
type interruptedError struct {
	next        uint64
	done, asked int
	under       []uint64
	file        string
}

// Error says how to go on.
func (e *interruptedError) Error() string {
	on := fmt.Sprintf("GRAFOS_SIM_SEED=%d GRAFOS_SIM_WORLDS=%d", e.next, e.asked-e.done)
	if e.file != "" {
		on = "make sim-soak, which reads " + e.file
	}
	return fmt.Sprintf("interrupted after %d of %d worlds; those of seeds %v were under way. Go on from seed %d: %s", e.done, e.asked, e.under, e.next, on)
}

// TestSoak is for as long as somebody wants: GRAFOS_SIM_WORLDS worlds from GRAFOS_SIM_SEED on
// (make sim-soak), each with GRAFOS_SIM_FAULTS of faults. GRAFOS_SIM_FILE keeps how far it has come.
// GRAFOS_SIM_LOG is a file for what happens and for what the schedulers log, of one world.
func TestSoak(t *testing.T) {
	s := openSoak(t)
	sparing(t, 1<<30)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	var hands, ear sync.WaitGroup
	ear.Go(func() {
		select {
		case <-signals:
			s.stop.Store(true)
		case <-over:
		}
		signal.Stop(signals) // the second one ends the process
	})
	for range runtime.GOMAXPROCS(0) {
		hands.Go(func() {
			for seed, ok := s.take(); ok; seed, ok = s.take() {
				s.world(t, seed)
			}
		})
	}
	hands.Wait()
	close(over)
	ear.Wait()
	if err := s.verdict(t); err != nil {
		t.Error(err)
	}
}

// openSoak reads what is asked for, and how far it came before.
func openSoak(t *testing.T) *soak {
	t.Helper()
	worlds, err := strconv.Atoi(os.Getenv("GRAFOS_SIM_WORLDS"))
	if err != nil {
		t.Skip("GRAFOS_SIM_WORLDS says no number of worlds: make sim-soak")
	}
	p := progress{First: 1000, Worlds: worlds, Faults: time.Hour}
	if seed, err := strconv.ParseUint(os.Getenv("GRAFOS_SIM_SEED"), 10, 64); err == nil {
		p.First = seed
	}
	if d, err := time.ParseDuration(os.Getenv("GRAFOS_SIM_FAULTS")); err == nil {
		p.Faults = d
	}
	p.Next = p.First
	s := &soak{file: os.Getenv("GRAFOS_SIM_FILE"), began: time.Now(), said: time.Now()}
	if s.p, err = resume(s.file, p); err != nil {
		t.Fatal(err)
	}
	s.next, s.before = s.p.Next, s.p.done()
	s.config = Config{Faults: s.p.Faults, Stop: s.stop.Load}
	if name := os.Getenv("GRAFOS_SIM_LOG"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() }) // it is for reading along
		s.config.Trace, s.config.Log = f, hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: f})
	}
	return s
}

// resume reads how far the same soak has come; one that has ended begins anew.
func resume(file string, p progress) (progress, error) {
	if file == "" {
		return p, nil
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	var was progress
	if err := json.Unmarshal(raw, &was); err != nil {
		return p, fmt.Errorf("%s does not say how far a soak has come: %w", file, err)
	}
	if was.First == p.First && was.Worlds == p.Worlds && was.Faults == p.Faults && was.done() < was.Worlds {
		return was, nil
	}
	return p, nil
}

// take returns the seed of the next world; false is that there is none.
func (s *soak) take() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next = max(s.next, s.p.Next); slices.Contains(s.p.Ended, s.next); {
		s.next++
	}
	if s.stop.Load() || s.next >= s.p.First+uint64(s.p.Worlds) {
		return 0, false
	}
	seed := s.next
	s.next++
	s.under = append(s.under, seed)
	return seed, true
}

// world lets one world live, and counts it if it was not cut short.
func (s *soak) world(t *testing.T, seed uint64) {
	t.Helper()
	var a Account
	passed := t.Run("seed/"+strconv.FormatUint(seed, 10), func(t *testing.T) {
		c := s.config
		c.Seed = seed
		shape(&c)
		a = bubble(t, c)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if !passed {
		s.p.Failed = append(s.p.Failed, seed)
	}
	if passed && s.stop.Load() {
		return // it is still under way for whoever goes on
	}
	s.under = slices.DeleteFunc(s.under, func(u uint64) bool { return u == seed })
	s.p.end(seed)
	s.p.Sum = s.p.Sum.plus(a)
	s.sayLocked(t)
	if err := s.saveLocked(); err != nil {
		t.Errorf("how far the soak has come is not kept: %v", err)
	}
}

// sayEvery is how often a soak says how far it has come.
const sayEvery = time.Minute

func (s *soak) sayLocked(t *testing.T) {
	t.Helper()
	if time.Since(s.said) < sayEvery {
		return
	}
	s.said = time.Now()
	took := time.Since(s.began)
	left := took / time.Duration(s.p.done()-s.before) * time.Duration(s.p.Worlds-s.p.done())
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("soak: %d of %d worlds, %s; %d worlds failed; %d MB; %s gone, about %s to go",
		s.p.done(), s.p.Worlds, s.p.Sum, len(s.p.Failed), m.Sys>>20, took.Round(time.Second), left.Round(time.Minute))
}

// saveLocked writes how far the soak has come, whole or not at all.
func (s *soak) saveLocked() error {
	if s.file == "" {
		return nil
	}
	raw, err := json.Marshal(s.p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(s.file+".new", s.file)
}

// verdict says what a soak came to, and what it lacks.
func (s *soak) verdict(t *testing.T) error {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%d worlds: %s", s.p.done(), s.p.Sum)
	switch {
	case len(s.p.Failed) > 0:
		return fmt.Errorf("the worlds of seeds %v failed", s.p.Failed)
	case s.p.done() < s.p.Worlds:
		return &interruptedError{next: s.p.Next, done: s.p.done(), asked: s.p.Worlds, under: s.under, file: s.file}
	case s.p.Worlds >= soakWorlds:
		if lacks := s.p.Sum.lacks(soakAsked()); len(lacks) > 0 {
			return errors.New(strings.Join(lacks, "; "))
		}
	}
	return nil
}

// sparing has the collector run seldom: a world allocates much and keeps little of it, which costs
// 200 MB. One of an hour keeps ten times as much before it ends.
func sparing(t *testing.T, limit int64) {
	t.Helper()
	percent, most := debug.SetGCPercent(1000), debug.SetMemoryLimit(limit)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(most)
	})
}

// TestSoakGoesOn: a soak that was interrupted says from which seed it goes on, and the next one does,
// with what was counted before.
func TestSoakGoesOn(t *testing.T) {
	file := t.TempDir() + "/soak.json"
	p := progress{First: 10, Next: 10, Worlds: 5, Faults: time.Minute}
	s := &soak{file: file, p: p, next: 10, began: time.Now(), said: time.Now()}
	for range 3 {
		s.take()
	}
	s.p.end(12)
	s.p.end(10)
	s.p.Sum = s.p.Sum.plus(Account{Kills: 7, Took: time.Hour})
	s.under, s.stop = []uint64{11}, atomic.Bool{}
	s.stop.Store(true)
	if err := s.saveLocked(); err != nil {
		t.Fatal(err)
	}
	if seed, ok := s.take(); ok {
		t.Errorf("the world of seed %d begins after the interruption", seed)
	}
	cut, ok := errors.AsType[*interruptedError](s.verdict(t))
	if !ok || cut.next != 11 || cut.done != 2 || !strings.Contains(cut.Error(), "seed 11") {
		t.Fatalf("the end of an interrupted soak: %v", cut)
	}
	again, err := resume(file, p)
	if err != nil || again.Sum.Kills != 7 || again.Next != 11 {
		t.Fatalf("it goes on with %+v, %v", again, err)
	}
	s = &soak{p: again, next: again.Next}
	var seeds []uint64
	for seed, ok := s.take(); ok; seed, ok = s.take() {
		seeds = append(seeds, seed)
		s.p.end(seed)
	}
	if !slices.Equal(seeds, []uint64{11, 13, 14}) || s.verdict(t) != nil {
		t.Errorf("it goes on with the seeds %v", seeds)
	}
	if other, err := resume(file, progress{First: 20, Next: 20, Worlds: 5, Faults: time.Minute}); err != nil || other.Next != 20 {
		t.Errorf("another soak goes on with %+v, %v", other, err)
	}
	s.p.Worlds, s.p.Next = soakWorlds, s.p.First+soakWorlds
	if s.verdict(t) == nil {
		t.Error("a whole soak with 7 leader kills passes")
	}
}
