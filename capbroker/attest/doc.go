// Package attest verifies what a cloud says of a host: the identity document that its metadata
// service hands to whoever asks from inside.
//
// Three formats are known: of AWS the instance identity document as PKCS #7 with an RSA signature, of
// GCP the instance identity token (a JWT), of Azure the attested data (PKCS #7). They are verified
// against certificates and keys that the operator configured; nothing is fetched, and no root that
// this machine trusts is asked.
//
// A document is evidence for one key of one cluster: GCP's token carries both in its audience, Azure's
// data a nonce that is made of them. AWS's carries nothing that a host could choose; there, that an
// instance vouches for one cell only is decided in the replicated state.
package attest
