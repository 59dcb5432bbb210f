package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// TestDiskErrors makes single system calls of a child process fail, on one file. The child
// must be told once, naming the file, and take no write after; what it acknowledged must be
// there.
func TestDiskErrors(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("skipped: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), "strace", "-qq", "-e", "trace=none", "true").CombinedOutput(); err != nil {
		t.Skipf("skipped: strace does not work here: %v: %s", err, out)
	}
	tests := []struct {
		kind   Kind
		file   string // in the raft directory; "" is any
		inject string // as strace -e inject takes it
		says   string
	}{
		{BoltDB, "raft.db", "fdatasync:error=EIO:when=9+", "raft.db: input/output error"},
		{BoltDB, "raft.db", "pwrite64:error=EIO:when=20+", "raft.db: write"},
		{BoltDB, "raft.db", "pwrite64:error=ENOSPC:when=20+", "the disk is full"},
		{BoltDB, "raft.db.votes", "fdatasync:error=EIO:when=2+", "sync term and vote in"},
		{BoltDB, "raft.db.votes", "pwrite64:error=ENOSPC:when=2+", "the disk is full"},
		{BoltDB, "raft.db.mark", "pwrite64:error=EIO:when=7+", "write mark"},
		{BoltDB, "raft.db.mark", "fdatasync:error=EIO:when=1+", "sync mark"},
		{BoltDB, "", "fsync:error=EIO:when=1+", "sync snapshot"},
		{BoltDB, "", "fsync:error=EIO:when=2+", "sync directory"},
		{WAL, "segment", "fsync:error=EIO:when=3+", "raft.wal"},
		{WAL, "segment", "pwrite64:error=ENOSPC:when=3+", "the disk is full"},
		{WAL, "raft.wal/values", "fdatasync:error=EIO:when=2+", "raft.wal/values: "},
		{WAL, "raft.wal/values", "pwrite64:error=ENOSPC:when=2+", "the disk is full"},
		{WAL, "raft.wal/meta.tmp", "fsync:error=EIO:when=1+", "raft.wal/meta: "},
		{WAL, "raft.wal/meta.tmp", "write:error=ENOSPC:when=1+", "the disk is full"},
		{WAL, "raft.wal.votes", "fdatasync:error=EIO:when=2+", "sync term and vote in"},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprintf("%s %s %s", tt.kind, tt.file, tt.inject), func(t *testing.T) {
			c := cut{kind: tt.kind, seed: uint64(i)}
			dir, begun := begin(t, &c)
			file := filepath.Join(dir, tt.file)
			if tt.file == "segment" {
				segs, err := filepath.Glob(filepath.Join(dir, "raft.wal", "*.wal"))
				must(t, err)
				file = segs[len(segs)-1]
			}
			said := inject(t, tt.file != "", file, tt.inject, "TestDiskErrorsChild",
				"GRAFOS_CUT_DIR="+dir, "GRAFOS_CUT_KIND="+string(c.kind), "GRAFOS_CUT_SEED="+strconv.Itoa(i), "GRAFOS_CUT_BEGUN="+strconv.Itoa(begun))
			faults := 0
			for line := range strings.Lines(said) {
				if n, ok := strings.CutPrefix(line, "acknowledged "); ok {
					acked, err := strconv.Atoi(strings.TrimSpace(n))
					must(t, err)
					c.acked = acked
				}
				if strings.HasPrefix(line, "fault: ") {
					faults++
					if !strings.Contains(line, tt.says) {
						t.Errorf("told of %s, want %q", line, tt.says)
					}
				}
			}
			if faults != 1 || !strings.Contains(said, "every write refused") || c.acked < begun {
				t.Fatalf("told of %d faults; it said:\n%s", faults, said)
			}
			if err := c.verify(dir); err != nil {
				t.Errorf("%d operations acknowledged: %v; the child said:\n%s", c.acked, err, said)
			}
		})
	}
}

// begin makes a store, so that what is injected does not meet its making.
func begin(t *testing.T, c *cut) (dir string, n int) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "raft")
	s := openStore(t, dir, c.options())
	m := newModel(c.seed, false)
	for ; n < 10; n++ {
		next := m.next()
		must(t, next.store(s))
		next.model(m)
	}
	must(t, s.Close())
	c.acked = n
	return dir, n
}

// inject runs a test of this binary under strace and returns what it said.
func inject(t *testing.T, onlyFile bool, file, what, test string, env ...string) string {
	t.Helper()
	args := []string{"-f", "-qq", "-o", os.DevNull, "-e", "inject=" + what}
	if onlyFile {
		args = append(args, "-P", file)
	}
	child := exec.CommandContext(t.Context(), "strace", append(args, os.Args[0], "-test.run=^"+test+"$", "-test.count=1")...)
	child.Env = append(os.Environ(), env...)
	out, err := child.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out)
}

// TestDiskErrorsChild goes on where begin ended, until a write fails, and then tries others.
func TestDiskErrorsChild(t *testing.T) {
	dir := os.Getenv("GRAFOS_CUT_DIR")
	if dir == "" {
		t.Skip("skipped: it is run by TestDiskErrors")
	}
	runtime.LockOSThread() // strace counts the calls of each thread
	c := cut{kind: Kind(os.Getenv("GRAFOS_CUT_KIND")), seed: uint64(envInt(t, "GRAFOS_CUT_SEED", 0))}
	o := c.options()
	o.OnFault = func(err error) { fmt.Printf("fault: %v\n", err) }
	s, err := Open(dir, o)
	must(t, err)
	m, n := newModel(c.seed, false), 0
	for ; n < envInt(t, "GRAFOS_CUT_BEGUN", 0); n++ {
		m.next().model(m)
	}
	for {
		next := m.next()
		if n > 5000 {
			t.Fatal("no write failed")
		}
		if err := next.store(s); err != nil {
			fmt.Printf("%s: %v\n", next.name, err)
			break
		}
		n++
		fmt.Printf("acknowledged %d\n", n)
		next.model(m)
	}
	first, _ := s.Log.FirstIndex()
	last, _ := s.Log.LastIndex()
	_, created := s.Snapshots.Create(1, last, 99, raft.Configuration{}, 1, nil)
	for name, err := range map[string]error{
		"append":   s.Log.StoreLog(entry(last+1, 99, "x")),
		"vote":     s.Log.SetUint64([]byte("LastVoteTerm"), 99),
		"truncate": s.Log.DeleteRange(last, last),
		"compact":  s.Log.DeleteRange(first, first),
		"snapshot": created,
	} {
		if err == nil {
			t.Errorf("%s: accepted after the fault", name)
		}
	}
	if !t.Failed() {
		fmt.Println("every write refused")
	}
}

// TestAuditDiskErrors is TestDiskErrors for the audit segments.
func TestAuditDiskErrors(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("skipped: %v", err)
	}
	for call, says := range map[string]string{
		"fsync:error=EIO:when=2+": "sync audit segments", "write:error=ENOSPC:when=2+": "the disk is full",
	} {
		dir := t.TempDir()
		said := inject(t, true, filepath.Join(dir, segmentName(1)), call, "TestAuditDiskErrorsChild", "GRAFOS_AUDIT_DIR="+dir)
		if strings.Count(said, "fault: ") != 1 || !strings.Contains(said, says) || !strings.Contains(said, "every write refused") {
			t.Errorf("%s: it said:\n%s", call, said)
		}
	}
	// A segment that ended is brought to the disk by itself, and what fails there counts too.
	dir := t.TempDir()
	said := inject(t, true, filepath.Join(dir, segmentName(1)), "fsync:error=EIO:when=1+", "TestAuditEndedErrorChild", "GRAFOS_AUDIT_DIR="+dir)
	if strings.Count(said, "fault: ") != 1 || !strings.Contains(said, "sync audit segment "+dir) || !strings.Contains(said, "every write refused") {
		t.Errorf("of an ended segment it said:\n%s", said)
	}
}

// TestAuditEndedErrorChild ends a segment, and syncs nothing.
func TestAuditEndedErrorChild(t *testing.T) {
	dir := os.Getenv("GRAFOS_AUDIT_DIR")
	if dir == "" {
		t.Skip("skipped: it is run by TestAuditDiskErrors")
	}
	a, err := OpenAudit(dir, hclog.NewNullLogger())
	must(t, err)
	a.size = 1
	told := make(chan error, 1)
	a.OnFault(func(err error) { told <- err })
	recs := chain(t, 3, 10)
	must(t, a.Append(recs[:2]))
	fmt.Printf("fault: %v\n", <-told)
	if a.Append(recs[2:]) == nil || a.Sync() == nil {
		t.Fatal("a write was accepted after the fault")
	}
	fmt.Println("every write refused")
}

// TestAuditDiskErrorsChild appends until a write fails, and tries again.
func TestAuditDiskErrorsChild(t *testing.T) {
	dir := os.Getenv("GRAFOS_AUDIT_DIR")
	if dir == "" {
		t.Skip("skipped: it is run by TestAuditDiskErrors")
	}
	runtime.LockOSThread()
	a, err := OpenAudit(dir, hclog.NewNullLogger())
	must(t, err)
	a.OnFault(func(err error) { fmt.Printf("fault: %v\n", err) })
	recs := chain(t, 20, 10)
	for i := range recs {
		if err = errors.Join(a.Append(recs[i:i+1]), a.Sync()); err != nil {
			recs = recs[i+1:]
			break
		}
	}
	if err == nil || a.Append(recs) == nil || a.Sync() == nil || a.Backfill([]api.AuditRecord{}) == nil {
		t.Fatalf("a write was accepted after %v", err)
	}
	fmt.Println("every write refused")
}
