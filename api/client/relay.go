package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

// relayTime is what an operation through a scheduler may take beyond an ordinary call.
const relayTime = 45 * time.Second

// LeaseData carries one operation on a lease's bytes through a scheduler. The caller closes the
// body of the answer to a read.
func (c *Client) LeaseData(ctx context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	k := call{
		method: http.MethodGet, path: userBase + "/leases/" + seg(r.Lease) + "/data", extra: relayTime, cell: true,
		query: url.Values{"offset": {strconv.FormatInt(r.Offset, 10)}, "length": {strconv.FormatInt(r.Length, 10)}},
		head:  map[string]string{api.HeaderLeaseToken: r.Token, api.HeaderProof: r.Proof}, accept: octets, stream: true,
	}
	if r.Sync {
		k.query.Set("sync", "1")
	}
	if r.Write {
		src := &source{r: r.Body}
		defer src.end()
		k.method, k.open, k.size, k.write, k.stream = http.MethodPut, src.open, r.Length, true, false
	}
	var answer api.DataAnswer
	err := c.each(ctx, k, func(resp *http.Response) error {
		answer = api.DataAnswer{Length: resp.ContentLength, Nonce: resp.Header.Get(api.HeaderNonce), Body: resp.Body}
		if r.Write {
			drain(resp.Body)
			answer.Length, answer.Body = 0, nil
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &answer, nil
}

const (
	octets      = "application/octet-stream"
	problemType = "application/problem+json"
)

// RelayBody opens what a cell is asked to write.
func (c *Client) RelayBody(ctx context.Context, cell api.CellID, ask string) (io.ReadCloser, error) {
	var body io.ReadCloser
	k := call{method: http.MethodGet, path: relayPath(cell, ask), accept: octets, stream: true}
	err := c.each(ctx, k, func(resp *http.Response) error {
		body = resp.Body
		return nil
	})
	return body, err
}

// RelayAnswer brings a cell's answer.
func (c *Client) RelayAnswer(ctx context.Context, cell api.CellID, ask string, a api.RelayAnswer) error {
	body, size, kind := a.Body, a.Length, octets
	if a.Problem != nil {
		text, err := json.Marshal(a.Problem)
		if err != nil {
			return api.Refuse(api.Internal, "the answer cannot be encoded: %v", err)
		}
		body, size, kind = bytes.NewReader(text), int64(len(text)), problemType
	}
	if body == nil {
		body, size = http.NoBody, 0
	}
	src := &source{r: body}
	defer src.end()
	return c.do(ctx, call{
		method: http.MethodPut, path: relayPath(cell, ask), open: src.open, size: size, write: true, extra: relayTime,
		head: map[string]string{"Content-Type": kind, api.HeaderNonce: a.Nonce},
	}, nil)
}

func relayPath(cell api.CellID, ask string) string {
	return userBase + "/cells/" + seg(cell) + "/relay/" + seg(ask)
}
