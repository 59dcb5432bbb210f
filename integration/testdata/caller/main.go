// Command caller connects to its first argument and does what its second says: dial, echo (what stands on
// its input is sent, and what comes back is its output), or pour (until it may not).
package main

import (
	"fmt"
	"io"
	"os"
	"unsafe"
)

//go:wasmimport grafos_net_v0 dial
func dial(p unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport grafos_net_v0 send
func send(flow int32, p unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport grafos_net_v0 recv
func recv(flow int32, p unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport grafos_net_v0 close
func hang(flow int32) int32

func main() {
	to := os.Args[1]
	flow := dial(unsafe.Pointer(unsafe.StringData(to)), uint32(len(to)), 5000)
	if flow < 0 {
		fmt.Println("dial", flow)
		os.Exit(3)
	}
	switch os.Args[2] {
	case "echo":
		echo(flow)
	case "pour":
		fmt.Fprintln(os.Stderr, "pouring")
		for p := make([]byte, 50_000); send(flow, unsafe.Pointer(&p[0]), uint32(len(p)), -1) > 0; {
		}
	}
	hang(flow)
}

func echo(flow int32) {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	p := make([]byte, 64<<10)
	for sent, got := 0, 0; got < len(in); {
		if sent < len(in) {
			n := send(flow, unsafe.Pointer(&in[sent]), uint32(len(in)-sent), -1)
			if n <= 0 {
				fmt.Println("send", n)
				os.Exit(4)
			}
			sent += int(n)
		}
		n := recv(flow, unsafe.Pointer(&p[0]), uint32(len(p)), -1)
		if n <= 0 {
			fmt.Println("recv", n)
			os.Exit(5)
		}
		os.Stdout.Write(p[:n])
		got += int(n)
	}
}
