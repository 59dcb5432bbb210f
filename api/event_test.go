package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzCursor: what is a cursor is the same one after it was printed, and what is none is
// refused with words.
func FuzzCursor(f *testing.F) {
	f.Add("12.3")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			if KindOf(err) != InvalidArgument || len(err.Error()) > 300 {
				t.Fatalf("%q: %v", s, err)
			}
			if checked := CheckFrom(s); s != "" && s != FromNow && s != FromOldest && KindOf(checked) != InvalidArgument {
				t.Fatalf("CheckFrom(%q) = %v", s, checked)
			}
			return
		}
		if err := CheckFrom(s); err != nil {
			t.Fatalf("CheckFrom(%q) = %v", s, err)
		}
		again, err := ParseCursor(c.String())
		if err != nil || again != c || c.Before(again) {
			t.Fatalf("%q is %v, which is %v: %v", s, c, again, err)
		}
		var back Cursor
		b, err := json.Marshal(c)
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || back != c || EndOf(c.Index).Before(c) || c.Sub < 1<<32-1 && !c.Before(EndOf(c.Index)) {
			t.Fatalf("%q is %v, and %v after JSON: %v", s, c, back, err)
		}
	})
}

func TestEventFilter(t *testing.T) {
	e := Event{Type: "lease_granted", Provider: "aws", Tenant: "acme"}
	for _, tt := range []struct {
		f    EventFilter
		want bool
	}{
		{EventFilter{}, true},
		{EventFilter{Tenant: "acme", Provider: "aws", Types: []string{"run_", "lease_"}}, true},
		{EventFilter{Types: []string{"lease_granted"}}, true},
		{EventFilter{Types: []string{"lease_granted_"}}, false},
		{EventFilter{Types: []string{"granted"}}, false},
		{EventFilter{Tenant: "other"}, false},
		{EventFilter{Provider: "gcp"}, false},
	} {
		if got := tt.f.Takes(e); got != tt.want {
			t.Errorf("%+v takes it: %v", tt.f, got)
		}
	}
	for _, from := range []string{"", "now", "oldest", "1", "1.2"} {
		if err := CheckFrom(from); err != nil {
			t.Errorf("%q: %v", from, err)
		}
	}
	for _, from := range []string{"latest", "1.", "NOW", strings.Repeat("9", 500)} {
		if err := CheckFrom(from); KindOf(err) != InvalidArgument || len(err.Error()) > 300 {
			t.Errorf("%q: %v", from, err)
		}
	}
}
