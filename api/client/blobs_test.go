package client

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// flaky breaks the first puts after it has read some of their bytes.
func flaky(failures int, got *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if failures > 0 {
			failures--
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		}
		b, _ := io.ReadAll(r.Body)
		*got = append(*got, string(b))
		w.WriteHeader(http.StatusNoContent)
	}
}

func TestPutBlobRewinds(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 200_000)
	d := api.DigestOf(sha256.Sum256(data))
	var got []string
	c := served(t, flaky(2, &got))
	if err := c.PutBlob(t.Context(), d, int64(len(data)), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != string(data) {
		t.Errorf("%d puts arrived whole", len(got))
	}
}

// TestPutBlobOnce: what cannot be rewound is not sent from its middle.
func TestPutBlobOnce(t *testing.T) {
	data := strings.Repeat("0123456789", 200_000)
	d := api.DigestOf(sha256.Sum256([]byte(data)))
	var got []string
	c := served(t, flaky(1, &got))
	if err := c.PutBlob(t.Context(), d, int64(len(data)), io.MultiReader(strings.NewReader(data))); api.KindOf(err) != api.OutcomeUnknown || len(got) != 0 {
		t.Errorf("%v, %d arrived", err, len(got))
	}
	// Nothing was read when the connection was refused: then it may be sent.
	alive := served(t, flaky(0, &got))
	both, err := alive.At("http://127.0.0.1:1", alive.urls[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := both.PutBlob(t.Context(), d, int64(len(data)), io.MultiReader(strings.NewReader(data))); err != nil || len(got) != 1 {
		t.Errorf("%v, %d arrived", err, len(got))
	}
}

func TestPutEmptyBlob(t *testing.T) {
	var got []string
	c := served(t, flaky(0, &got))
	if err := c.PutBlob(t.Context(), api.DigestOf(sha256.Sum256(nil)), 0, strings.NewReader("")); err != nil || len(got) != 1 || got[0] != "" {
		t.Errorf("%v, arrived %q", err, got)
	}
}

// TestGetBlobChecks: bytes that are too few or others are never taken for the blob.
func TestGetBlobChecks(t *testing.T) {
	d := api.DigestOf(sha256.Sum256([]byte("whole")))
	for name, h := range map[string]http.HandlerFunc{
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "who")
		},
		"others": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "other") },
		"no size": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "whole")
		},
	} {
		t.Run(name, func(t *testing.T) {
			body, _, err := served(t, h).GetBlob(t.Context(), d)
			if err != nil {
				return
			}
			defer func() { _ = body.Close() }()
			if b, err := io.ReadAll(body); err == nil {
				t.Errorf("read %q without an error", b)
			}
		})
	}
}

// TestSource: a reader that was taken back is read by nobody, and starts at its beginning.
func TestSource(t *testing.T) {
	s := &source{r: strings.NewReader("0123456789")}
	first, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	second, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := first.Read(make([]byte, 4)); n != 0 || err == nil {
		t.Errorf("the old try read %d more bytes, %v", n, err)
	}
	if b, err := io.ReadAll(second); string(b) != "0123456789" || err != nil {
		t.Errorf("the new try read %q, %v", b, err)
	}
}
