package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/quick"
)

// maxLine bounds one line of a stream, in bytes: a whole desired set is one line.
const maxLine = 64 << 20

// idleLimit is how long a stream may be silent. A scheduler sends a blank line every 5 s to
// a cell and every 10 s to a reader of events.
const idleLimit = 25 * time.Second

// lines decodes a stream of JSON objects, one a line. Blank lines keep it alive.
type lines struct {
	scan *bufio.Scanner
}

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 16<<10), maxLine)
	return &lines{scan: s}
}

// next decodes the next line into out. A line that is a problem document is its error; the
// end of the stream is io.EOF.
func (l *lines) next(out any) error {
	for l.scan.Scan() {
		line := bytes.TrimSpace(l.scan.Bytes())
		if len(line) == 0 {
			continue
		}
		if p, ok := problemLine(line); ok {
			return p
		}
		if quick.Read(line, out) {
			return nil
		}
		if err := json.Unmarshal(line, out); err != nil {
			if !l.scan.Scan() { // the scanner hands out what was left of a line that broke off
				return &brokenError{io.ErrUnexpectedEOF}
			}
			return api.Refuse(api.Internal, "a line of the stream cannot be read: %v", err)
		}
		return nil
	}
	if err := l.scan.Err(); err != nil {
		return &brokenError{fmt.Errorf("read stream: %w", err)}
	}
	return io.EOF
}

// problemLine finds the one line that ends a stream with an error: {"problem":{...}}.
func problemLine(line []byte) (*api.Error, bool) {
	if !bytes.HasPrefix(line, []byte(`{"problem":`)) {
		return nil, false
	}
	var last struct {
		Problem *api.Error `json:"problem"`
	}
	err := json.Unmarshal(line, &last)
	return last.Problem, err == nil && last.Problem != nil && last.Problem.Kind != ""
}

// vigil closes a stream that is silent for too long.
type vigil struct {
	io.ReadCloser
	timer *time.Timer
	limit time.Duration
	// base and header are the address and the headers of the answer, where it is one.
	base   string
	header http.Header
}

func watchOver(body io.ReadCloser, limit time.Duration) *vigil {
	v := &vigil{ReadCloser: body, limit: limit}
	v.timer = time.AfterFunc(limit, func() { _ = body.Close() })
	return v
}

// Read reads, and puts the closing off.
func (v *vigil) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.timer.Reset(v.limit)
	return n, err
}

// Close ends the stream.
func (v *vigil) Close() error {
	v.timer.Stop()
	return v.ReadCloser.Close()
}
