package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

const ms = time.Millisecond

// kinds is every kind of fault. What needs a tool that is missing says so and is left out
// (able).
func kinds() []kind {
	return []kind{
		{name: "kill leader", three: 10, five: 3, soak: 20, least: 100 * ms, most: 800 * ms, inject: killLeader},
		{name: "kill follower", three: 2, five: 1, soak: 6, least: 100 * ms, most: 800 * ms, inject: killFollower},
		{name: "kill cell", three: 1, soak: 4, least: 100 * ms, most: 1500 * ms, inject: killCell},
		{name: "kill leader and cell", three: 1, soak: 2, inject: killBoth},
		{name: "kill two schedulers", three: 1, five: 1, soak: 2, least: 500 * ms, most: 1500 * ms, inject: killTwo},
		{name: "restart leader", three: 2, five: 1, soak: 4, least: 100 * ms, most: 500 * ms, inject: restartLeader},
		{name: "stop leader", three: 4, five: 1, soak: 12, least: 500 * ms, most: 4 * time.Second, inject: stopLeader},
		{name: "stop leader for long", soak: 3, least: 4 * time.Second, most: 10 * time.Second, inject: stopLeader},
		{name: "stop follower", three: 2, five: 1, soak: 4, least: 500 * ms, most: 3 * time.Second, inject: stopFollower},
		{name: "stop cell", three: 1, soak: 4, least: 3500 * ms, most: 5 * time.Second, inject: stopCell},
		{name: "grant in a stopped cell's buffer", three: 1, soak: 3, least: 11 * time.Second, most: 12 * time.Second, inject: grantInBuffer},

		{name: "partition", three: 1, five: 1, soak: 8, least: 2 * time.Second, most: 3 * time.Second, inject: partition},
		{name: "isolate leader", three: 1, five: 1, soak: 8, least: 2 * time.Second, most: 3 * time.Second, inject: isolateLeader},
		{name: "cut leader's way out", three: 2, soak: 5, least: 2 * time.Second, most: 3 * time.Second, inject: cutWayOut},
		{name: "cut leader's way in", three: 2, soak: 5, least: 2 * time.Second, most: 3 * time.Second, inject: cutWayIn},
		{name: "bridge", three: 1, soak: 6, least: 2 * time.Second, most: 3 * time.Second, inject: bridge},
		{name: "cut cell off", three: 1, soak: 4, least: 1 * time.Second, most: 5 * time.Second, inject: cutCell},
		{name: "bad network", three: 1, five: 1, soak: 10, least: 2 * time.Second, most: 3 * time.Second, inject: badNetwork},

		{name: "full disk of the leader", three: 1, soak: 3, least: 1 * time.Second, most: 2 * time.Second, inject: fillLeader},
		{name: "full disk of a follower", three: 1, soak: 3, least: 1 * time.Second, most: 2 * time.Second, inject: fillFollower},
		{name: "full disk of a cell", three: 1, soak: 3, least: 1 * time.Second, most: 2 * time.Second, inject: fillCell},
		{name: "slow fsync", three: 1, needs: "strace", soak: 3, least: 2 * time.Second, most: 3 * time.Second, inject: slowSync},
		{name: "failing fsync", three: 2, needs: "strace", soak: 4, inject: failSync},
		{name: "hanging disk of the leader", three: 1, five: 1, soak: 3, least: 3 * time.Second, most: 5 * time.Second, inject: freezeLeader},
		{name: "power loss", three: 2, five: 1, soak: 6, least: 100 * ms, most: 500 * ms, inject: losePower},
		{name: "power loss everywhere", three: 1, five: 1, soak: 4, least: 100 * ms, most: 500 * ms, inject: loseAllPower},

		{name: "bit flips in the log", three: 1, five: 1, soak: 4, inject: damageWith(flipLog)},
		{name: "bit flips in term and vote", three: 1, soak: 3, inject: damageWith(flipStable)},
		{name: "bit flips in the second copy of the vote", three: 1, soak: 2, inject: damageWith(flipSecondCopy)},
		{name: "older copy of the log", three: 1, five: 1, soak: 2, inject: putBack},
		{name: "truncated log", three: 1, soak: 3, inject: damageWith(truncateLog)},
		{name: "bit flips in the audit chain", three: 1, soak: 3, inject: damageWith(flipAudit)},
		{name: "damaged snapshot", three: 1, soak: 3, inject: damageSnapshot},
		{name: "shifted clock of a cell", three: 1, needs: "unshare", soak: 4, least: 100 * ms, most: 500 * ms, inject: shiftClock},
	}
}

// probes are commands that succeed where a tool can do what is asked of it here.
func probes() map[string][]string {
	return map[string][]string{
		"strace":  append(traced("error=EIO"), "true"),
		"unshare": {"unshare", "-T", "--monotonic", "1", "--boottime", "1", "true"},
	}
}

// lacking says why the tool that a fault needs is no use here; "" is that it is, or that none
// is needed.
func lacking(ctx context.Context, k kind) string {
	if k.needs == "" {
		return ""
	}
	probe := probes()[k.needs]
	out, err := exec.CommandContext(ctx, probe[0], probe[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, bytes.TrimSpace(out))
	}
	return ""
}
