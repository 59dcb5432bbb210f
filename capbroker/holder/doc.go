// Package holder is what the holder of a capability token does with a key of its own: it names
// the key when it asks for a lease, proves for each request that it has it, and narrows tokens
// for others. The cell checks all of it with the same code.
//
// A key is named by its Thumbprint, the SHA-256 of its public half. Keys are Ed25519 or ECDSA
// P-256, as certificates have them, so that the key of a certificate may be named.
package holder
