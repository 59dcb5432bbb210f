package sim

import (
	"encoding/json"
	"strconv"

	"github.com/grafos/grafos/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

func atou(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

// about is what an audit record is about.
type about struct {
	Lease string `json:"lease_id"`
	Run   string `json:"run_id"`
}

// subject reads what a record is about: nothing where it does not say.
func subject(r api.AuditRecord) about {
	var a about
	if json.Unmarshal(r.Data, &a) != nil {
		return about{}
	}
	return a
}
