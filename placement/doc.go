// Package placement chooses the cell of a request: a pure, integer, deterministic function
// of a view and a request. It reads no clock, no randomness and no map order, so the same
// question has the same answer everywhere, and a plan is what an admission would decide.
//
//	view + request
//	  | provider     unknown: not_found; disabled, without cells or without a healthy one: runtime_not_ready
//	  | readiness    none meets all six requirements: no_eligible_provider_cells (unready)
//	  | shape        none could ever hold it: no_eligible_provider_cells (insufficient)
//	  | quota        quota_exceeded
//	  | room         it fits nowhere now: no_eligible_provider_cells (full)
//	  | other vetoes placement_failed
//	  v
//	score = fit + spread; ties by cell id
//
// Every cell keeps every veto: a refusal that named the first one only would send a person
// in circles. The replicated state verifies a choice (capacity, quota, epoch) with the same
// arithmetic, api.Resources, and never scores: scoring may change between versions, the
// replay of an old log may not.
package placement
