// Package attesttest makes identity documents as clouds do, in their formats, signed by roots that a
// test makes: it shares no code with what verifies them.
package attesttest
