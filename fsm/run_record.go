package fsm

import "github.com/grafos/grafos/api"

// appendRun writes the compact form of a run. A run without terms and network keeps the bytes of layoutOne.
func appendRun(b []byte, r *api.Run) []byte {
	if r.Terms.Empty() && r.Net == nil {
		return appendRunOne(b, r, layoutOne)
	}
	b = appendTerms(appendRunOne(b, r, layoutTwo), r.Terms)
	b = appendBool(b, r.Net != nil)
	if r.Net == nil {
		return b
	}
	for _, n := range [...]int64{r.Net.BytesOut, r.Net.BytesIn, r.Net.Flows, r.Net.Denied} {
		b = appendInt(b, n)
	}
	return b
}

func appendRunOne(b []byte, r *api.Run, layout byte) []byte {
	b = append(b, layout)
	b = appendText(b, r.ID)
	b = appendText(b, r.Tenant)
	b = appendText(b, r.Provider)
	b = appendText(b, r.CellID)
	b = appendText(b, r.State)
	b = appendInt(b, int64(r.Attempt))
	b = appendInt(b, int64(r.Retries))
	b = appendInt(b, int64(r.ExitCode))
	b = appendText(b, r.Tasklet)
	b = appendText(b, r.Profile)
	b = appendText(b, r.Module)
	b = appendText(b, r.Input)
	b = appendText(b, r.Invocation)
	b = appendInt(b, r.Fuel)
	b = appendResources(b, r.Resources)
	b = appendInt(b, r.TTLMs)
	b = appendText(b, r.Priority)
	b = appendInt(b, r.FuelUsed)
	b = appendInt(b, r.DurationMs)
	b = appendText(b, r.Failure.Kind)
	b = appendText(b, r.Failure.Message)
	b = appendBool(b, r.Finalised)
	b = appendTime(b, r.CreatedAt)
	b = appendTime(b, r.StartedAt)
	b = appendTime(b, r.FinishedAt)
	b = appendTime(b, r.FinalisedAt)
	b = appendInt(b, int64(r.Ended))
	b = appendUint(b, r.Modified)
	b = appendUint(b, uint64(len(r.LeaseIDs)))
	for _, id := range r.LeaseIDs {
		b = appendText(b, id)
	}
	b = appendUint(b, uint64(len(r.Artifacts)))
	for _, a := range r.Artifacts {
		b = appendInt(appendText(appendText(b, a.Name), a.Digest), a.Size)
	}
	return b
}

func appendResources(b []byte, r api.Resources) []byte {
	for _, n := range [...]int64{r.CPU, r.Mem, r.Block, r.Net, r.GPU} {
		b = appendInt(b, n)
	}
	return b
}

// readRun reads what appendRun wrote; false when it is no run. A run always has its lists,
// empty ones too.
func readRun(s string) (r api.Run, ok bool) {
	rd := recordReader{s: s}
	layout := rd.byte()
	r.ID = api.RunID(rd.text())
	r.Tenant = api.TenantID(rd.text())
	r.Provider = api.ProviderID(rd.text())
	r.CellID = api.CellID(rd.text())
	r.State = api.RunState(rd.text())
	r.Attempt = int(rd.int())
	r.Retries = int(rd.int())
	r.ExitCode = int(rd.int())
	r.Tasklet = rd.text()
	r.Profile = api.Profile(rd.text())
	r.Module = api.Digest(rd.text())
	r.Input = api.Digest(rd.text())
	r.Invocation = api.Digest(rd.text())
	r.Fuel = rd.int()
	r.Resources = api.Resources{CPU: rd.int(), Mem: rd.int(), Block: rd.int(), Net: rd.int(), GPU: rd.int()}
	r.TTLMs = rd.int()
	r.Priority = api.Priority(rd.text())
	r.FuelUsed = rd.int()
	r.DurationMs = rd.int()
	r.Failure = api.Failure{Kind: api.Kind(rd.text()), Message: rd.text()}
	finalised := rd.byte()
	r.Finalised = finalised == 1
	r.CreatedAt = rd.time()
	r.StartedAt = rd.time()
	r.FinishedAt = rd.time()
	r.FinalisedAt = rd.time()
	r.Ended = api.Tick(rd.int())
	r.Modified = rd.uint()
	r.LeaseIDs = make([]api.LeaseID, rd.count())
	for i := range r.LeaseIDs {
		r.LeaseIDs[i] = api.LeaseID(rd.text())
	}
	r.Artifacts = make([]api.Artifact, rd.count())
	for i := range r.Artifacts {
		r.Artifacts[i] = api.Artifact{Name: rd.text(), Digest: api.Digest(rd.text()), Size: rd.int()}
	}
	used := byte(0)
	if layout == layoutTwo {
		r.Terms = rd.terms()
		if used = rd.byte(); used == 1 {
			r.Net = &api.NetUsage{BytesOut: rd.int(), BytesIn: rd.int(), Flows: rd.int(), Denied: rd.int()}
		}
	}
	known := used <= 1 && (layout == layoutOne || layout == layoutTwo && (r.Terms != nil || r.Net != nil))
	return r, rd.ok() && known && finalised <= 1
}
