package snap

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"testing"
)

// FuzzReadArchive reads an archive whose manifest has a checksum that fits: what is parsed is
// what a forger could have written. It must end, and what it lets through has the hash that
// the manifest names.
func FuzzReadArchive(f *testing.F) {
	sum := sha256.Sum256([]byte("payload"))
	whole := Info{Format: Format, ID: "2-10-1", Index: 10, Term: 2, Configuration: []Server{{ID: "s1", Address: "a:1", Suffrage: "voter"}}, Size: 7, SHA256: hex.EncodeToString(sum[:])}
	head, err := whole.head(512)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head[prefixLen:], []byte("payload"))
	f.Add(head[prefixLen:], []byte("payloaD"))
	f.Add([]byte(`{"format":1,"id":"","index":1,"term":1,"size":-1,"sha256":""}`), []byte(""))
	f.Fuzz(func(t *testing.T, manifest, payload []byte) {
		b := append([]byte(magic), make([]byte, 8)...)
		binary.BigEndian.PutUint32(b[len(magic):], uint32(len(manifest)))
		binary.BigEndian.PutUint32(b[len(magic)+4:], checksum(manifest))
		b = append(append(b, manifest...), payload...)
		info, r, err := ReadArchive(bytes.NewReader(b), "stdin")
		if err != nil {
			return
		}
		got, err := io.ReadAll(r)
		if sum := sha256.Sum256(got); err == nil && (hex.EncodeToString(sum[:]) != info.SHA256 || int64(len(got)) != info.Size) {
			t.Errorf("%d bytes came through with %x, the manifest says %d and %s", len(got), sum, info.Size, info.SHA256)
		}
		if _, err := info.Meta(); err != nil {
			t.Errorf("Raft cannot know it: %v", err)
		}
	})
}

// FuzzReadHead reads anything as the head of an archive.
func FuzzReadHead(f *testing.F) {
	f.Add([]byte(magic))
	f.Fuzz(func(_ *testing.T, b []byte) {
		readHead(bytes.NewReader(b)) //nolint:errcheck // only that it ends
	})
}
