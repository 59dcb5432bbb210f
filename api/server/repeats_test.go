package server

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestUniqueNames(t *testing.T) {
	for doc, at := range map[string]string{
		``:                                    "",
		`{"a":1,"b":{"a":"a","b":["a","a"]}}`: "",
		`[{"a":1},{"a":2},"a","a"]`:           "",
		`{"a":{"x":1},"b":{"x":1}}`:           "",
		`{"a":[],"b":{},"c":null,"d":true}`:   "",
		`{"a":1,"a":`:                         "body.a", // before the end that is missing
		`{"a":1,"\u0061":2}`:                  "body.a",
		`{"a":{},"b":[],"a":[]}`:              "body.a",
		`{"a":[1,{"b":{"c":1,"c":1}}]}`:       "body.a.b.c",
		`{"a" 1`:                              "",
		strings.Repeat("[", 30_000):           "",
	} {
		err := uniqueNames([]byte(doc))
		if got, _ := api.AsError(err); (at != "") != (got != nil) || got != nil && got.Errors[0].Location != at {
			t.Errorf("%.60s: %v, want %q", doc, err, at)
		}
	}
}
