package tasklet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/grafos/grafos/api"
)

// jobMessage starts one run, or with Prepare only one compilation.
type jobMessage struct {
	Name       string     `json:"name"`
	Module     api.Digest `json:"module"`
	SendModule bool       `json:"send_module"` // a module frame follows
	SendStdin  bool       `json:"send_stdin"`  // a stdin frame follows
	Prepare    bool       `json:"prepare"`
	Args       []string   `json:"args"`
	Env        []string   `json:"env"`
	Memory     int64      `json:"memory"`     // bytes of linear memory
	Procs      int        `json:"procs"`      // threads that may run at a time
	Deadline   int64      `json:"deadline"`   // CLOCK_BOOTTIME, ns
	CompileCPU int64      `json:"compile_ns"` // CPU time that a compilation may take, ns
	MaxOutput  int64      `json:"max_output"`
	MaxLog     int64      `json:"max_log"`
}

// noticeMessage tells a guest what changed of its time. Both are CLOCK_BOOTTIME, ns.
type noticeMessage struct {
	Deadline int64 `json:"deadline"`
	Warned   int64 `json:"warned"` // when it is forced down; 0 is not announced
}

// readyMessage is a worker's first word.
type readyMessage struct {
	Pid       int      `json:"pid"`
	Isolation []string `json:"isolation"`
}

// doneMessage says how a run or compilation ended, and what the worker holds now.
type doneMessage struct {
	State    api.RunState `json:"state"`
	ExitCode int          `json:"exit_code"`
	Failure  api.Failure  `json:"failure"`
	Resident []api.Digest `json:"resident"`
	Duration int64        `json:"duration_ns"` // of guest code
	// Clean says that the worker is fit for another run of its tenant.
	Clean bool `json:"clean"`
}

// check refuses what no worker says: a state that is no result of a guest's own.
func (m doneMessage) check() error {
	if m.State != api.RunSucceeded && m.State != api.RunFailed {
		return fmt.Errorf("worker reports state %.40q", m.State)
	}
	if (m.State == api.RunFailed) != (m.Failure.Kind != "") {
		return fmt.Errorf("worker reports %s with failure kind %.40q", m.State, m.Failure.Kind)
	}
	if len(m.Resident) > maxResident {
		return fmt.Errorf("worker reports %d resident modules", len(m.Resident))
	}
	return nil
}

// writeMessage writes m as a frame of type t.
func writeMessage(w io.Writer, t frameType, m any) error {
	payload, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	return writeFrame(w, t, payload)
}

// decodeMessage reads a payload strictly: unknown fields and trailing bytes are errors.
func decodeMessage(payload []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode message: bytes follow it")
	}
	return nil
}
