// Command worker is a worker process and nothing else. Tests under the race detector use it:
// their own binary compiles modules dozens of times slower.
package main

import (
	"context"
	"os"

	"github.com/grafos/grafos/cellagent/tasklet"
)

func main() { os.Exit(tasklet.Worker(context.Background(), os.Args[2:])) }
