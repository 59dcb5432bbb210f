package blob

import (
	"crypto/sha256"
	"hash"
	"io"

	"github.com/grafos/grafos/api"
)

// verified reads a blob and checks it on the way: who reads to the end has the right bytes,
// or an error.
type verified struct {
	io.ReadCloser
	want api.Digest
	sum  hash.Hash
	left int64
	bad  func() // told once when the bytes are others
	err  error
}

func newVerified(r io.ReadCloser, d api.Digest, size int64, bad func()) *verified {
	return &verified{ReadCloser: r, want: d, sum: sha256.New(), left: size, bad: bad}
}

// Read implements io.Reader. Of wrong bytes it keeps the last ones back, so that a copy of
// them is short as well.
func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.ReadCloser.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	if err == io.EOF || err == nil && v.left <= 0 { //nolint:errorlint // io.Reader's contract
		if got := api.DigestOf([32]byte(v.sum.Sum(nil))); got != v.want {
			err = api.Refuse(api.DigestMismatch, "blob %s has the bytes of %s", v.want, got)
			v.bad()
			n = 0
		}
	}
	v.err = err
	return n, err
}
