package tasklet

import "sync"

// term is the time that the guest of a worker has: its deadline, which the kernel keeps, and its
// announced end. A notice that comes when no guest runs is about one that has ended.
type term struct {
	timer killTimer

	mu       sync.Mutex
	deadline int64 // CLOCK_BOOTTIME ns; 0 is no guest
	warned   int64 // when it is forced down; 0 is not announced
	saved    bool  // the checkpoint is on its way
}

// begin arms the deadline of a job.
func (t *term) begin(payload []byte) error {
	var job jobMessage
	if err := decodeMessage(payload, &job); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline, t.warned, t.saved = max(job.Deadline, 1), 0, false
	return t.timer.at(job.Deadline)
}

// end disarms it.
func (t *term) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline, t.warned = 0, 0
	return t.timer.disarm()
}

// take takes a notice of the agent's.
func (t *term) take(payload []byte) error {
	var m noticeMessage
	if err := decodeMessage(payload, &m); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deadline == 0 {
		return nil
	}
	t.warned = m.Warned
	if m.Deadline <= t.deadline {
		return nil
	}
	t.deadline = m.Deadline
	return t.timer.at(m.Deadline)
}

// now returns the deadline and the announced end of the guest that runs.
func (t *term) now() (deadline, warned int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deadline, t.warned
}

// save reports whether the guest may hand a checkpoint over: once, after its end was announced.
func (t *term) save() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	may := t.warned != 0 && !t.saved
	t.saved = t.saved || may
	return may
}
