package ui

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// TestWatchGoesOn: a watch waits where nobody leads, and where nobody answers any more; it ends
// with what is no matter of time, and where nobody ever answered.
func TestWatchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := api.Refuse(api.NoLeader, "nobody leads")
		said.RequestID = "r-1"
		unreached, refused := api.Refuse(api.NoLeader, "nobody answers"), api.Refuse(api.Forbidden, "not yours")
		for _, tt := range []struct {
			name string
			errs []error // of the reads, in order; then they are answered
			want error
		}{
			{"nobody leads at first", []error{said, said, said}, nil},
			{"nobody leads later", []error{nil, said, unreached, said}, nil},
			{"nobody is reached at first", []error{unreached}, unreached},
			{"refused at first", []error{refused}, refused},
			{"refused later", []error{nil, said, refused}, refused},
		} {
			reads, began := 0, time.Now()
			u := &UI{IO: IO{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}}
			err := u.Show(t.Context(), true, func(context.Context, api.ReadOptions) (Watched, error) {
				reads++
				if reads <= len(tt.errs) && tt.errs[reads-1] != nil {
					return Watched{}, tt.errs[reads-1]
				}
				return Watched{View: func(*Page) {}, Done: reads > len(tt.errs)}, nil
			})
			if !errors.Is(err, tt.want) || tt.want == nil && (reads != len(tt.errs)+1 || time.Since(began) < 3*watchRetry) {
				t.Errorf("%s: %v after %d reads and %s", tt.name, err, reads, time.Since(began))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		u := &UI{IO: IO{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}}
		if err := u.Show(ctx, true, func(context.Context, api.ReadOptions) (Watched, error) { return Watched{}, said }); !errors.Is(err, said) {
			t.Errorf("at its end: %v", err)
		}
	})
}

// TestWaiting: a person is told what is waited for, a program is not.
func TestWaiting(t *testing.T) {
	for _, format := range []Format{FormatTable, FormatJSON} {
		var text bytes.Buffer
		u := &UI{IO: IO{Err: &text}, Output: Output{Format: format}}
		u.Waiting(api.Refuse(api.NoLeader, "nobody leads"))
		u.Waiting(errors.New("connection refused"))
		want := "waiting: nobody leads\nwaiting: connection refused\n"
		if format == FormatJSON {
			want = ""
		}
		if got := text.String(); got != want {
			t.Errorf("%v: %q", format, got)
		}
	}
}
