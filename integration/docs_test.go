package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api/mutant"
)

// TestConsistencyPage: what docs/consistency.md names is there, each name in the file that it
// stands behind, so that whoever audits a promise finds its code and its test.
func TestConsistencyPage(t *testing.T) {
	page := readPage(t, "../docs/consistency.md")
	reference := regexp.MustCompile("`([\\w./-]+\\.go)`((?:,?\\s+`\\w+`)*)")
	name := regexp.MustCompile("`(\\w+)`")
	tests := 0
	for _, ref := range reference.FindAllStringSubmatch(page, -1) {
		src, err := os.ReadFile(filepath.Join("..", ref[1]))
		if err != nil {
			t.Errorf("the page names %s, and it is not there", ref[1])
			continue
		}
		for _, n := range name.FindAllStringSubmatch(ref[2], -1) {
			declared := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |const |var |\t)` + n[1] + `\b`)
			if !declared.Match(src) {
				t.Errorf("the page says that %s has %s", ref[1], n[1])
			}
			if strings.HasPrefix(n[1], "Test") {
				tests++
			}
		}
	}
	if tests < 100 {
		t.Errorf("the page names %d tests: is it written as this test reads it?", tests)
	}
	for _, part := range regexp.MustCompile("Mutants?:\\s+((?:`[a-z-]+`(?:,\\s+)?)+)").FindAllStringSubmatch(page, -1) {
		for _, n := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(part[1], -1) {
			if !slices.Contains(mutant.All(), mutant.Fault(n[1])) {
				t.Errorf("the page names a fault %s, and there is none", n[1])
			}
		}
	}
	for _, f := range mutant.All() {
		if !strings.Contains(page, "`"+string(f)+"`") {
			t.Errorf("the fault %s belongs to no promise of the page", f)
		}
	}
}

// TestOperationsPage: every command of docs/operations.md is one, with flags that it has, every
// setting is a flag of the server, and every metric is told.
func TestOperationsPage(t *testing.T) {
	page := readPage(t, "../docs/operations.md")
	commands := 0
	for _, block := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			words := shellWords(line)
			if len(words) == 0 || words[0] == "curl" {
				continue
			}
			commands++
			wantCommand(t, words)
		}
	}
	if commands < 20 {
		t.Errorf("the page has %d commands: is it written as this test reads it?", commands)
	}
	help, err := exec.CommandContext(t.Context(), binary(t), "server", "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`(?m)^(\w+) = `).FindAllStringSubmatch(page, -1)
	settings = append(settings, regexp.MustCompile("`(\\w+) = [^`]*`").FindAllStringSubmatch(page, -1)...)
	settings = append(settings, regexp.MustCompile("`((?:raft|snapshot|gossip|heartbeat|on)_\\w+)`").FindAllStringSubmatch(page, -1)...)
	for _, s := range settings {
		if flag := "--" + strings.ReplaceAll(s[1], "_", "-") + " "; !strings.Contains(string(help), flag) {
			t.Errorf("the page names a setting %s, and grafos server has no %s", s[1], flag)
		}
	}
	if len(settings) < 15 {
		t.Errorf("the page names %d settings", len(settings))
	}
	told := readPage(t, "../cmd/grafos/node/metrics.go") + readPage(t, "../cmd/grafos/node/metrics_api.go")
	for _, m := range regexp.MustCompile("`grafos_(\\w+)`").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(told, `"`+m[1]+`"`) && !strings.Contains(told, `"grafos_`+m[1]+`"`) {
			t.Errorf("the page names a metric grafos_%s, and there is none", m[1])
		}
	}
	anchors := regexp.MustCompile(`\]\(#([\w-]+)\)`).FindAllStringSubmatch(page, -1)
	for _, a := range anchors {
		if !slices.Contains(headings(page), a[1]) {
			t.Errorf("the page leads to #%s, and has no such part", a[1])
		}
	}
}

// wantMetrics: whatever a scheduler tells of itself is in the page's table, and only what is
// bounded is a label.
func wantMetrics(t *testing.T, scraped string) {
	t.Helper()
	page, families := readPage(t, "../docs/operations.md"), regexp.MustCompile(`(?m)^# TYPE (grafos_\w+)`).FindAllStringSubmatch(scraped, -1)
	for _, m := range families {
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("a scheduler tells %s, and the page does not name it", m[1])
		}
	}
	if len(families) < 20 {
		t.Errorf("a scheduler tells %d families", len(families))
	}
	for _, want := range []string{
		`grafos_http_request_seconds_count{class="2xx",method="POST",route="/api/v1/leases"} `,
		`grafos_http_request_seconds_count{class="4xx",method="none",route="none"} `,
		`grafos_certificate_days_left{certificate="ca"} `, `grafos_certificate_days_left{certificate="scheduler"} `,
		"grafos_snapshot_last_ok NaN", "grafos_archive_last_ok NaN", "grafos_cell_sessions ", "grafos_streams_open ",
	} {
		if !strings.Contains(scraped, "\n"+want) {
			t.Errorf("a scheduler does not tell %s", want)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^grafos_\w+\{.*route="([^"]*)"`).FindAllStringSubmatch(scraped, -1) {
		if m[1] != "none" && !strings.HasPrefix(m[1], "/") || strings.ContainsAny(m[1], "?%") {
			t.Errorf("a route is %q", m[1])
		}
	}
}

func readPage(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// headings are the names under which the parts of a page can be led to.
func headings(page string) []string {
	var names []string
	for _, h := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(page, -1) {
		name := strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")
		names = append(names, regexp.MustCompile(`[^\w-]`).ReplaceAllString(name, ""))
	}
	return names
}

// shellWords splits a line as a shell does, as far as the page goes.
func shellWords(line string) []string {
	var words []string
	for _, w := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1) {
		words = append(words, strings.Trim(w, `"`))
	}
	return words
}

// wantCommand asks for the help of a command line, which fails on a flag that it does not have.
func wantCommand(t *testing.T, words []string) {
	t.Helper()
	if words[0] != "grafos" {
		t.Errorf("%q is no command of grafos", words)
		return
	}
	help, err := exec.CommandContext(t.Context(), binary(t), append(words[1:], "--help")...).CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v: %s", words, err, help)
		return
	}
	usage := regexp.MustCompile("Usage:\n  ((?:[a-z][a-z-]* )+)(COMMAND)?").FindStringSubmatch(string(help))
	if usage == nil || usage[2] != "" || !strings.HasPrefix(strings.Join(words, " ")+" ", usage[1]) {
		t.Errorf("%q is no command: its help is of %q", words, usage)
	}
}
