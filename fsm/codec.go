package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/grafos/grafos/api"
)

// MaxEntry bounds the bytes of one encoded entry.
const MaxEntry = 256 << 10

// entryVersion is the first byte of an encoded entry.
const entryVersion = 1

// maxDepth bounds how deep items nest.
const maxDepth = 16

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
		MaxNestedLevels:   maxDepth,
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
	read Command         // the same, where it was read already
}

// EncodeEntry returns the bytes of e for the log: a version byte and deterministic CBOR. It
// refuses with too_large what is over MaxEntry or MaxCommands, and with invalid_argument
// whatever DecodeEntry would not take: nothing may enter the log that stops those who read it.
func EncodeEntry(e Entry) ([]byte, error) {
	if len(e.Commands) > MaxCommands {
		return nil, api.Refuse(api.TooLarge, "entry has %d commands: at most %d are taken", len(e.Commands), MaxCommands)
	}
	var cd codec // made when a command needs it
	d, _ := drafts.Get().(*draft)
	defer drafts.Put(d)
	written, err := cd.appendEntry(d.b[:0], e)
	if err != nil {
		return nil, err
	}
	d.b = written
	if len(written) > MaxEntry {
		return nil, api.Refuse(api.TooLarge, "entry has %d bytes: at most %d are taken", len(written), MaxEntry)
	}
	b := bytes.Clone(written)
	if _, err := cd.decodeEntry(b, &d.memory); err != nil {
		return nil, api.Refuse(api.InvalidArgument, "entry cannot be read back: %v", err)
	}
	return b, nil
}

// draft is what EncodeEntry writes an entry into, and reads it back into.
type draft struct {
	b []byte
	memory
}

var drafts = sync.Pool{New: func() any { return new(draft) }} //nolint:gochecknoglobals // a pool is of the process

// ready makes the codec if it is not made yet.
func (cd *codec) ready() (err error) {
	if cd.enc == nil {
		*cd, err = newCodec()
	}
	return err
}

func (cd *codec) appendEntry(b []byte, e Entry) ([]byte, error) {
	b = appendHead(append(b, entryVersion), cborMap, 3)
	b = putInt(b, "tick", e.Tick)
	b = putInt(b, "wall_ms", e.Wall)
	b = appendHead(appendName(b, "commands"), cborArray, uint64(len(e.Commands)))
	for i, c := range e.Commands {
		if c == nil {
			return nil, api.Refuse(api.InvalidArgument, "command %d of the entry is missing", i)
		}
		b = appendName(appendHead(b, cborMap, 2), "body")
		var err error
		if b, err = cd.appendBody(b, c); err != nil {
			return nil, api.Refuse(api.InvalidArgument, "command %d of kind %d cannot be encoded: %v", i, c.Kind(), err)
		}
		b = putUint(b, "kind", uint64(c.Kind()))
		if len(b) > MaxEntry {
			return nil, api.Refuse(api.TooLarge, "entry has over %d bytes: at most %d are taken", len(b), MaxEntry)
		}
	}
	return b, nil
}

func (cd *codec) appendBody(b []byte, c Command) ([]byte, error) {
	if body, ok := appendHot(b, c); ok {
		return body, nil
	}
	if err := cd.ready(); err != nil {
		return nil, err
	}
	body, err := cd.enc.Marshal(c)
	return append(b, body...), err
}

// DecodeEntry reads what EncodeEntry wrote. It refuses unknown versions, kinds and fields,
// duplicate keys, trailing bytes and whatever is over the bounds. The commands it returns
// are pointers to the command structs.
func DecodeEntry(b []byte) (Entry, error) {
	var cd codec
	return cd.decodeEntry(b, nil)
}

// decodeEntry decodes an entry. Into m, where that is not nil: then the commands are there until
// the next entry is decoded into it, names that come again are shared, and the other texts are parts
// of b, which nobody may change any more.
func (cd *codec) decodeEntry(b []byte, m *memory) (Entry, error) {
	if len(b) == 0 || len(b) > MaxEntry {
		return Entry{}, api.Refuse(api.TooLarge, "entry has %d bytes: it must have 1 to %d", len(b), MaxEntry)
	}
	if b[0] != entryVersion {
		return Entry{}, &UnknownEntryError{Version: b[0]}
	}
	r := hotReader{pools: new(pools)}
	if m != nil {
		m.pools.again()
		r.names, r.pools, r.lent = &m.names, &m.pools, true
	}
	wire, ok := r.frame(b[1:])
	if !ok {
		if err := cd.ready(); err != nil {
			return Entry{}, err
		}
		wire = wireEntry{}
		if err := cd.dec.Unmarshal(b[1:], &wire); err != nil {
			return Entry{}, fmt.Errorf("decode entry: %w", err)
		}
	}
	if len(wire.Commands) > MaxCommands {
		return Entry{}, api.Refuse(api.TooLarge, "entry has %d commands: at most %d are taken", len(wire.Commands), MaxCommands)
	}
	e := Entry{Tick: wire.Tick, Wall: wire.Wall, Commands: r.pools.commands.take(len(wire.Commands))}
	for i := range wire.Commands {
		w := &wire.Commands[i]
		if e.Commands[i] = w.read; w.read != nil {
			continue
		}
		c, err := cd.decodeBody(w, &r)
		if unknown, ok := errors.AsType[*UnknownEntryError](err); ok {
			return Entry{}, unknown // it has its index later, which a wrapped one could not say
		}
		if err != nil {
			return Entry{}, fmt.Errorf("decode command %d of kind %d: %w", i, w.Kind, err)
		}
		e.Commands[i] = c
	}
	return e, nil
}

// frame reads what is round the commands of an entry, as appendEntry writes it, and most commands
// on the way; ok is false for every other form.
func (r *hotReader) frame(b []byte) (e wireEntry, ok bool) {
	r.s = r.share(b)
	outer := r.begin()
	r.must("tick")
	e.Tick = api.Tick(r.int())
	r.must("wall_ms")
	e.Wall = r.int()
	r.must("commands")
	n := r.list(MaxCommands)
	if r.bad {
		return e, false
	}
	e.Commands = r.pools.wire.take(n)
	like := KindGrantLeases
	for i := range e.Commands {
		e.Commands[i] = r.command(b, like)
		like = e.Commands[i].Kind
	}
	r.end(outer)
	return e, !r.bad && r.at == len(r.s)
}

// command reads a command of the entry b. Its kind stands behind its body: so the body is read as
// one like the command before, and passed over where it is none.
func (r *hotReader) command(b []byte, like Kind) (w wireCommand) {
	outer := r.begin()
	r.must("body")
	from := r.at
	try := *r
	if w.read = try.body(like); w.read != nil {
		r.at = try.at
	} else {
		r.skip(0)
	}
	w.Body = b[from:r.at]
	r.must("kind")
	kind := r.uint()
	w.Kind = Kind(kind)
	r.bad = r.bad || uint64(w.Kind) != kind
	if w.Kind != like {
		w.read = nil
	}
	r.end(outer)
	return w
}

func (cd *codec) decodeBody(w *wireCommand, frame *hotReader) (Command, error) {
	r := hotReader{s: frame.share(w.Body), names: frame.names, pools: frame.pools}
	if c := r.read(w.Kind); c != nil {
		return c, nil
	}
	c := w.Kind.make()
	if c == nil {
		return nil, &UnknownEntryError{Version: entryVersion, Kind: w.Kind}
	}
	if err := cd.ready(); err != nil {
		return nil, err
	}
	err := cd.dec.Unmarshal(w.Body, c)
	if _, unknown := errors.AsType[*cbor.UnknownFieldError](err); unknown {
		return nil, &UnknownEntryError{Version: entryVersion, Kind: w.Kind, Field: true}
	}
	return c, err
}

// UnknownEntryError says that an entry is of a version, a kind or a shape that this node does
// not know: a later release wrote it. Nobody may go on without it, since the others apply it.
type UnknownEntryError struct {
	Index   uint64 // of the entry; 0 where it has none yet
	Version byte   // of the entry
	Kind    Kind   // of the command; 0 when it is the version that is unknown
	Field   bool   // the kind is known, a field of the command is not
}

// Error says what is unknown, what this node knows, and what to do.
func (e *UnknownEntryError) Error() string {
	what := fmt.Sprintf("a command of kind %d", e.Kind)
	switch {
	case e.Version != entryVersion:
		what = fmt.Sprintf("entry version %d", e.Version)
	case e.Field:
		what += " with a field that is unknown here"
	}
	return fmt.Sprintf("entry %d has %s: this node knows entry version %d and the kinds 1 to %d, which is feature level %d: run a release that knows it here",
		e.Index, what, entryVersion, newestKind, NewestLevel)
}

// EncodedSize returns how many bytes c takes in an entry, for whoever fills one; more than
// MaxEntry when it cannot be encoded at all.
func EncodedSize(c Command) int {
	const frame = 24 // the map, the names and the kind around a body
	if c == nil {
		return MaxEntry + 1
	}
	var scratch [1024]byte
	var cd codec
	b, err := cd.appendBody(scratch[:0], c)
	if err != nil {
		return MaxEntry + 1
	}
	return len(b) + frame
}
