package api

import "time"

// EvidenceKind names whose identity documents a piece of evidence is.
type EvidenceKind string

// The kinds.
const (
	EvidenceAWS   EvidenceKind = "aws"   // the instance identity document, as PKCS #7 signed with RSA
	EvidenceGCP   EvidenceKind = "gcp"   // the instance identity token
	EvidenceAzure EvidenceKind = "azure" // the attested data
)

// EvidenceKinds lists every kind.
func EvidenceKinds() []EvidenceKind { return []EvidenceKind{EvidenceAWS, EvidenceGCP, EvidenceAzure} }

// MaxEvidence bounds an identity document in bytes.
const MaxEvidence = 16 << 10

// EvidenceDocument is an identity document as a cloud's metadata service gives it to a host.
type EvidenceDocument struct {
	Kind     EvidenceKind `json:"kind"`
	Document string       `json:"document"`
}

// Evidence is what a verified identity document proves of a cell's host.
type Evidence struct {
	Kind EvidenceKind `json:"kind"`
	// Account is the AWS account, the GCP project or the Azure subscription.
	Account  string `json:"account"`
	Instance string `json:"instance"`
	Region   string `json:"region,omitempty"`
	Zone     string `json:"zone,omitempty"`
	Image    string `json:"image,omitempty"`
	// Issued is when the cloud made the document; of AWS, when it started the instance.
	Issued time.Time `json:"issued,omitzero"`
	// Attested is when this cluster took it.
	Attested time.Time `json:"attested,omitzero"`
}

// Same reports whether both prove the same.
func (e Evidence) Same(o Evidence) bool {
	if !e.Issued.Equal(o.Issued) || !e.Attested.Equal(o.Attested) {
		return false
	}
	e.Issued, e.Attested, o.Issued, o.Attested = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return e == o
}

// The reasons of attestation_failed.
const (
	AttestationMissing  = "missing"  // the provider requires evidence and there is none
	AttestationUnwanted = "unwanted" // the provider takes none, or of another kind
	AttestationInvalid  = "invalid"  // the document does not verify
	AttestationUnbound  = "unbound"  // it was made for another key, cluster or cell
	AttestationAccount  = "account"  // the account is none of those that are allowed
	AttestationStale    = "stale"    // it was made too long ago
	AttestationUsed     = "used"     // the instance vouched for another cell
)
