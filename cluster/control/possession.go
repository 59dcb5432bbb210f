package control

import (
	"crypto/sha256"
	"hash"
	"io"

	"github.com/grafos/grafos/api"
)

// possession is the body of a put, of which the digest is proved although nobody may have wanted its bytes:
// who knows a digest and has not what it is of must not be taken for one that put it.
type possession struct {
	digest api.Digest
	size   int64
	from   io.Reader
	sum    hash.Hash
	read   int64
}

func possessed(d api.Digest, size int64, from io.Reader) *possession {
	return &possession{digest: d, size: size, from: from, sum: sha256.New()}
}

// Read passes bytes on.
func (p *possession) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.sum.Write(b[:n])
	p.read += int64(n)
	return n, err //nolint:wrapcheck // io.EOF is compared
}

// prove reads what is left, and refuses a body that is not what it was said to be.
func (p *possession) prove() error {
	if _, err := io.Copy(io.Discard, io.LimitReader(p, p.size-p.read+1)); err != nil {
		return api.Refuse(api.InvalidArgument, "the body of blob %s cannot be read: %v", p.digest, err)
	}
	if p.read != p.size {
		return api.Refuse(api.InvalidArgument, "the body of blob %s is not of the %d bytes that were announced", p.digest, p.size)
	}
	if got := api.DigestOf([32]byte(p.sum.Sum(nil))); got != p.digest {
		return api.Refuse(api.DigestMismatch, "the body is of digest %s, %s was announced", got, p.digest)
	}
	return nil
}
