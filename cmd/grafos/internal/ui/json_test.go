package ui

import (
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestDecodeJSON: a file that is none of ours is told of in words about it, not about Go's types.
func TestDecodeJSON(t *testing.T) {
	type file struct {
		Name string    `json:"name"`
		List []string  `json:"list"`
		Port int       `json:"port"`
		At   time.Time `json:"at"`
	}
	if err := DecodeJSON("x.json", []byte(`{"name":"a","list":["b"],"port":1}`), &file{}); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		`{"name":5}`:        "x.json: name is JSON of another type, number: it must be a string",
		`{"list":"a"}`:      "x.json: list is JSON of another type, string: it must be a list",
		`{"port":"a"}`:      "x.json: port is JSON of another type, string: it must be a whole number",
		`[]`:                "x.json: the document is JSON of another type, array: it must be an object",
		`{"name":`:          "x.json: it is not JSON, or was cut off, at byte 8",
		`name = "a"`:        "x.json: it is not JSON, or was cut off, at byte 2",
		``:                  "x.json: it is not JSON, or was cut off, at byte 0",
		`{"at":"tomorrow"}`: "x.json: tomorrow is not a time such as 2026-01-31T12:00:00Z",
	} {
		if err := DecodeJSON("x.json", []byte(text), &file{}); api.KindOf(err) != api.InvalidArgument || api.Problem(err).Detail != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
