// Package disk holds what the stores of a scheduler share: how damage and a full disk are
// named (CorruptError, FullError), how a disk that failed is remembered (Fault), and how a
// small file is written so that a crash leaves the old one or the new one.
package disk
