package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"sync"

	"github.com/grafos/grafos/api"
)

// PutBlob stores size bytes of r under their digest. It is repeated as other writes are when
// r is an io.Seeker, and otherwise only as long as nothing of r was read.
func (c *Client) PutBlob(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	return c.upload(ctx, userBase+"/blobs/"+seg(d), size, r)
}

// GetBlob opens a blob. Reading it to the end checks its digest.
func (c *Client) GetBlob(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	body, head, err := c.download(ctx, userBase+"/blobs/"+seg(d), d)
	if err != nil {
		return nil, 0, err
	}
	return body, head.size, nil
}

// HasBlob reports whether a quorum of schedulers has a blob.
func (c *Client) HasBlob(ctx context.Context, d api.Digest) (bool, error) {
	err := c.do(ctx, call{method: http.MethodHead, path: userBase + "/blobs/" + seg(d)}, nil)
	if api.KindOf(err) == api.NotFound {
		return false, nil
	}
	return err == nil, err
}

// upload puts a raw body.
func (c *Client) upload(ctx context.Context, path string, size int64, r io.Reader) error {
	src := &source{r: r}
	defer src.end()
	return c.do(ctx, call{
		method: http.MethodPut, path: path, open: src.open, size: size, write: true, extra: blobExtra(size),
	}, nil)
}

// source hands a reader out to one try after another.
type source struct {
	r    io.Reader
	last *lent
}

// open takes the reader back from the try before, rewinds it and lends it again.
func (s *source) open() (io.Reader, error) {
	read := s.end()
	if read {
		seeker, ok := s.r.(io.Seeker)
		if !ok {
			return nil, spent(errors.New("they are not seekable"))
		}
		if _, err := seeker.Seek(0, io.SeekStart); err != nil {
			return nil, spent(err)
		}
	}
	s.last = &lent{r: s.r}
	return s.last, nil
}

// spent is the end of an upload that cannot be repeated.
func spent(cause error) error {
	return &endedError{
		problem: api.Refuse(api.OutcomeUnknown, "sending the bytes broke off, and they cannot be read again from their beginning: %v", cause),
		cause:   cause,
	}
}

// end takes the reader back, and reports whether anything was ever read of it.
func (s *source) end() bool {
	if s.last == nil {
		return false
	}
	_ = s.last.Close()
	return s.last.read
}

// lent is a reader that can be taken back from the transport, which may go on reading after
// it has reported an error.
type lent struct {
	mu     sync.Mutex
	r      io.Reader
	closed bool
	read   bool
}

// Read reads as long as the reader was not taken back.
func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errors.New("body was taken back")
	}
	l.read = true
	return l.r.Read(p)
}

// Close takes the reader back; it waits for a Read that is under way.
func (l *lent) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// blobHead is what the headers of a download say.
type blobHead struct {
	digest api.Digest
	size   int64
}

// download opens a raw body under want, or, where want is empty, under the digest that the
// answer names.
func (c *Client) download(ctx context.Context, path string, want api.Digest) (io.ReadCloser, blobHead, error) {
	var body io.ReadCloser
	var head blobHead
	err := c.each(ctx, call{method: http.MethodGet, path: path, accept: "application/octet-stream", stream: true}, func(resp *http.Response) error {
		head = blobHead{digest: api.Digest(resp.Header.Get("Grafos-Digest")), size: resp.ContentLength}
		if want != "" {
			head.digest = want
		}
		if err := api.CheckDigest(head.digest); err != nil || head.size < 0 {
			_ = resp.Body.Close()
			return api.Refuse(api.Internal, "the scheduler sent a blob without its digest and size")
		}
		body = &checked{body: resp.Body, sum: sha256.New(), want: head.digest}
		return nil
	})
	return body, head, err
}

// checked is a download that fails at its end when the bytes are not those of its digest.
type checked struct {
	body io.ReadCloser
	sum  hash.Hash
	want api.Digest
}

// Read reads, and at the end compares.
func (d *checked) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := api.DigestOf([32]byte(d.sum.Sum(nil))); got != d.want {
			return n, api.Refuse(api.DigestMismatch, "the scheduler sent %s for %s", got, d.want)
		}
	}
	return n, err
}

// Close ends the download.
func (d *checked) Close() error { return d.body.Close() }
