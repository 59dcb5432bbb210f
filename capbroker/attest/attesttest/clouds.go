package attesttest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// AWS writes an instance identity document as /latest/dynamic/instance-identity/rsa2048 does.
func AWS(by *Signer, account, instance string, now time.Time) (string, error) {
	return AWSMessage(AWSContent(account, instance, now), by, now).Lines()
}

// AWSContent is the document that is signed.
func AWSContent(account, instance string, now time.Time) []byte {
	b, err := json.MarshalIndent(map[string]any{
		"accountId": account, "architecture": "x86_64", "availabilityZone": "eu-west-1b", "billingProducts": nil, "devpayProductCodes": nil,
		"marketplaceProductCodes": nil, "imageId": "ami-5fb8c835", "instanceId": instance, "instanceType": "m5.large", "kernelId": nil,
		"pendingTime": now.Add(-time.Minute).UTC().Format("2006-01-02T15:04:05Z"), "privateIp": "10.158.112.84", "ramdiskId": nil,
		"region": "eu-west-1", "version": "2017-09-30",
	}, "", "  ")
	if err != nil {
		panic(err) // texts and nulls
	}
	return b
}

// AWSMessage is how AWS signs: no certificate in it, lengths to an end mark, signed attributes.
func AWSMessage(content []byte, by *Signer, now time.Time) Message {
	return Message{Content: content, By: by, Signed: now.Add(-time.Minute), Digest: SHA256, Encryption: RSA, Indefinite: true}
}

// Lines is the message in base64, in lines of 64.
func (m Message) Lines() (string, error) {
	b, err := m.Bytes()
	if err != nil {
		return "", err
	}
	text := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for len(text) > 64 {
		lines, text = append(lines, text[:64]), text[64:]
	}
	return strings.Join(append(lines, text), "\n"), nil
}

// Azure writes attested data as /metadata/attested/document does.
func Azure(by *Signer, subscription, vm, nonce string, now time.Time) (string, error) {
	return AzureMessage(AzureContent(subscription, vm, nonce, now), by).Answer()
}

// AzureContent is the data that is signed.
func AzureContent(subscription, vm, nonce string, now time.Time) []byte {
	const layout = "01/02/06 15:04:05 -0000"
	b, err := json.Marshal(map[string]any{
		"licenseType": "", "nonce": nonce, "plan": map[string]any{"name": "", "product": "", "publisher": ""}, "sku": "22_04-lts-gen2",
		"subscriptionId": subscription, "vmId": vm,
		"timeStamp": map[string]any{"createdOn": now.UTC().Format(layout), "expiresOn": now.Add(6 * time.Hour).UTC().Format(layout)},
	})
	if err != nil {
		panic(err) // texts
	}
	return b
}

// AzureMessage is how Azure signs: the signer's certificate in it, no signed attributes, and the whole
// algorithm where the digest's name belongs.
func AzureMessage(content []byte, by *Signer) Message {
	return Message{Content: content, By: by, Embed: []*Signer{by}, Digest: RSASHA256, Encryption: RSASHA256}
}

// Answer is the message as the metadata service answers with it.
func (m Message) Answer() (string, error) {
	b, err := m.Bytes()
	if err != nil {
		return "", err
	}
	doc, err := json.Marshal(map[string]string{"encoding": "pkcs7", "signature": base64.StdEncoding.EncodeToString(b)})
	return string(doc), err
}

// Google is a key that signs instance identity tokens.
type Google struct {
	key *rsa.PrivateKey
}

// NewGoogle makes one.
func NewGoogle() (*Google, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &Google{key: key}, err
}

// JWKS is the key set that Google publishes.
func (g *Google) JWKS() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &g.key.PublicKey, KeyID: "g1", Use: "sig", Algorithm: "RS256"}}})
}

// GCPClaims are those of an instance identity token of format=full.
func GCPClaims(project, instance, audience string, now time.Time) map[string]any {
	return map[string]any{
		"iss": "https://accounts.google.com", "aud": audience, "azp": "113774264463038321964", "sub": "113774264463038321964",
		"email": "cell@" + project + ".iam.gserviceaccount.com", "email_verified": true, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"google": map[string]any{"compute_engine": map[string]any{
			"instance_creation_timestamp": now.Add(-time.Hour).Unix(), "instance_id": instance, "instance_name": "cell",
			"project_id": project, "project_number": 739419398126, "zone": "europe-west1-b",
		}},
	}
}

// Sign signs claims as the metadata server's tokens are.
func (g *Google) Sign(claims map[string]any) (string, error) {
	sg, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: g.key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "g1"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(sg).Claims(claims).Serialize()
}
