package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The proof that what was acknowledged outlives a power cut: a child process writes to an
// ext4 of its own and prints how many operations were acknowledged; the file system is shut
// down under it without writing its journal (EXT4_IOC_SHUTDOWN, no log flush), mounted again
// and read. What was not synced is gone then, as it is after a power cut; the control, a log
// that does not sync, shows that it is.

const (
	ext4Shutdown   = 0x8004587d
	ext4NoLogFlush = 2
)

// TestPowerCut cuts the power GRAFOS_CUTS times for each kind of log.
func TestPowerCut(t *testing.T) {
	needsLoopMount(t)
	cuts, controls := envInt(t, "GRAFOS_CUTS", 10), 3
	if testing.Short() {
		cuts, controls = 2, 2
	}
	seed := uint64(envInt(t, "GRAFOS_SEED", int(time.Now().UnixNano()&0xffffff)))
	together := make(chan struct{}, 3)
	for _, kind := range []Kind{BoltDB, WAL} {
		for i := range cuts {
			t.Run(fmt.Sprintf("%s/%d", kind, i), func(t *testing.T) {
				t.Parallel()
				together <- struct{}{}
				defer func() { <-together }()
				c := cut{kind: kind, seed: seed + uint64(i)}
				if err := c.run(t); err != nil {
					t.Errorf("GRAFOS_SEED=%d: %d operations acknowledged: %v", c.seed-uint64(i), c.acked, err)
				}
				t.Logf("%d operations acknowledged, all there", c.acked)
			})
		}
		t.Run(string(kind)+"/control", func(t *testing.T) {
			t.Parallel()
			together <- struct{}{}
			defer func() { <-together }()
			for i := range controls {
				c := cut{kind: kind, seed: seed + uint64(i), unsynced: true}
				if err := c.run(t); err != nil {
					t.Logf("%d entries acknowledged without sync: %v", c.acked, err)
					return
				}
			}
			t.Error("a log that does not sync lost nothing: this test proves nothing")
		})
	}
}

func needsLoopMount(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: mounting a file system needs root")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	m := makeExt4(t)
	if out, err := m.mount(); err != nil {
		t.Skipf("skipped: a loop mount is not to be had here: %v: %s", err, out)
	}
	m.unmount(t)
}

// ext4 is a file system in a file.
type ext4 struct{ image, at string }

func makeExt4(t *testing.T) ext4 {
	t.Helper()
	dir := t.TempDir()
	m := ext4{filepath.Join(dir, "image"), filepath.Join(dir, "mnt")}
	must(t, os.Mkdir(m.at, 0o700))
	must(t, os.WriteFile(m.image, nil, 0o600))
	must(t, os.Truncate(m.image, 128<<20))
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", m.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return m
}

func (m ext4) mount() (string, error) {
	out, err := exec.Command("mount", "-o", "loop", m.image, m.at).CombinedOutput()
	return string(out), err
}

// unmount tries for a while: a process that was killed may still be letting go, and raft-wal
// leaves files open when it cannot open a log.
func (m ext4) unmount(t *testing.T) {
	t.Helper()
	var out []byte
	var err error
	for range 50 {
		if out, err = exec.Command("umount", m.at).CombinedOutput(); err == nil {
			return
		}
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("umount: %v: %s", err, out)
}

// shutDown ends the file system as a power cut does.
func (m ext4) shutDown() error {
	d, err := os.Open(m.at)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it was only opened
	flag := uint32(ext4NoLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return errno
	}
	return nil
}

// cut is one power cut.
type cut struct {
	kind     Kind
	seed     uint64
	unsynced bool
	acked    int
}

// run writes, cuts, mounts again and reads; the error says what is missing.
func (c *cut) run(t *testing.T) error {
	t.Helper()
	fs := makeExt4(t)
	if out, err := fs.mount(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			fs.unmount(t)
		}
	})
	c.writeUntilCut(t, fs)
	fs.unmount(t)
	if out, err := fs.mount(); err != nil {
		t.Fatalf("mount after the cut: %v: %s", err, out)
	}
	err := c.verify(filepath.Join(fs.at, "raft"))
	fs.unmount(t)
	mounted = false
	return err
}

func (c *cut) options() Options {
	o := Options{LogOptions: options(c.kind)}
	o.segmentSize, o.unsynced = 64<<10, c.unsynced
	return o
}

// writeUntilCut runs the child, cuts the power at some moment and counts what it was told.
func (c *cut) writeUntilCut(t *testing.T, fs ext4) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestPowerCutChild$", "-test.count=1")
	child.Env = append(os.Environ(), "GRAFOS_CUT_DIR="+filepath.Join(fs.at, "raft"), "GRAFOS_CUT_KIND="+string(c.kind),
		"GRAFOS_CUT_SEED="+strconv.FormatUint(c.seed, 10), "GRAFOS_CUT_UNSYNCED="+strconv.FormatBool(c.unsynced))
	out, err := child.StdoutPipe()
	must(t, err)
	child.Stderr = child.Stdout
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	var once sync.Once
	cutIn := func(after time.Duration) {
		once.Do(func() {
			time.AfterFunc(after, func() {
				if err := fs.shutDown(); err != nil {
					t.Errorf("shut down: %v", err)
					child.Process.Kill() //nolint:errcheck // the test has failed
				}
			})
		})
	}
	var said []string
	faulted := false
	for lines.Scan() {
		line := lines.Text()
		if line == "opening" && c.seed%4 == 0 && !c.unsynced { // in the middle of making it
			cutIn(time.Duration(rand.IntN(80)) * time.Millisecond)
		}
		n, isAck := strings.CutPrefix(line, "acknowledged ")
		if !isAck {
			faulted = faulted || strings.HasPrefix(line, "fault: ")
			said = append(said, line)
			continue
		}
		cutIn(time.Duration(50+rand.IntN(600)) * time.Millisecond)
		c.acked, err = strconv.Atoi(n)
		must(t, err)
	}
	child.Wait() //nolint:errcheck // it fails, as it should
	if c.acked > 0 && !faulted {
		t.Fatalf("the child acknowledged %d, told of a fault: %t; it said:\n%s", c.acked, faulted, strings.Join(said, "\n"))
	}
}

// verify reads the store: it holds what was acknowledged, and perhaps what was in flight.
func (c *cut) verify(dir string) error {
	s, err := Open(dir, c.options())
	if err != nil {
		return err
	}
	m := newModel(c.seed, c.unsynced)
	for range c.acked {
		m.next().model(m)
	}
	before := m.matches(s)
	if before == nil {
		return s.Close()
	}
	inFlight := m.next()
	inFlight.model(m)
	if after := m.matches(s); after != nil {
		return errors.Join(before, fmt.Errorf("nor with %q, which was in flight: %w", inFlight.name, after), s.Close())
	}
	return s.Close()
}

// TestPowerCutChild is the process whose disk goes. It ends with the first write that fails.
func TestPowerCutChild(t *testing.T) {
	dir := os.Getenv("GRAFOS_CUT_DIR")
	if dir == "" {
		t.Skip("skipped: it is run by TestPowerCut")
	}
	seed, err := strconv.ParseUint(os.Getenv("GRAFOS_CUT_SEED"), 10, 64)
	must(t, err)
	c := cut{kind: Kind(os.Getenv("GRAFOS_CUT_KIND")), seed: seed, unsynced: os.Getenv("GRAFOS_CUT_UNSYNCED") == "true"}
	o := c.options()
	o.OnFault = func(err error) { fmt.Printf("fault: %v\n", err) }
	fmt.Println("opening")
	s, err := Open(dir, o)
	must(t, err)
	m := newModel(c.seed, c.unsynced)
	for n := 1; ; n++ {
		next := m.next()
		if err := next.store(s); err != nil {
			t.Fatalf("%s: %v", next.name, err)
		}
		fmt.Printf("acknowledged %d\n", n)
		next.model(m)
	}
}
