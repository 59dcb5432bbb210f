package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// request is a message as raft puts it on a connection: a byte for its kind, then the message.
func request(tb testing.TB, kind byte, msg any) []byte {
	tb.Helper()
	b := bytes.NewBuffer([]byte{kind})
	if err := codec.NewEncoder(b, &codec.MsgpackHandle{}).Encode(msg); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// FuzzPeer: whatever a scheduler sends, the link stays up, holds no connection of it beyond its
// end, and hears the next one.
func FuzzPeer(f *testing.F) {
	head := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("s2"), Addr: []byte("127.0.0.1:2")}
	f.Add(request(f, 0, &raft.AppendEntriesRequest{RPCHeader: head, Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, LeaderCommitIndex: 1, Entries: []*raft.Log{
		{Index: 2, Term: 2, Type: raft.LogCommand, Data: []byte("entry"), Extensions: []byte("chain")},
	}}))
	f.Add(request(f, 1, &raft.RequestVoteRequest{RPCHeader: head, Term: 3, LastLogIndex: 2, LastLogTerm: 2}))
	f.Add(append(request(f, 2, &raft.InstallSnapshotRequest{RPCHeader: head, SnapshotVersion: 1, Term: 3, LastLogIndex: 2, LastLogTerm: 2, Size: 8}), "snapshot"...))
	f.Add(request(f, 3, &raft.TimeoutNowRequest{RPCHeader: head}))
	f.Add(request(f, 4, &raft.RequestPreVoteRequest{RPCHeader: head, Term: 3, LastLogIndex: 2, LastLogTerm: 2}))
	f.Add([]byte{0, 0x81, 0xa7, 'E', 'n', 't', 'r', 'i', 'e', 's', 0xdd, 0xff, 0xff, 0xff, 0xff}) // four thousand million entries, it says
	f.Add([]byte{9})

	link, _ := newRig(f).link("s1")
	ctx, stop := context.WithCancel(context.Background())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		answer(ctx, link.Consumer())
	}()
	f.Cleanup(func() { stop(); <-answered })

	good := request(f, 1, &raft.RequestVoteRequest{RPCHeader: head, Term: 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		say(t, link, b)
		if heard := say(t, link, good); len(heard) == 0 {
			t.Error("the next request got no answer")
		}
	})
}

// said is a connection on which everything was said before its end.
type said struct {
	net.Conn // of it only addresses and deadlines are asked for
	r        io.Reader
	heard    bytes.Buffer
	closed   chan struct{}
}

func (s *said) Read(b []byte) (int, error)  { return s.r.Read(b) }
func (s *said) Write(b []byte) (int, error) { return s.heard.Write(b) }

func (s *said) Close() error {
	close(s.closed)
	return nil
}

// say sends bytes as a proven scheduler would, and ends. It returns what was answered.
func say(t *testing.T, link *Link, b []byte) []byte {
	t.Helper()
	one, other := net.Pipe()
	defer closeQuietly(one)
	defer closeQuietly(other)
	s := &said{Conn: one, r: bytes.NewReader(b), closed: make(chan struct{})}
	link.stream.ready <- s
	select {
	case <-s.closed:
	case <-time.After(rpcTimeout):
		t.Fatal("the link keeps a connection that has ended")
	}
	return s.heard.Bytes()
}

// answer is raft: it takes every request, and what comes with it.
func answer(ctx context.Context, requests <-chan raft.RPC) {
	for {
		select {
		case rpc := <-requests:
			if rpc.Reader != nil {
				_, _ = io.Copy(io.Discard, rpc.Reader)
			}
			rpc.Respond(&raft.RequestVoteResponse{Term: 3}, nil)
		case <-ctx.Done():
			return
		}
	}
}
