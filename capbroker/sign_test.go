package capbroker

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"
)

// TestSignaturesAreEd25519: however many texts are signed at once, each signature is the one that the
// standard library makes, which is the only one that RFC 8032 allows.
func TestSignaturesAreEd25519(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), ed25519.SeedSize, ed25519.SeedSize).Draw(t, "seed"))
		s, err := newSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		texts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 600), 0, 20).Draw(t, "texts")
		all := s.signAll(texts)
		if len(all) != len(texts) {
			t.Fatalf("%d signatures of %d texts", len(all), len(texts))
		}
		for i, text := range texts {
			if want := ed25519.Sign(key, text); !bytes.Equal(all[i][:], want) {
				t.Fatalf("text %d of %d: got %x, want %x", i, len(texts), all[i], want)
			}
			if !ed25519.Verify(ed25519.PublicKey(key[ed25519.SeedSize:]), text, all[i][:]) {
				t.Fatalf("text %d: its signature does not verify", i)
			}
		}
	})
}

// TestSignatureOfTheRFC: test 2 of RFC 8032, 7.1.
func TestSignatureOfTheRFC(t *testing.T) {
	seed, err := hex.DecodeString("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSigner(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	const want = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
	if got := s.signAll([][]byte{{0x72}})[0]; hex.EncodeToString(got[:]) != want {
		t.Fatalf("got %x", got)
	}
}
