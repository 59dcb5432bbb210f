// Package ledger is a cell's memory of what it accepted: the floor of fencing numbers below which
// it takes nothing any more, per lease the highest generation and epoch with the deadline that
// came with it, and what is fenced. It is what makes a cell refuse an old grant after its agent
// was killed, and keep a fence that it has forgotten otherwise.
//
// It is a file of lines, each with its checksum, that is only appended to; now and then the lines
// that still count are written to a new file that takes its place. Reading it back takes the
// highest of everything that is said, in whatever order, so a line that is damaged or missing
// loses what it said and nothing else. A last line that was cut short was never acted upon. Any
// other damage, a ledger that is not there, and one that another boot wrote, whose end may have
// taken its last lines, leave it in doubt: what was accepted before is not known, and the first
// registration has to raise the floor above all that was ever given.
//
// What is written is with the kernel when Accept returns, which is enough for an agent that is
// killed. A host that goes down begins another boot, whose stamps void every grant of before;
// only fences have to survive it, and those are on the disk when Fence returns.
package ledger
