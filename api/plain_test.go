package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// Every byte, at every place of a text that is longer than one word, and in those of every length.
func TestPlainJSON(t *testing.T) {
	for c := range 256 {
		for n := range 20 {
			for at := range n {
				s := strings.Repeat("x", at) + string([]byte{byte(c)}) + strings.Repeat("~", n-at-1)
				b, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				if want := string(b) == `"`+s+`"` && c < 0x7f; PlainJSON(s) != want {
					t.Errorf("PlainJSON(%q) = %v", s, !want)
				}
			}
		}
	}
	for a := range 256 { // neighbours in one word
		for b := range 256 {
			s := "xxx" + string([]byte{byte(a), byte(b)}) + "xxx"
			if want := PlainJSON(s[3:4]) && PlainJSON(s[4:5]); PlainJSON(s) != want {
				t.Errorf("PlainJSON(%q) = %v", s, !want)
			}
		}
	}
}
