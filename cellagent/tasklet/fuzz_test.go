package tasklet

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/grafos/grafos/api"
)

// FuzzReadFrame proves that no bytes make a reader panic or take more than a type's bound,
// and that what is read is written the same again.
func FuzzReadFrame(f *testing.F) {
	var good bytes.Buffer
	if err := writeFrame(&good, frameStdout, []byte("hello")); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte{frameMagic, frameVersion, byte(frameModule), 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{frameMagic, frameVersion + 1, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{frameMagic, frameVersion, 99, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		kind, payload, err := readFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := writeFrame(&out, kind, payload); err != nil {
			t.Fatalf("frame was read and cannot be written: %v", err)
		}
		if !bytes.HasPrefix(in, out.Bytes()) {
			t.Fatalf("read %x, wrote %x", in, out.Bytes())
		}
	})
}

// FuzzDone proves that what a worker says is either refused or a result that a run can have.
func FuzzDone(f *testing.F) {
	good, err := json.Marshal(doneMessage{State: api.RunFailed, Failure: api.Failure{Kind: api.Trap}, Resident: []api.Digest{"x"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"state":"revoked"}`))
	f.Add([]byte(`{"state":"succeeded"} {}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var m doneMessage
		if decodeMessage(in, &m) != nil || m.check() != nil {
			return
		}
		if !m.State.Terminal() || m.State == api.RunRevoked || m.State == api.RunExpired || m.State == api.RunLost {
			t.Fatalf("took state %q", m.State)
		}
	})
}

// FuzzReady covers the first message of a worker.
func FuzzReady(f *testing.F) {
	f.Add([]byte(`{"pid":1,"isolation":["process"]}`))
	f.Fuzz(func(_ *testing.T, in []byte) {
		var m readyMessage
		_ = decodeMessage(in, &m)
	})
}

// FuzzJob covers the message that a worker takes.
func FuzzJob(f *testing.F) {
	f.Add([]byte(`{"name":"x","args":["a"],"memory":65536}`))
	f.Fuzz(func(_ *testing.T, in []byte) {
		var m jobMessage
		_ = decodeMessage(in, &m)
	})
}

// FuzzInspect proves that no module makes the outline panic, and that a bound holds for what
// it accepts.
func FuzzInspect(f *testing.F) {
	f.Add(module{}.bytes())
	f.Add(module{imports: []string{wasiModule + ".fd_write"}, table: 7, pages: 3}.bytes())
	f.Add(module{imports: []string{"env.x"}}.bytes())
	f.Add([]byte(wasmHeader + "\x02\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := inspect(in)
		if err == nil && (!got.start || got.tableSlots > maxTable) {
			t.Fatalf("accepted %+v", got)
		}
	})
}

func TestFrameBounds(t *testing.T) {
	for kind := range frameType(20) {
		limit, ok := kind.bound()
		if _, err := header(kind, int64(limit)); (err == nil) != ok {
			t.Errorf("type %d with %d bytes: %v", kind, limit, err)
		}
		if _, err := header(kind, int64(limit)+1); err == nil {
			t.Errorf("type %d with a byte too many is written", kind)
		}
		if _, err := header(kind, -1); err == nil {
			t.Errorf("type %d with -1 bytes is written", kind)
		}
		h, _ := header(kind, int64(limit))
		h[4], h[5], h[6], h[7] = 0xff, 0xff, 0xff, 0xff
		if _, _, err := readFrame(bytes.NewReader(h[:])); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("type %d with 4 GiB: %v", kind, err)
		}
	}
}
