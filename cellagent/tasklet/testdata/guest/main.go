// Command guest is what the tests run: an ordinary Go program, built for wasip1, that does
// what its first argument says.
package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("no arguments")
		return
	}
	switch os.Args[1] {
	case "cat":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			panic(err)
		}
	case "show":
		fmt.Println(strings.Join(os.Args, " "))
		fmt.Println(strings.Join(os.Environ(), " "))
	case "files":
		_, err := os.ReadDir("/")
		fmt.Println(err != nil)
	case "loop":
		fmt.Println("before")
		for {
		}
	case "wait": // for the announced end of the run; then it hands a checkpoint over, and goes on
		fmt.Println("waiting", notice(), leaseLeft() > 0)
		for notice() < 0 {
			time.Sleep(time.Millisecond)
		}
		left := notice()
		state := []byte(os.Args[2])
		fmt.Println("warned", left > 0 && left <= leaseLeft(), checkpoint(state), checkpoint(state))
		for {
			time.Sleep(time.Millisecond)
		}
	case "early": // a checkpoint that nobody asked for, and one that is no memory of its own
		state := []byte("x")
		fmt.Println(checkpoint(state), leaseLeft() > 0)
	case "net":
		network(os.Args[2:])
	case "sleep":
		d, err := time.ParseDuration(os.Args[2])
		if err != nil {
			panic(err)
		}
		start := time.Now()
		time.Sleep(d)
		fmt.Println(time.Since(start) >= d)
	case "time":
		seed := make([]byte, 8)
		if _, err := rand.Read(seed); err != nil {
			panic(err)
		}
		fmt.Printf("%s %x\n", time.Now().UTC().Format(time.DateOnly), seed)
	case "allocate":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
		}
	case "write", "complain":
		to := os.Stdout
		if os.Args[1] == "complain" {
			to = os.Stderr
		}
		w := bufio.NewWriter(to)
		for {
			if _, err := w.WriteString(strings.Repeat("x", 1000)); err != nil {
				w.Reset(to)
			}
		}
	case "recurse":
		fmt.Println(recurse(0))
	case "exit":
		fmt.Fprintln(os.Stderr, "leaving")
		os.Exit(3)
	case "panic":
		panic("on purpose")
	default:
		os.Exit(100)
	}
}

func recurse(n int) int {
	if n < 0 {
		return n
	}
	return recurse(n+1) + recurse(n+2)
}
