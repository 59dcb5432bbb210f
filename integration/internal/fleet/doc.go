// Package fleet runs a real cluster on the hosts of a lab: schedulers, cells and a user, each
// on a host of its own, each with a disk of its own, set up as an operator does it by hand:
// material (admin init-ca), an operator's certificate (admin issue-cert), a bootstrap token
// and an identity for every cell, then grafos server and grafos cell-agent. Nothing restarts
// by itself.
package fleet
