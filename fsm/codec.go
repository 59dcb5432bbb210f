package fsm

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/grafos/grafos/api"
)

// MaxEntry bounds the bytes of one encoded entry.
const MaxEntry = 256 << 10

// entryVersion is the first byte of an encoded entry.
const entryVersion = 1

// codec is the CBOR of the log and of snapshots: deterministic to write, strict to read.
// The JSON names of the structs are the names in the bytes.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

func newCodec() (codec, error) {
	eo := cbor.CoreDetEncOptions()
	eo.Time = cbor.TimeRFC3339NanoUTC // the default keeps whole seconds only
	enc, err := eo.UserBufferEncMode()
	if err != nil {
		return codec{}, fmt.Errorf("make encoder: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   16,
		MaxArrayElements:  4096,
		MaxMapPairs:       1024,
	}.DecMode()
	if err != nil {
		return codec{}, fmt.Errorf("make decoder: %w", err)
	}
	return codec{enc: enc, dec: dec}, nil
}

// wireEntry is Entry as it is written.
type wireEntry struct {
	Tick     api.Tick      `json:"tick"`
	Wall     int64         `json:"wall_ms"`
	Commands []wireCommand `json:"commands"`
}

// wireCommand is a command behind its kind.
type wireCommand struct {
	Kind Kind            `json:"kind"`
	Body cbor.RawMessage `json:"body"`
}

// EncodeEntry returns the bytes of e for the log: a version byte and deterministic CBOR. It
// refuses with too_large what is over MaxEntry or MaxCommands, and with invalid_argument
// whatever DecodeEntry would not take: nothing may enter the log that stops those who read it.
func EncodeEntry(e Entry) ([]byte, error) {
	if len(e.Commands) > MaxCommands {
		return nil, api.Refuse(api.TooLarge, "entry has %d commands: at most %d are taken", len(e.Commands), MaxCommands)
	}
	cd, err := newCodec()
	if err != nil {
		return nil, err
	}
	b, err := cd.encodeEntry(e)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxEntry {
		return nil, api.Refuse(api.TooLarge, "entry has %d bytes: at most %d are taken", len(b), MaxEntry)
	}
	if _, err := cd.decodeEntry(b); err != nil {
		return nil, api.Refuse(api.InvalidArgument, "entry cannot be read back: %v", err)
	}
	return b, nil
}

func (cd codec) encodeEntry(e Entry) ([]byte, error) {
	wire := wireEntry{Tick: e.Tick, Wall: e.Wall, Commands: make([]wireCommand, len(e.Commands))}
	for i, c := range e.Commands {
		if c == nil {
			return nil, api.Refuse(api.InvalidArgument, "command %d of the entry is missing", i)
		}
		body, err := cd.enc.Marshal(c)
		if err != nil {
			return nil, api.Refuse(api.InvalidArgument, "command %d of kind %d cannot be encoded: %v", i, c.Kind(), err)
		}
		wire.Commands[i] = wireCommand{Kind: c.Kind(), Body: body}
	}
	var buf bytes.Buffer
	buf.WriteByte(entryVersion)
	if err := cd.enc.MarshalToBuffer(&wire, &buf); err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return buf.Bytes(), nil
}

// DecodeEntry reads what EncodeEntry wrote. It refuses unknown versions, kinds and fields,
// duplicate keys, trailing bytes and whatever is over the bounds. The commands it returns
// are pointers to the command structs.
func DecodeEntry(b []byte) (Entry, error) {
	cd, err := newCodec()
	if err != nil {
		return Entry{}, err
	}
	return cd.decodeEntry(b)
}

func (cd codec) decodeEntry(b []byte) (Entry, error) {
	if len(b) == 0 || len(b) > MaxEntry {
		return Entry{}, api.Refuse(api.TooLarge, "entry has %d bytes: it must have 1 to %d", len(b), MaxEntry)
	}
	if b[0] != entryVersion {
		return Entry{}, api.Refuse(api.InvalidArgument, "entry has version %d: this node knows %d", b[0], entryVersion)
	}
	var wire wireEntry
	if err := cd.dec.Unmarshal(b[1:], &wire); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	if len(wire.Commands) > MaxCommands {
		return Entry{}, api.Refuse(api.TooLarge, "entry has %d commands: at most %d are taken", len(wire.Commands), MaxCommands)
	}
	e := Entry{Tick: wire.Tick, Wall: wire.Wall, Commands: make([]Command, len(wire.Commands))}
	for i, w := range wire.Commands {
		c := w.Kind.make()
		if c == nil {
			return Entry{}, api.Refuse(api.InvalidArgument, "command %d of the entry has kind %d: this node does not know it", i, w.Kind)
		}
		if err := cd.dec.Unmarshal(w.Body, c); err != nil {
			return Entry{}, fmt.Errorf("decode command %d of kind %d: %w", i, w.Kind, err)
		}
		e.Commands[i] = c
	}
	return e, nil
}

// EncodedSize returns how many bytes c takes in an entry, for whoever fills one; more than
// MaxEntry when it cannot be encoded at all.
func EncodedSize(c Command) int {
	const frame = 24 // the map, the names and the kind around a body
	cd, err := newCodec()
	if err != nil || c == nil {
		return MaxEntry + 1
	}
	b, err := cd.enc.Marshal(c)
	if err != nil {
		return MaxEntry + 1
	}
	return len(b) + frame
}
