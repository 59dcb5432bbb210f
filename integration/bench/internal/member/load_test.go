package member

import (
	"testing"

	"github.com/grafos/grafos/fsm"
)

// TestChange: the commands of the load are as large as the values they are compared with,
// whichever of them it is.
func TestChange(t *testing.T) {
	const serial = 1 << 40
	who := actor(serial)
	for n, more := range []int64{0, 1, 1 << 20, 1 << 39} {
		if got := fsm.EncodedSize(change(who, n*331, serial+more)) - frame; got < commandSize || got > commandSize+1 {
			t.Errorf("change %d has %d bytes, want %d", n, got, commandSize)
		}
	}
}
