package holder

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// MaxChain bounds a token with all its links, in bytes.
	MaxChain = 4 << 10
	// MaxLinks bounds the links of a chain.
	MaxLinks = 3
	// linkVersion is the only version of a link that is known.
	linkVersion = 1
	// joint stands before each link; no part of a token has it.
	joint = "~"
)

// Caveats is all that a token may be narrowed by. The list is closed: what a cell does not
// know might be a restriction, and is refused. What is not set restricts nothing.
type Caveats struct {
	// Ops are the operations that are left: read, write.
	Ops []string `json:"ops,omitempty"`
	// Offset and Length are the bytes that are left; no Length is up to the end.
	Offset int64 `json:"offset,omitempty"`
	Length int64 `json:"length,omitempty"`
	// MaxBytes bounds one operation.
	MaxBytes int64 `json:"max_bytes,omitempty"`
}

// Check refuses caveats that are not known or no range.
func (c Caveats) Check() error {
	for _, op := range c.Ops {
		if op != "read" && op != "write" {
			return api.Refuse(api.CaveatFailed, "the caveat ops names %.20q: read and write are known", op)
		}
	}
	if c.Offset < 0 || c.Length < 0 || c.MaxBytes < 0 || c.Length > api.MaxAmount || c.Offset > api.MaxAmount-c.Length {
		return api.Refuse(api.CaveatFailed, "the caveats offset %d, length %d, max_bytes %d are not a range", c.Offset, c.Length, c.MaxBytes)
	}
	return nil
}

// Free reports whether nothing is restricted.
func (c Caveats) Free() bool {
	return len(c.Ops) == 0 && c.Offset == 0 && c.Length == 0 && c.MaxBytes == 0
}

// Allow refuses an operation that is outside of the caveats.
func (c Caveats) Allow(op string, offset, length int64) error {
	if !c.allowsOp(op) {
		return api.Refuse(api.CaveatFailed, "the token was narrowed to %q, which is not %.20q", c.Ops, op)
	}
	if offset < c.Offset || (c.Length > 0 && (length > c.Length || offset-c.Offset > c.Length-length)) {
		return api.Refuse(api.CaveatFailed, "the token was narrowed to %s: %d bytes at %d are not within", c.window(), length, offset)
	}
	if c.MaxBytes > 0 && length > c.MaxBytes {
		return api.Refuse(api.CaveatFailed, "the token was narrowed to %d bytes an operation, %d are asked for", c.MaxBytes, length)
	}
	return nil
}

func (c Caveats) allowsOp(op string) bool {
	return len(c.Ops) == 0 || slices.Contains(c.Ops, op)
}

func (c Caveats) window() string {
	if c.Length == 0 {
		return fmt.Sprintf("what is at %d and behind", c.Offset)
	}
	return fmt.Sprintf("%d bytes at %d", c.Length, c.Offset)
}

// Link is one narrowing of a token: what is left of it, said by the holder of the one before.
type Link struct {
	Caveats Caveats
	// ExpiresAt ends the token earlier; zero is with the one before.
	ExpiresAt time.Time
	// Holder names the key that the narrowed token is for; zero is the one that narrowed it.
	Holder Thumbprint
}

// linkBody is a link as it stands in a token.
type linkBody struct {
	Version   int             `json:"v"`
	Key       []byte          `json:"key"` // of who narrows
	Holder    string          `json:"cnf,omitempty"`
	ExpiresAt time.Time       `json:"exp,omitzero"`
	Caveats   json.RawMessage `json:"caveats,omitempty"`
}

// Narrow appends a link to a token of which the key is the holder's. What the links together
// leave is the least of all of them: nothing that one took away does another give back.
func (k *Key) Narrow(token string, l Link) (string, error) {
	if err := l.Caveats.Check(); err != nil {
		return "", err
	}
	if n := strings.Count(token, joint); n >= MaxLinks {
		return "", api.Refuse(api.CaveatFailed, "the token was narrowed %d times already: at most %d", n, MaxLinks)
	}
	caveats, err := json.Marshal(l.Caveats)
	if err != nil {
		return "", fmt.Errorf("encode caveats: %w", err)
	}
	b := linkBody{Version: linkVersion, Key: k.spki, Caveats: caveats}
	if !l.ExpiresAt.IsZero() {
		b.ExpiresAt = l.ExpiresAt.UTC()
	}
	if l.Holder != (Thumbprint{}) {
		b.Holder = l.Holder.String()
	}
	data, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("encode link: %w", err)
	}
	sig, err := k.sign(linkText(token, data))
	if err != nil {
		return "", err
	}
	chain := token + joint + b64(data) + "." + b64(sig)
	if len(chain) > MaxChain {
		return "", api.Refuse(api.TooLarge, "the narrowed token would be %d bytes long: at most %d", len(chain), MaxChain)
	}
	return chain, nil
}

// linkText is what is signed: the link, and all that stands before it.
func linkText(before string, data []byte) []byte {
	sum := sha256.Sum256([]byte(before))
	return encode([]byte("grafos link 1"), sum[:], data)
}

// Cut splits a token into what the cell minted and the number of links behind it. It refuses
// what is longer than any chain, or has too many links.
func Cut(token string) (root string, links int, err error) {
	if len(token) > MaxChain {
		return "", 0, api.Refuse(api.TooLarge, "the capability token is %d bytes long: at most %d with all its links", len(token), MaxChain)
	}
	root, _, _ = strings.Cut(token, joint)
	if links = strings.Count(token, joint); links > MaxLinks {
		return "", 0, api.Refuse(api.CaveatFailed, "the capability token was narrowed %d times: at most %d", links, MaxLinks)
	}
	return root, links, nil
}

// Links verifies the links of a token whose root names cnf as its holder, and returns them, with
// the key that the last of them is for.
func Links(token string, cnf Thumbprint) ([]Link, Thumbprint, error) {
	var links []Link
	end := strings.Index(token, joint)
	for end >= 0 {
		if cnf == (Thumbprint{}) {
			return nil, cnf, api.Refuse(api.BadSignature, "the capability token was narrowed, and names no holder who could do that")
		}
		text, next := token[end+1:], strings.Index(token[end+1:], joint)
		if next >= 0 {
			text = text[:next]
		}
		l, err := readLink(token[:end], text, cnf)
		if err != nil {
			return nil, cnf, err
		}
		links = append(links, l)
		if l.Holder != (Thumbprint{}) {
			cnf = l.Holder
		}
		if next < 0 {
			break
		}
		end += 1 + next
	}
	return links, cnf, nil
}

// readLink verifies one link of the key named cnf.
func readLink(before, text string, cnf Thumbprint) (Link, error) {
	head, tail, _ := strings.Cut(text, ".")
	data, err := unb64(head)
	if err != nil {
		return Link{}, badLink("it cannot be read: %v", err)
	}
	sig, err := unb64(tail)
	if err != nil {
		return Link{}, badLink("its signature cannot be read: %v", err)
	}
	var b linkBody
	if err := decode(data, &b); err != nil {
		return Link{}, badLink("it cannot be read: %v", err)
	}
	if got := ThumbprintOf(b.Key); got != cnf {
		return Link{}, badLink("it is signed with key %s, the holder's is %s", got, cnf)
	}
	if err := verify(b.Key, linkText(before, data), sig); err != nil {
		return Link{}, badLink("%v", err)
	}
	return b.link()
}

// link takes the body of a link whose signature is good.
func (b linkBody) link() (Link, error) {
	if b.Version != linkVersion {
		return Link{}, badLink("its version is %d, this cell reads version %d", b.Version, linkVersion)
	}
	l := Link{ExpiresAt: b.ExpiresAt}
	if b.Holder != "" {
		t, err := ParseThumbprint(b.Holder)
		if err != nil {
			return Link{}, badLink("%v", err)
		}
		l.Holder = t
	}
	if len(b.Caveats) > 0 {
		if err := DecodeCaveats(b.Caveats, &l.Caveats); err != nil {
			return Link{}, err
		}
	}
	return l, nil
}

// DecodeCaveats reads caveats; one that is not known is caveat_failed.
func DecodeCaveats(data []byte, c *Caveats) error {
	if err := decode(data, c); err != nil {
		return api.Refuse(api.CaveatFailed, "a caveat of the capability token is not known here, and so nothing is allowed: %v", err)
	}
	return c.Check()
}

// decode reads one JSON document strictly.
func decode(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode: something stands behind it")
	}
	return nil
}

func badLink(format string, args ...any) *api.Error {
	return api.Refuse(api.BadSignature, "the narrowing of the capability token is refused: %s", fmt.Sprintf(format, args...))
}
