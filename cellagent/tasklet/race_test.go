//go:build race

package tasklet

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
)

// workerExe is a worker without the race detector, which watches the agent's side.
var workerExe = sync.OnceValue(func() string {
	out := filepath.Join(buildDir, "worker")
	if text, err := exec.Command("go", "build", "-o", out, "./testdata/worker").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build worker: %v\n%s", err, text))
	}
	return out
})
