// Package quick is the JSON of the few documents that every admission passes through: lease
// requests and their answers, the reports of cells and what cells are sent; and of what reads
// of leases answer.
//
// It adds no format. What Append writes is to the byte what encoding/json writes, and Read
// takes only the plainest documents: every field spelled to the letter, once, none missing
// that has to be there, none unknown, numbers that are whole and short, text that needs no
// escape. Of everything else both say that it is not for them, and the caller does as without
// this package: no document is accepted here that is refused there, none is read differently,
// and all refusals are made in one place. The tests hold the two against each other.
package quick
