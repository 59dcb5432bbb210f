package gossip

import (
	"bytes"

	"github.com/hashicorp/go-hclog"
)

// demoted writes memberlist's log one level lower than memberlist thinks: what it calls an
// error is a peer that did not answer, which heals itself or shows in Members.
// What says that something was dropped is counted, and seldom written.
type demoted struct {
	log   hclog.Logger
	drops *Drops
}

// Write takes one line: date, time, level in brackets, "memberlist: " and the text.
func (d demoted) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	level := hclog.Debug
	if open, end := bytes.IndexByte(text, '['), bytes.IndexByte(text, ']'); open >= 0 && open < end {
		switch string(text[open+1 : end]) {
		case "ERR", "ERROR":
			level = hclog.Warn
		case "DEBUG":
			level = hclog.Trace
		}
		text = bytes.TrimPrefix(bytes.TrimSpace(text[end+1:]), []byte("memberlist: "))
	}
	if why, ok := dropOf(string(text)); ok {
		sayDropped(d.log, d.drops, why, string(text))
		return len(line), nil
	}
	d.log.Log(level, "memberlist", "text", string(text))
	return len(line), nil
}

// sayDropped counts what was dropped.
func sayDropped(log hclog.Logger, drops *Drops, why Drop, text string) {
	n, loud := drops.add(why)
	level := hclog.Debug
	if loud {
		level = hclog.Warn
	}
	args := []any{"reason", string(why), "count", n, "text", text}
	if cause := why.cause(); cause != "" {
		args = append(args, "cause", cause)
	}
	log.Log(level, "gossip dropped", args...)
}
