package snap

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
)

// Format is the format of the archives that this release writes, and the newest that it reads.
const Format = 1

const (
	magic     = "GRAFSNAP"
	prefixLen = len(magic) + 8
	// maxManifest bounds the manifest: thousands of servers fit, a damaged length does not.
	maxManifest = 1 << 20
	// manifestBlock is what the manifest's room is a multiple of.
	manifestBlock = 512
)

// Info is the manifest of a snapshot: what an archive says of itself.
type Info struct {
	Format             int      `json:"format"`
	ID                 string   `json:"id"`
	Index              uint64   `json:"index"`
	Term               uint64   `json:"term"`
	ConfigurationIndex uint64   `json:"configuration_index"`
	Configuration      []Server `json:"configuration"`
	Size               int64    `json:"size"`   // of the payload, in bytes
	SHA256             string   `json:"sha256"` // of the payload, in lower-case hex
}

// Server is a member of the configuration that a snapshot was taken in.
type Server struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Suffrage string `json:"suffrage"` // voter, nonvoter or staging
}

// Meta returns the manifest as Raft knows it.
func (i Info) Meta() (*raft.SnapshotMeta, error) {
	m := &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: i.ID, Index: i.Index, Term: i.Term,
		ConfigurationIndex: i.ConfigurationIndex, Size: i.Size,
	}
	for _, s := range i.Configuration {
		suffrage, err := suffrageOf(s.Suffrage)
		if err != nil {
			return nil, err
		}
		m.Configuration.Servers = append(m.Configuration.Servers, raft.Server{
			Suffrage: suffrage, ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Address),
		})
	}
	return m, nil
}

// infoOf is the manifest of a snapshot that Raft knows by m. Its hash is not known yet.
func infoOf(m *raft.SnapshotMeta) (Info, error) {
	i := Info{
		Format: Format, ID: m.ID, Index: m.Index, Term: m.Term,
		ConfigurationIndex: m.ConfigurationIndex, Configuration: []Server{}, Size: m.Size,
	}
	for _, s := range m.Configuration.Servers {
		name := suffrageName(s.Suffrage)
		if name == "" {
			return Info{}, fmt.Errorf("server %s has suffrage %d, which this release does not know", s.ID, s.Suffrage)
		}
		i.Configuration = append(i.Configuration, Server{ID: string(s.ID), Address: string(s.Address), Suffrage: name})
	}
	return i, nil
}

func suffrageName(s raft.ServerSuffrage) string {
	switch s {
	case raft.Voter:
		return "voter"
	case raft.Nonvoter:
		return "nonvoter"
	case raft.Staging:
		return "staging"
	}
	return ""
}

func suffrageOf(name string) (raft.ServerSuffrage, error) {
	for _, s := range []raft.ServerSuffrage{raft.Voter, raft.Nonvoter, raft.Staging} {
		if suffrageName(s) == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("a server has suffrage %q, which this release does not know", name)
}

// room returns how many bytes the manifest needs whatever the payload turns out to be.
func (i Info) room() (int, error) {
	i.Size, i.SHA256 = 1<<63-1, hex.EncodeToString(make([]byte, 32))
	b, err := json.Marshal(i)
	if err != nil {
		return 0, fmt.Errorf("encode snapshot manifest: %w", err)
	}
	n := (len(b) + manifestBlock - 1) / manifestBlock * manifestBlock
	if n > maxManifest {
		return 0, fmt.Errorf("the snapshot's manifest takes %d bytes, at most %d are read", n, maxManifest)
	}
	return n, nil
}

// head returns what stands before the payload, its manifest padded to room bytes.
func (i Info) head(room int) ([]byte, error) {
	b, err := json.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot manifest: %w", err)
	}
	if len(b) > room {
		return nil, fmt.Errorf("the snapshot's manifest takes %d bytes, %d were left for it", len(b), room)
	}
	b = append(b, bytes.Repeat([]byte{' '}, room-len(b))...)
	h := append(make([]byte, 0, prefixLen+room), magic...)
	h = binary.BigEndian.AppendUint32(h, uint32(room))
	h = binary.BigEndian.AppendUint32(h, checksum(b))
	return append(h, b...), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// readHead reads what stands before the payload and returns it with its length. Errors say
// what is wrong, in words.
func readHead(r io.Reader) (Info, int64, error) {
	prefix := make([]byte, prefixLen)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return Info{}, 0, short(err)
	}
	if string(prefix[:len(magic)]) != magic {
		return Info{}, 0, errors.New("it does not begin as a snapshot archive does")
	}
	n := binary.BigEndian.Uint32(prefix[len(magic):])
	if n == 0 || n > maxManifest {
		return Info{}, 0, fmt.Errorf("its manifest cannot take %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return Info{}, 0, short(err)
	}
	if want, got := binary.BigEndian.Uint32(prefix[len(magic)+4:]), checksum(b); want != got {
		return Info{}, 0, fmt.Errorf("checksum %08x, its manifest has %08x", want, got)
	}
	info, err := parseManifest(b)
	return info, int64(prefixLen) + int64(n), err
}

func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends within its manifest")
	}
	return fmt.Errorf("read its manifest: %w", err)
}

func parseManifest(b []byte) (Info, error) {
	var i Info
	if err := json.Unmarshal(b, &i); err != nil {
		return Info{}, fmt.Errorf("its manifest is not readable: %w", err)
	}
	if i.Format != Format { // before anything else: what follows is this format's business
		return Info{}, fmt.Errorf("archive format %d, this release knows %d", i.Format, Format)
	}
	if sum, err := hex.DecodeString(i.SHA256); err != nil || len(sum) != 32 {
		return Info{}, errors.New("its manifest names no SHA-256")
	}
	if i.Index == 0 || i.Term == 0 || i.Size < 0 {
		return Info{}, fmt.Errorf("index %d, term %d and %d bytes make no snapshot", i.Index, i.Term, i.Size)
	}
	if _, err := i.Meta(); err != nil {
		return Info{}, err
	}
	return i, nil
}
