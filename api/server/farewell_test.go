package server

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// The frames of HTTP/2 that the test speaks of, and the flags.
const (
	frameData, frameHeaders, frameReset, frameSettings = 0, 1, 3, 4
	endStream, endHeaders                              = 1, 4
)

// frame is one of stream 1, or of the connection.
func frame(kind, flags byte, stream uint32, payload string) string {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)) //nolint:gosec // it is short
	return string(binary.BigEndian.AppendUint32(append(head, flags), stream)) + payload
}

// literal is a header field as HPACK has it at its plainest.
func literal(name, value string) string {
	return "\x00" + string(rune(len(name))) + name + string(rune(len(value))) + value
}

// answered is what became of stream 1.
type answered struct {
	data  string
	whole bool
	reset bool
}

// readFrames reads until the connection ends.
func readFrames(t *testing.T, conn io.Reader) (got answered) {
	t.Helper()
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Error("the connection stays open")
			}
			return got
		}
		payload := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Error(err)
			return got
		}
		switch head[3] {
		case frameData:
			got.data += string(payload)
			got.whole = head[4]&endStream != 0
		case frameReset:
			got.reset = true
		}
	}
}

// TestFarewellOverHTTP2: a revoked cell whose body comes behind its headers is told why, and its stream
// is not reset: curl would take that for the end of an answer that it has not read. Where the body does
// not come, nobody waits for it.
func TestFarewellOverHTTP2(t *testing.T) {
	n := start(t, nil)
	for name, comes := range map[string]bool{"a body that comes": true, "one that does not": false} {
		t.Run(name, func(t *testing.T) {
			tr := cellTransport(t, "barred", true)
			conf := tr.TLSClientConfig.Clone()
			conf.NextProtos = []string{"h2"}
			conn, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", strings.TrimPrefix(n.url, "https://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fields := literal(":method", "POST") + literal(":scheme", "https") + literal(":authority", "s") + literal(":path", "/api/v1/leases")
			hello := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(frameSettings, 0, 0, "") + frame(frameHeaders, endHeaders, 1, fields)
			if _, err := io.WriteString(conn, hello); err != nil {
				t.Fatal(err)
			}
			if comes {
				sleep(t.Context(), 50*time.Millisecond) // a sender that takes its time
				if _, err := io.WriteString(conn, frame(frameData, endStream, 1, "{}")); err != nil {
					t.Fatal(err)
				}
			}
			if got := readFrames(t, conn); !got.whole || got.reset == comes || !strings.Contains(got.data, string(api.IdentityRevoked)) {
				t.Errorf("%+v", got)
			}
		})
	}
}
