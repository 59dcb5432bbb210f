package api

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"
)

func TestKeyKind(t *testing.T) {
	weak := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 3}}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key  any
		want string
	}{
		{weak, "RSA of 1024 bits"},
		{&weak.PublicKey, "RSA of 1024 bits"},
		{curve, "ECDSA on P-384"},
		{private, "Ed25519"},
		{public, "Ed25519"},
		{exchange, "X25519"},
		{nil, "of a kind that is not known"},
		{&rsa.PublicKey{}, "of a kind that is not known"},
		{&ecdsa.PublicKey{}, "of a kind that is not known"},
	} {
		if got := KeyKind(tt.key); got != tt.want {
			t.Errorf("a %T is %q, want %q", tt.key, got, tt.want)
		}
	}
}
