// Package netlab builds a network for real processes on one host: every host of it is a
// network namespace with one interface, and a switch in this process carries the frames
// between them. So a test decides for every directed pair of hosts what becomes of what one
// sends to the other: how long it takes, what is lost, doubled or overtaken, and when nothing
// arrives at all. The kernel's own emulator (netem) is not needed.
//
// A frame travels: interface of the sender -> tap device -> reader goroutine of that device,
// which asks the lane of the pair for the times of arrival -> the receiver's tap device at
// once, or the courier, who delivers it when its time has come. Only IPv4 travels: neighbours
// are entered by hand, so that a cut is what it says and not the end of an ARP entry.
//
// Everything that is made carries the number of the run in its name (package claim) and is
// removed by Close; what a run that died left behind is removed by the next one.
//
// Threads: a namespace belongs to a thread. The lab's own thread makes devices and starts
// processes, and lives as long as the lab, because a process dies with the thread that
// started it (Pdeathsig). Sockets are made by short-lived threads (Host.Run).
package netlab
