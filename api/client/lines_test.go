package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []uint64
		end      func(error) bool
	}{
		{"empty", "", nil, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"keep-alives", "\n\n \n", nil, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"lines", "{\"index\":1}\n\n{\"index\":2}\r\n{\"index\":3}", []uint64{1, 2, 3}, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"problem", "{\"index\":1}\n{\"problem\":{\"kind\":\"identity_revoked\",\"detail\":\"x\"}}\n{\"index\":2}\n", []uint64{1}, func(err error) bool { return api.KindOf(err) == api.IdentityRevoked }},
		{"garbage", "{\"index\":1}\nnonsense\n{}\n", []uint64{1}, func(err error) bool { return api.KindOf(err) == api.Internal }},
		{"cut off", "{\"index\":1}\n{\"ind", []uint64{1}, resumable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newLines(strings.NewReader(tt.in))
			var got []uint64
			for {
				var d api.Desired
				if err := in.next(&d); err != nil {
					if !tt.end(err) {
						t.Errorf("ended with %v", err)
					}
					break
				}
				got = append(got, d.Index)
			}
			if len(got) != len(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestLongLine: a line above the bound is an error, not memory.
func TestLongLine(t *testing.T) {
	in := newLines(io.LimitReader(zeros{}, maxLine+10))
	var d api.Desired
	if err := in.next(&d); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a line of %d bytes: %v", maxLine+10, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// FuzzLines: whatever comes, a stream yields values, then one error, and does not hang.
func FuzzLines(f *testing.F) {
	d, err := json.Marshal(api.Desired{Index: 3, Full: true, Leases: []api.Lease{{ID: "l"}}, Closing: "x"})
	if err != nil {
		f.Fatal(err)
	}
	e, err := json.Marshal(api.Event{Cursor: api.Cursor{Index: 4, Sub: 1}, Type: api.EventGap, Data: json.RawMessage(`{}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(d, "\n\n"...), d...))
	f.Add(append(e, '\n'))
	f.Add([]byte("{\"problem\":{\"kind\":\"no_leader\"}}\n"))
	f.Add([]byte("{\"problem\":null}\n{\"cursor\":\"1\"}\n{\"cursor\":\"x.y\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, out := range []any{&api.Desired{}, &api.Event{}} {
			in := newLines(bytes.NewReader(b))
			n := 0
			for {
				err := in.next(out)
				if err == nil {
					if n++; n > bytes.Count(b, []byte("\n"))+1 {
						t.Fatal("more values than lines")
					}
					continue
				}
				if !errors.Is(err, io.EOF) && err.Error() == "" {
					t.Fatal("an error without words")
				}
				break
			}
		}
	})
}

// TestVigil: a stream that says nothing for too long is closed; one that speaks is not.
func TestVigil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		v := watchOver(r, 10*time.Second)
		defer func() { _ = v.Close() }()
		go func() {
			for range 5 {
				time.Sleep(8 * time.Second)
				_, _ = w.Write([]byte("\n"))
			}
		}()
		began := time.Now()
		if _, err := io.ReadAll(v); err == nil {
			t.Error("a silent stream ended without an error")
		}
		if got := time.Since(began); got != 50*time.Second {
			t.Errorf("closed after %s, want 50s: 10s after the last byte", got)
		}
	})
}
