package api

// Veto is one reason why one cell cannot take one request.
type Veto struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Components are the parts of a score; the score is their sum.
type Components map[string]int64

// Candidate is what placement thought of one cell. A cell without vetoes could take the
// request.
type Candidate struct {
	CellID     CellID     `json:"cell_id"`
	Score      int64      `json:"score"`
	Components Components `json:"components,omitempty"`
	Vetoes     []Veto     `json:"vetoes"`
}

// The two decisions.
const (
	DecisionAdmit  = "admit"
	DecisionRefuse = "refuse"
)

// Plan is a decision with its whole explanation: what deploy plan answers, and the same
// structure that the real admission decides by.
type Plan struct {
	Index      uint64      `json:"index"`
	Provider   ProviderID  `json:"provider"`
	Decision   string      `json:"decision"`
	CellID     CellID      `json:"cell_id,omitempty"`
	Score      int64       `json:"score"`
	Components Components  `json:"components,omitempty"`
	Refusal    *Error      `json:"refusal,omitempty"`
	Candidates []Candidate `json:"candidates"`
}

// PlanRequest asks what would be decided.
type PlanRequest struct {
	Provider  ProviderID `json:"provider"`
	Tenant    TenantID   `json:"tenant,omitempty"`
	Resources Resources  `json:"resources"`
	TTLMs     int64      `json:"ttl_ms"`
	Priority  Priority   `json:"priority,omitempty"`
	Module    Digest     `json:"module,omitempty"`
	// Terms is what the resources must be beyond their amounts; nil is nothing.
	Terms *Terms `json:"terms,omitempty"`
}
