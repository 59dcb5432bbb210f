// Package issuer verifies the bootstrap tokens of others: of a company's identity provider, a CI
// system or a cloud, which signs JWTs with keys that it publishes (package jwks).
//
// What such a token may do, this cluster's operator has written down, and the token only narrows it:
// the providers that its issuer may bring cells into, the audience it must be meant for, how long it
// may live and with what it may be signed. Its id (jti) is spent in the replicated state under the
// issuer's name, so that it works once, as one of our own does, and no issuer can spend another's.
package issuer
