package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// cellServer is the data plane of a cell with one region behind every lease.
func (r *rig) cellServer(region []byte) *http.Client {
	r.leases[0].Amount = int64(len(region))
	return &http.Client{Transport: cellTransport(func(w http.ResponseWriter, req *http.Request) {
		serveRegion(w, req, region)
	})}
}

// cellTransport answers requests without a network.
type cellTransport http.HandlerFunc

func (h cellTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, req)
	return w.Result(), nil
}

func serveRegion(w http.ResponseWriter, req *http.Request, region []byte) {
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if token != "v4.public.fresh" && token != "from-file" {
		refuse(w, api.Refuse(api.TokenExpired, "the token expired 3s ago"))
		return
	}
	offset, err1 := strconv.Atoi(req.URL.Query().Get("offset"))
	length, err2 := strconv.Atoi(req.URL.Query().Get("length"))
	if err1 != nil || err2 != nil || offset+length > len(region) {
		refuse(w, api.Refuse(api.InvalidArgument, "offset and length"))
		return
	}
	if req.Method == http.MethodPut {
		if _, err := io.ReadFull(req.Body, region[offset:offset+length]); err != nil {
			refuse(w, api.Refuse(api.InvalidArgument, "%v", err))
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = w.Write(region[offset : offset+length])
}

func refuse(w http.ResponseWriter, p *api.Error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func TestLeaseReadAndWrite(t *testing.T) {
	region := []byte("0123456789")
	r := newRig(t)
	r.http = r.cellServer(region)

	r.run("lease", "read", "l-7f3").want(t, 0, "0123456789", "")
	r.run("lease", "read", "l-7f3a01", "--offset", "4", "--length", "3").want(t, 0, "456", "")
	r.stdin = strings.NewReader("abc")
	r.run("lease", "write", "l-7f3a01", "--offset", "7").want(t, 0, "", "")
	if string(region) != "0123456abc" {
		t.Errorf("region is %q", region)
	}
	r.stdin = strings.NewReader("too long")
	r.run("lease", "write", "l-7f3a01", "--offset", "7").want(t, 2, "", "past the end")
	r.run("lease", "read", "l-7f3a01", "--offset", "11").want(t, 2, "", "past the end")
	r.run("lease", "read", "l-7f9c22").want(t, 2, "", "nothing to read or write")

	r.stdin = strings.NewReader("xyz")
	r.run("lease", "write", "l-7f3a01", "--dry-run").want(t, 0, "", "dry run")
	if string(region) != "0123456abc" {
		t.Errorf("a dry run wrote %q", region)
	}
}

func TestLeaseTokenOfAFile(t *testing.T) {
	r := newRig(t)
	r.http = r.cellServer([]byte("region"))
	good, bad := r.file("good", "from-file\n"), r.file("bad", "stale")
	r.run("lease", "read", "l-7f3a01", "--lease-token", good).want(t, 0, "region", "")
	r.run("lease", "read", "l-7f3a01", "--lease-token", bad).want(t, 6, "", "token_expired")
	for _, call := range r.calls {
		if call == "LeaseToken" {
			t.Error("a fresh token was asked for although one was given")
		}
	}
}

// TestTokenAndBusyCellInTheMiddle shows that a transfer of several parts survives a token
// that runs out and a cell that is busy, and that nothing is asked for ever.
func TestTokenAndBusyCellInTheMiddle(t *testing.T) {
	r := newRig(t)
	region := bytes.Repeat([]byte("0123456789abcdef"), 3*maxTransfer/16)
	r.leases[0].Amount = int64(len(region))
	kinds := []api.Kind{"", api.TokenExpired, api.Overloaded, "", api.Overloaded, ""}
	r.http = &http.Client{Transport: cellTransport(func(w http.ResponseWriter, req *http.Request) {
		kind := kinds[0]
		if kinds = kinds[1:]; kind != "" {
			refuse(w, api.Refuse(kind, "not now"))
			return
		}
		serveRegion(w, req, region)
	})}
	if got := r.run("lease", "read", "l-7f3a01"); got.code != 0 || got.out != string(region) {
		t.Errorf("exit %d, %d bytes; %s", got.code, len(got.out), got.err)
	}

	asked := 0
	r.http = &http.Client{Transport: cellTransport(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		refuse(w, api.Refuse(api.Overloaded, "the cell is busy"))
	})}
	r.run("lease", "read", "l-7f3a01", "--length", "1").want(t, 8, "", "overloaded")
	if asked != maxBusy+1 {
		t.Errorf("a busy cell was asked %d times", asked)
	}
}
