// Package relay holds the operations on cells' data planes that pass through this scheduler:
// of each, who waits for its answer, and the cell that is to bring it.
package relay
