// Package jwks is the public keys of somebody who signs tokens: the JSON Web Key Set (RFC 7517) of an
// issuer, from a file or over HTTPS.
//
// Nothing of a set is trusted before it was read whole: it is bounded in size and number, no two keys
// have one name, none is private or shared, and of each key it is known which one algorithm it is for.
// Whose set it is, and what its keys may sign, the caller knows.
package jwks
