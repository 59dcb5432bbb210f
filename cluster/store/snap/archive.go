package snap

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/grafos/grafos/cluster/store/disk"
)

// Inspect returns what the archive at path says of itself. Only its manifest is verified.
func Inspect(path string) (Info, error) {
	f, info, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	return info, f.Close()
}

// Verify reads the archive at path to its end. What is not as it was written is a
// *disk.CorruptError.
func Verify(path string) (Info, error) {
	f, info, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	_, err = io.Copy(io.Discard, newReader(f, path, info))
	return info, err
}

// ReadArchive reads an archive from a stream, which messages call name: its manifest at once,
// its payload through the Reader. An archive that goes on after its payload is refused too.
func ReadArchive(r io.Reader, name string) (Info, *Reader, error) {
	info, _, err := readHead(r)
	if err != nil {
		return Info{}, nil, &disk.CorruptError{File: name, Why: err.Error()}
	}
	return info, newReader(r, name, info), nil
}

// openFile opens an archive, to be read from the beginning of its payload on.
func openFile(path string) (*os.File, Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Info{}, fmt.Errorf("open snapshot: %w", err)
	}
	info, n, err := readHead(f)
	if err != nil {
		return nil, Info{}, errors.Join(&disk.CorruptError{File: path, Why: err.Error()}, f.Close())
	}
	st, err := f.Stat()
	if err != nil {
		return nil, Info{}, errors.Join(fmt.Errorf("open snapshot: %w", err), f.Close())
	}
	if st.Size() != n+info.Size {
		why := fmt.Sprintf("it has %d bytes, its manifest says %d", st.Size(), n+info.Size)
		return nil, Info{}, errors.Join(&disk.CorruptError{File: path, Why: why}, f.Close())
	}
	return f, info, nil
}

// Reader reads a payload. The last of it comes only when all of it had the SHA-256 of the
// manifest; otherwise the read fails with a *disk.CorruptError.
type Reader struct {
	r    io.Reader
	name string
	left int64
	want string
	sum  hash.Hash
	err  error // what every later read returns
}

func newReader(r io.Reader, name string, i Info) *Reader {
	return &Reader{r: r, name: name, left: i.Size, want: i.SHA256, sum: sha256.New()}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err == nil && r.left == 0 {
		r.err = r.end()
	}
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.sum.Write(p[:n])
	r.left -= int64(n)
	switch {
	case r.left == 0:
		if r.err = r.end(); !errors.Is(r.err, io.EOF) {
			return 0, r.err
		}
	case errors.Is(err, io.EOF):
		r.err = r.corrupt(fmt.Sprintf("its payload ends %d bytes early", r.left))
	case err != nil:
		r.err = fmt.Errorf("read snapshot %s: %w", r.name, err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// end says how the payload ends: with io.EOF, when it is what was written and nothing follows.
func (r *Reader) end() error {
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != r.want {
		return r.corrupt("SHA-256 " + r.want + ", its payload has " + got)
	}
	var b [1]byte
	switch _, err := io.ReadFull(r.r, b[:]); {
	case err == nil:
		return r.corrupt("it goes on after its payload")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read snapshot %s: %w", r.name, err)
	}
	return io.EOF
}

func (r *Reader) corrupt(why string) error { return &disk.CorruptError{File: r.name, Why: why} }
