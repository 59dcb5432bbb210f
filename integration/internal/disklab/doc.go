// Package disklab makes disks for real processes that a test can fill, and whose power it can
// cut: small file systems in memory. What they hold survives the process that wrote it, and,
// of an ext4 one, what was synced survives the power.
//
// Everything that is made lies below one folder that carries the number of the run (package
// claim). Close unmounts and removes it; what a run that died left is removed by the next one.
package disklab
