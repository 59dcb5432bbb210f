package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestEventsFromNow: a stream from now that breaks before its first event goes on from where
// now was.
func TestEventsFromNow(t *testing.T) {
	var from []string
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := served(t, func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.URL.Query().Get("from"))
		w.Header().Set("Grafos-Index", "42")
		if len(from) == 1 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if len(from) == 2 { // and breaks in the middle of a line
			_, _ = io.WriteString(w, `{"cursor":"43.1","type":"x"}`+"\n")
			_, _ = io.WriteString(w, `{"cursor":"44.1","ty`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"cursor":"44.1","type":"x"}`+"\n")
	})
	want := uint64(43)
	for e, err := range c.Events(ctx, api.EventFilter{From: "now"}) {
		if err != nil || e.Cursor.Index != want {
			t.Fatal(e, err)
		}
		if want++; want == 45 {
			break
		}
	}
	if !slices.Equal(from, []string{"now", "42", "43.1"}) {
		t.Errorf("asked from %q, want now, 42 and 43.1", from)
	}
}

// TestEventsGiveUp: a stream whose schedulers are all gone ends with an error.
func TestEventsGiveUp(t *testing.T) {
	c, err := New(Config{URLs: []string{"http://127.0.0.1:1"}, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range c.Events(t.Context(), api.EventFilter{}) {
		last = err
	}
	if api.KindOf(last) != api.NoLeader {
		t.Errorf("ended with %v, want no_leader", last)
	}
}

// TestEventsBookmarks: a stream continues behind its last bookmark. Who asked for bookmarks
// sees them, and that the stream broke and goes on; nobody else does.
func TestEventsBookmarks(t *testing.T) {
	for _, marks := range []bool{false, true} {
		var from []string
		c := served(t, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			from = append(from, q.Get("from"))
			if q.Get("bookmarks") != "true" {
				t.Error("no bookmarks were asked for")
			}
			switch len(from) {
			case 1:
				_, _ = io.WriteString(w, `{"cursor":"43.1","type":"x"}`+"\n\n"+`{"cursor":"50.4294967295","type":"bookmark"}`+"\n")
			case 2: // one that ends without a word changes nothing
			default:
				_, _ = io.WriteString(w, `{"cursor":"51.0","type":"x"}`+"\n")
			}
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		var got []string
		for e, err := range c.Events(t.Context(), api.EventFilter{From: "42.0", Bookmarks: marks}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Type+" "+e.Cursor.String())
			if e.Type == api.EventResumed {
				var r api.Resumed
				if err := json.Unmarshal(e.Data, &r); err != nil || r.Scheduler != c.URL() || r.Because == "" {
					t.Errorf("it goes on at %q because of %q, %v", r.Scheduler, r.Because, err)
				}
			}
			if e.Cursor.Index == 51 {
				break
			}
		}
		want := []string{"x 43.1", "x 51.0"}
		if marks {
			want = []string{"x 43.1", "bookmark 50.4294967295", "resumed 50.4294967295", "x 51.0"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if !slices.Equal(from, []string{"42.0", "50.4294967295", "50.4294967295"}) {
			t.Errorf("asked from %q", from)
		}
	}
}

// TestEventsWhileNobodyLeads: a scheduler that ends the stream for want of a leader is asked
// again, with pauses, for as long as the reader wants.
func TestEventsWhileNobodyLeads(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	asked := 0
	c := served(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 4 {
			_, _ = io.WriteString(w, "\n"+`{"problem":{"kind":"no_leader","detail":"nobody leads","status":503}}`+"\n")
			return
		}
		_, _ = io.WriteString(w, `{"cursor":"7.0","type":"x"}`+"\n")
	})
	var because string
	for e, err := range c.Events(ctx, api.EventFilter{From: "6", Bookmarks: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == api.EventResumed {
			because = string(e.Data)
			continue
		}
		break
	}
	if asked != 4 || !strings.Contains(because, "nobody leads") {
		t.Errorf("asked %d times, and went on because of %s", asked, because)
	}
}
