package ui

import (
	"reflect"
	"strings"
	"testing"
)

// The keys of a table are named with those of the structs that stand in it, without what is hidden.
func TestUnknownKeyNamesAll(t *testing.T) {
	type inner struct {
		CPU int `toml:"cpu"`
	}
	type file struct {
		inner
		Zone   string `toml:"zone"`
		Secret string `toml:"secret" help:"-"`
		Other  int
	}
	if got := strings.Join(tomlKeys(reflect.TypeFor[file](), nil), " "); got != "cpu zone" {
		t.Errorf("known are %q", got)
	}
}
