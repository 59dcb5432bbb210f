package server

import (
	"net/http"
)

// Bounds of the bodies that are larger than maxBody, in bytes.
const (
	batchBody  = 512 << 10
	reportBody = 4 << 20
)

// routes is every route that there is: where it is, who may, where it is decided.
func (s *server) routes() []route {
	const (
		get, post, put, del, head = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead
		v1                        = "/api/v1"
		peer                      = "/peer/v1"
	)
	return []route{
		{method: get, path: v1 + "/providers", id: "list-providers", summary: "List the providers", access: readers(), bind: hotRead(s.listProviders, askProviders)},
		{method: get, path: v1 + "/providers/{p}", id: "provider-status", summary: "Show a provider with its cells", access: readers(), bind: typed(s.providerStatus)},
		{method: post, path: v1 + "/providers/{p}:enable", id: "enable-provider", summary: "Admit to a provider", access: operators(), leader: true, bind: typed(s.enableProvider)},
		{method: post, path: v1 + "/providers/{p}:disable", id: "disable-provider", summary: "Admit to a provider no more", access: operators(), leader: true, bind: typed(s.disableProvider)},
		{method: post, path: v1 + "/providers/{p}/cells/{c}:revoke", id: "revoke-cell", summary: "Take a cell out for good", access: operators(), leader: true, bind: typed(s.revokeCell)},

		{method: post, path: v1 + "/providers/{p}/cells/{c}:conformance", id: "conform-cell", summary: "Run the conformance suite against a cell", access: operators(), leader: true, stream: true, bind: plain(s.conformCell, describeConformCell)},
		{method: post, path: v1 + "/providers/{p}:mark", id: "mark-provider", summary: "Mark all cells of a provider", access: operators(), leader: true, bind: typed(s.markProvider)},
		{method: post, path: v1 + "/cells/{c}:mark", id: "mark-cell", summary: "Mark a cell", access: operators(), leader: true, bind: typed(s.markCell)},

		{method: get, path: v1 + "/cells", id: "list-cells", summary: "List the fleet", access: readers(), bind: hotRead(s.listCells, askCells)},
		{method: post, path: v1 + "/cells/{c}:drain", id: "drain-cell", summary: "Have a cell take no new work", access: operators(), leader: true, bind: typed(s.drainCell)},
		{method: post, path: v1 + "/cells/{c}:undrain", id: "undrain-cell", summary: "Have a cell take work again", access: operators(), leader: true, bind: typed(s.undrainCell)},
		{method: get, path: v1 + "/cells/{c}/drain", id: "cell-drain", summary: "Ask what a cell that is drained or revoked waits for", access: watchers(), bind: typed(s.cellDrain)},
		{method: post, path: v1 + "/cells/bootstrap", id: "bootstrap-cell", summary: "Trade a bootstrap token and a CSR for a certificate", access: anyone(), leader: true, bind: typed(s.bootstrap)},
		{method: post, path: v1 + "/cells/register", id: "register-cell", summary: "Register a cell's agent", access: joining(), leader: true, bind: typed(s.register)},
		{method: post, path: v1 + "/cells/{c}:renew", id: "renew-cell-identity", summary: "Have a cell's new key certified", access: itself(), leader: true, bind: typed(s.renewIdentity)},
		{method: get, path: v1 + "/cells/{c}/watch", id: "watch-cell", summary: "Open a cell's session", access: itself(), stream: true, raw: true, bind: plain(s.watch, describeWatch)},
		{method: post, path: v1 + "/cells/{c}/reports", id: "report-cell", summary: "Report what a cell did", access: itself(), limit: reportBody, bind: hot(s.report, takeReport)},
		{method: get, path: v1 + "/cells/{c}/relay/{ask}", id: "relay-body", summary: "Fetch what a cell is asked to write", access: itself(), raw: true, bind: plain(s.relayBody, describeRelay)},
		{method: put, path: v1 + "/cells/{c}/relay/{ask}", id: "relay-answer", summary: "Bring what a cell answers to an operation", access: itself(), raw: true, bind: plain(s.relayAnswer, describeUpload)},

		{method: post, path: v1 + "/leases", id: "request-leases", summary: "Request leases, all or none", access: owners(), leader: true, bind: hot(s.requestLeases, takeLeases)},
		{method: post, path: v1 + "/leases:batch", id: "request-batch", summary: "Request up to 256 sets of leases", access: owners(), leader: true, limit: batchBody, bind: hot(s.requestBatch, takeBatch)},
		{method: get, path: v1 + "/leases", id: "list-leases", summary: "List leases", access: readers(), bind: hotRead(s.listLeases, askLeases)},
		{method: get, path: v1 + "/leases/{id}", id: "show-lease", summary: "Show a lease", access: readers(), bind: hotRead(s.showLease, askLease)},
		{method: get, path: v1 + "/leases/{id}/data", id: "read-lease", summary: "Read a lease's bytes through this scheduler", access: owners(), stream: true, raw: true, bind: plain(s.leaseData, describeData(false))},
		{method: put, path: v1 + "/leases/{id}/data", id: "write-lease", summary: "Write a lease's bytes through this scheduler", access: owners(), stream: true, raw: true, bind: plain(s.leaseData, describeData(true))},
		{method: post, path: v1 + "/leases/{id}:renew", id: "renew-lease", summary: "Extend a lease from now", access: owners(), leader: true, bind: typed(s.renewLease)},
		{method: post, path: v1 + "/leases/{id}:token", id: "lease-token", summary: "Get a fresh capability token", access: owners(), leader: true, bind: typed(s.leaseToken)},
		{method: post, path: v1 + "/leases/{id}:free", id: "free-lease", summary: "Give a lease back", access: owners(), leader: true, bind: typed(s.freeLease)},
		{method: post, path: v1 + "/leases/{id}:unfence", id: "unfence-lease", summary: "Clear the fence of a lease whose teardown failed", access: operators(), leader: true, bind: typed(s.unfenceLease)},
		{method: post, path: v1 + "/leases/{id}:revoke", id: "revoke-lease", summary: "End a lease against its holder's will", access: operators(), leader: true, bind: typed(s.revokeLease)},

		{method: post, path: v1 + "/plans", id: "plan", summary: "Ask what would be decided", access: readers(), leader: true, bind: typed(s.plan)},
		{method: post, path: v1 + "/runs", id: "start-run", summary: "Start a run", access: owners(), leader: true, bind: typed(s.startRun)},
		{method: get, path: v1 + "/runs", id: "list-runs", summary: "List runs", access: readers(), bind: hotRead(s.listRuns, askRuns)},
		{method: get, path: v1 + "/runs/{id}", id: "show-run", summary: "Show a run", access: readers(), bind: hotRead(s.showRun, askRun)},
		{method: get, path: v1 + "/runs/{id}/logs", id: "run-logs", summary: "Get what a run wrote to its log", access: readers(), raw: true, bind: plain(s.runLogs, describeDownload)},
		{method: get, path: v1 + "/runs/{id}/artifacts/{name}", id: "run-artifact", summary: "Get an artifact", access: readers(), raw: true, bind: plain(s.runArtifact, describeDownload)},

		{method: put, path: v1 + "/blobs/{digest}", id: "put-blob", summary: "Store a blob on a quorum", access: movers(), raw: true, bind: plain(s.putBlob, describeUpload)},
		{method: get, path: v1 + "/blobs/{digest}", id: "get-blob", summary: "Get a blob", access: movers(), raw: true, bind: plain(s.getBlob, describeDownload)},
		{method: head, path: v1 + "/blobs/{digest}", id: "has-blob", summary: "Ask whether a quorum has a blob", access: movers(), raw: true, bind: plain(s.headBlob, describeHead)},

		{method: post, path: v1 + "/tenants", id: "create-tenant", summary: "Create a tenant", access: operators(), leader: true, bind: typed(s.createTenant)},
		{method: get, path: v1 + "/tenants", id: "list-tenants", summary: "List tenants with what they hold", access: readers(), bind: typed(s.listTenants)},
		{method: post, path: v1 + "/tenants/{t}:quota", id: "set-quota", summary: "Replace a tenant's quota", access: operators(), leader: true, bind: typed(s.setQuota)},
		{method: del, path: v1 + "/tenants/{t}", id: "delete-tenant", summary: "Delete a tenant without live leases", access: operators(), leader: true, bind: typed(s.deleteTenant)},

		{method: get, path: v1 + "/events", id: "events", summary: "Stream changes", access: readers(), stream: true, raw: true, bind: plain(s.events, describeEvents)},
		{method: get, path: v1 + "/audit", id: "audit-records", summary: "Read the audit chain", access: watchers(), bind: typed(s.auditRecords)},
		{method: get, path: v1 + "/operator/node", id: "node-state", summary: "Ask this scheduler what it is", access: watchers(), always: true, bind: typed(s.nodeState)},
		{method: get, path: v1 + "/operator/schedulers", id: "list-schedulers", summary: "List the schedulers", access: watchers(), always: true, bind: typed(s.schedulers)},
		{method: get, path: v1 + "/operator/debug", id: "debug", summary: "Ask this scheduler for everything that it can say of itself", access: operators(), always: true, bind: typed(s.debug)},
		{method: get, path: v1 + "/operator/raft", id: "raft-members", summary: "List the members of the Raft group as their leader sees them", access: operators(), leader: true, bind: typed(s.raftMembers)},
		{method: post, path: v1 + "/operator/raft:transfer", id: "raft-transfer", summary: "Hand the lead over", access: operators(), leader: true, bind: typed(s.raftTransfer)},
		{method: post, path: v1 + "/operator/raft/{n}:remove", id: "raft-remove", summary: "Remove a scheduler from the Raft group", access: operators(), leader: true, bind: typed(s.raftRemove)},
		{method: get, path: v1 + "/operator/snapshot", id: "save-snapshot", summary: "Take the state out, as an archive", access: operators(), stream: true, raw: true, bind: plain(s.saveSnapshot, describeSave)},
		{method: post, path: v1 + "/operator/snapshot:restore", id: "restore-snapshot", summary: "Replace the state by an archive's", access: operators(), stream: true, raw: true, bind: plain(s.restoreSnapshot, describeRestore)},

		{method: get, path: peer + "/read-index", id: "peer-read-index", summary: "Ask the leader for an index to read at", access: members(), bind: hotRead(s.readIndex, askNothing)},
		{method: get, path: peer + "/member", id: "peer-member", summary: "Ask which place this scheduler has in the Raft group", access: members(), bind: typed(s.member)},
		{method: post, path: peer + "/member:dismiss", id: "peer-dismiss", summary: "Tell this scheduler that an operator removed it", access: members(), bind: typed(s.dismiss)},
		{method: get, path: peer + "/sightings", id: "peer-sightings", summary: "Ask what this scheduler saw of the cells", access: members(), bind: typed(s.sightings)},
		{method: post, path: peer + "/reports", id: "peer-report", summary: "Hand a cell's report to the leader", access: members(), limit: reportBody, bind: hot(s.peerReport, takePeerReport)},
		{method: post, path: peer + "/asks", id: "peer-ask", summary: "Hand an ask to a cell's session", access: members(), bind: typed(s.peerAsk)},
		{method: put, path: peer + "/replicas/{digest}", id: "peer-put-replica", summary: "Put a blob on this disk", access: members(), raw: true, bind: plain(s.putReplica, describeUpload)},
		{method: get, path: peer + "/replicas/{digest}", id: "peer-get-replica", summary: "Get a blob of this disk", access: members(), raw: true, bind: plain(s.getReplica, describeDownload)},
		{method: post, path: peer + "/blobs/{digest}/refs", id: "peer-refer-blob", summary: "Commit that a tenant put a blob", access: members(), bind: typed(s.peerRefer)},
		{method: get, path: peer + "/audit", id: "peer-audit", summary: "Read this scheduler's copy of the audit chain", access: members(), bind: typed(s.peerAudit)},

		{method: get, path: v1 + "/openapi.json", id: "openapi", summary: "This document", access: readers(), probe: true, bind: plain(s.openAPIDoc, describeAs("OpenAPI 3.1."))},
		{method: get, path: "/livez", id: "livez", summary: "Is the process alive", access: anyone(), probe: true, bind: plain(s.livez, describeAs("It is."))},
		{method: get, path: "/health", id: "health", summary: "The same as livez", access: anyone(), probe: true, bind: plain(s.livez, describeAs("It is."))},
		{method: get, path: "/readyz", id: "readyz", summary: "Does this scheduler take requests", access: anyone(), probe: true, bind: plain(s.readyz, describeAs("It does; 503 where it does not. verbose tells why."))},
		{method: get, path: "/metrics", id: "metrics", summary: "Metrics for Prometheus", access: watchers(), probe: true, bind: plain(s.metrics, describeAs("Prometheus text."))},
		{method: get, path: "/ca.pem", id: "ca-pem", summary: "The cluster's CA certificate", access: anyone(), probe: true, bind: plain(s.caPEM, describeAs("PEM."))},
		{method: get, path: "/admin/login", id: "console-login", summary: "Trade a login link for a console session", access: anyone(), leader: true, raw: true, bind: plain(s.login, nil)},
		{method: get, path: "/admin/", id: "console", summary: "The console", access: anyone(), raw: true, bind: plain(s.console, nil)},
		{method: get, path: "/{$}", id: "home", summary: "Leads to the console", access: anyone(), raw: true, bind: plain(s.home, nil)},
	}
}
