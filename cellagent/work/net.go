package work

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
)

// NetStatus is what a function of the network returns where that is no flow and no number of bytes.
type NetStatus int32

// The statuses. Their numbers are what guests see, and are for ever.
const (
	NetOK          NetStatus = 0
	NetReset       NetStatus = -1  // the other side ended the flow, or it broke
	NetEnded       NetStatus = -2  // the lease's time is over
	NetCapacity    NetStatus = -4  // not in the guest's memory
	NetUnsupported NetStatus = -5  // the run has no net lease
	NetRevoked     NetStatus = -6  // the lease is torn down
	NetTimeout     NetStatus = -7  // not within the time that the guest gave
	NetRefused     NetStatus = -8  // the allow-list has no such address, or it is of a range that it has to name
	NetUnreachable NetStatus = -9  // nobody answers there, or what answers takes no connection
	NetTooMany     NetStatus = -10 // too many flows are open
	NetBadFlow     NetStatus = -11 // no such flow is open
	NetBadAddress  NetStatus = -12 // not HOST:PORT
	NetUnresolved  NetStatus = -13 // the name has no address
)

// Net is the network of one run, as its net lease lets it have it. A wait is how long a call may take;
// a negative one is as long as the lease lasts.
type Net interface {
	// Dial connects to HOST:PORT and returns the number of the flow, which is above zero.
	Dial(ctx context.Context, address string, wait time.Duration) (flow int32, s NetStatus)
	// Send takes some of p, at least a byte where it is not empty, and returns how much.
	Send(ctx context.Context, flow int32, p []byte, wait time.Duration) (int, NetStatus)
	// Recv fills some of p, at least a byte where it is not empty; none is that the other side has ended.
	Recv(ctx context.Context, flow int32, p []byte, wait time.Duration) (int, NetStatus)
	// Hang ends a flow.
	Hang(ctx context.Context, flow int32) NetStatus
	// Usage is what went through so far.
	Usage() api.NetUsage
}
