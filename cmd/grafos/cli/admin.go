package cli

import "github.com/spf13/cobra"

func (a *app) admin() *cobra.Command {
	return group("admin", "Tenants, quotas, fences and the audit chain",
		a.createTenant(),
		a.listTenants(),
		a.suggest(a.setQuota(), listTenants),
		a.suggest(a.deleteTenant(), listTenants),
		a.listFencedLeases(),
		a.suggest(a.unfenceLease(), listLeases),
		a.auditQuery(),
		a.auditVerify(),
	)
}
