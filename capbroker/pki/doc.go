// Package pki is the trust of a cluster: its CA, the certificates that name who somebody
// is, the TLS configurations that check them, and the signed tokens that come before a
// certificate (bootstrap) or stand in for one (the console).
//
// Everything rests on one folder, the cluster's Material, which every scheduler is given
// and which never enters the log or a snapshot.
//
// An identity is exactly one URI SAN, spiffe://<cluster-id>/<role>/<name>, for cells
// spiffe://<cluster-id>/cell/<provider>/<cell_id>. Host names and addresses are carried
// by servers for the sake of other people's tools; nothing here trusts them, since
// addresses change and identities do not.
//
// What is refused says which check failed, with the numbers: a certificate that cannot be
// proved is unauthenticated, one that is proved but may not do this is forbidden, a server
// that is somebody else is identity_mismatch, and a bootstrap token is
// bootstrap_token_invalid.
//
// Clocks: a certificate is valid from ClockTolerance before it is issued, and a token may
// have been issued that much in the future. Neither is taken past its end.
package pki
