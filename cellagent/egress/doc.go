// Package egress is the network that one net lease gives to its tasklet: flows to where the lease's
// allow-list says, at the lease's rate.
//
// A worker has no sockets, so the flows are the agent's: this package connects, sends and receives for
// the guest, who is given numbers and never an address that was not checked. What bounds it:
//
//   - The allow-list is looked at for each connection, and for the address that is connected to, not
//     for what it was called. A name is resolved here, once, and keeps the addresses that it had then.
//     Addresses of loopback, private and link-local ranges, of metadata services too, have to be in the
//     list as such (api.EgressRule.Allows); the host's own are never connected to but so.
//   - The rate is the lease's amount, in bits a second, in each direction, over all flows together.
//   - The flows of a lease, the bytes that the kernel holds for each, the connections and the calls
//     of a second.
//   - Halt closes every flow at once, and what was not sent yet is not sent any more. Each write tells the kernel
//     how long the lease has left, so that it gives up by itself where the agent stands still.
package egress
