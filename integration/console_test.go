package integration

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser starts a headless Chromium, or skips where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine: install Debian's chromium to run the console's test")
	}
	// The cluster's CA is its own: the test trusts it by not asking. Chromium's background
	// requests would leave the machine.
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-quic", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 1000),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// TestConsole logs in by the one-time link, kills a cell and reads the reason off the page.
func TestConsole(t *testing.T) {
	ctx := browser(t)
	c := up(t, 3)
	status, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(status.Console), chromedp.WaitVisible(testID("cell-row-local-2"))); err != nil {
		t.Fatal(err)
	}
	if verdict := read(ctx, t, "verdict"); !strings.Contains(verdict, "3 cells take work") {
		t.Errorf("the verdict over three ready cells is %q", verdict)
	}
	if err := c.Kill(t.Context(), "local-2"); err != nil {
		t.Fatal(err)
	}
	waitUnready(t, c, "local-2")
	began := time.Now()
	reason := read(ctx, t, "reason-local-2-healthy_cell")
	if late := time.Since(began); late > 2*time.Second {
		t.Errorf("the page showed the change %s after the API did: within 2 s is promised", late)
	}
	if !strings.Contains(reason, "heartbeat_overdue") || !strings.Contains(reason, "last heartbeat") {
		t.Errorf("the reason on the page is %q", reason)
	}
	if verdict := read(ctx, t, "verdict"); !strings.Contains(verdict, "2 of 3 cells take work") {
		t.Errorf("the verdict with one cell killed is %q", verdict)
	}
}

func testID(id string) chromedp.CSS { return chromedp.CSS(`[data-testid="` + id + `"]`) }

// read waits until an element is there and returns its text.
func read(ctx context.Context, t *testing.T, id string) string {
	t.Helper()
	text, err := chromedp.Run(ctx, chromedp.Text(testID(id), chromedp.NodeVisible))
	if err != nil {
		t.Fatalf("read %s off the page: %v", id, err)
	}
	return text
}
