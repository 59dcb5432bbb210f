package api

import (
	"context"
	"io"
	"net/url"
)

// WantsSync reports whether a write's query asks that it be on the disk when it is answered: sync=1.
// What is anything else is refused: who asks for it counts on it.
func WantsSync(query url.Values) (bool, error) {
	switch s := query.Get("sync"); s {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, Refuse(InvalidArgument, "query sync is %q: it must be 1, or left out", clip(s, 40))
	}
}

// MaxRelay bounds the bytes of one operation through a scheduler.
const MaxRelay = 8 << 20

// The headers of an operation on a lease's bytes, at its cell and through a scheduler.
const (
	// HeaderLeaseToken carries the capability token where Authorization is the scheduler's.
	HeaderLeaseToken = "Grafos-Lease-Token" //nolint:gosec // the name of a header
	// HeaderProof carries the holder's proof.
	HeaderProof = "Grafos-Proof"
	// HeaderNonce is in the cell's answers: what the next proof is made with.
	HeaderNonce = "Grafos-Nonce"
)

// DataRequest is one read or write of a lease's bytes through a scheduler. The cell judges it
// as if it had come straight: the scheduler only carries it.
type DataRequest struct {
	Lease  LeaseID
	Write  bool
	Token  string
	Proof  string // of the holder; "" is none
	Offset int64
	Length int64 // of a write that of Body
	Sync   bool  // a write is on the cell's disk when it is answered
	Body   io.Reader
}

// DataAnswer is what the cell answered.
type DataAnswer struct {
	Length int64
	// Nonce is what the next proof is made with; "" is that the cell did not say.
	Nonce string
	// Body is what was read; the caller closes it. Of a write it is nil.
	Body io.ReadCloser
}

// Relay is the way to a cell's data plane through a scheduler.
type Relay interface {
	LeaseData(ctx context.Context, r DataRequest) (*DataAnswer, error)
}

// DataAsk asks a cell, over its session, for an operation on its data plane. The cell fetches
// what is to be written from the scheduler that it names, and brings the answer there.
type DataAsk struct {
	Write     bool   `json:"write,omitempty"`
	Sync      bool   `json:"sync,omitempty"`
	Token     string `json:"token"`
	Proof     string `json:"proof,omitempty"`
	Offset    int64  `json:"offset"`
	Length    int64  `json:"length"`
	Scheduler string `json:"scheduler"` // URL
}

// RelayAnswer is what a cell brings.
type RelayAnswer struct {
	Problem *Error // nil is that it was done
	Nonce   string
	Length  int64
	Body    io.Reader // what was read; nil is nothing
}

// CellRelay is what a cell calls about the operations that it was asked for.
type CellRelay interface {
	// RelayBody opens what is to be written, once; the caller closes it.
	RelayBody(ctx context.Context, c CellID, ask string) (io.ReadCloser, error)
	// RelayAnswer brings the answer, and returns when it was taken.
	RelayAnswer(ctx context.Context, c CellID, ask string, a RelayAnswer) error
}
