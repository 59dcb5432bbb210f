package api

// DebugReport is everything that a scheduler can say of itself, for whoever has to find out
// what is wrong with it. It holds no secret.
type DebugReport struct {
	State NodeState `json:"state"`
	// Raft is what the Raft library and its log count.
	Raft    map[string]string `json:"raft"`
	Process ProcessReport     `json:"process"`
	// Events are the newest that it holds, oldest first.
	Events []Event `json:"events"`
}

// ProcessReport is what a scheduler's process says of itself.
type ProcessReport struct {
	// Config is how it was started; what could be a secret is left out.
	Config     map[string]any    `json:"config"`
	Build      map[string]string `json:"build"`
	Goroutines string            `json:"goroutines"`
	// Log is the newest lines of its log.
	Log string `json:"log"`
	// Metrics are in the format of Prometheus.
	Metrics string `json:"metrics"`
}
