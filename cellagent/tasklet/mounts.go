package tasklet

import (
	"os"
	"slices"
	"strings"
)

// readMounts returns where each control-group hierarchy is mounted: v1 by the name of its
// controllers, v2 under "".
func readMounts() map[string]string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(string(text))
}

func parseMounts(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		// id parent major:minor root mountpoint options... - type source superoptions
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if !ok || len(fields) < 5 || len(rest) < 3 {
			continue
		}
		switch rest[0] {
		case "cgroup2":
			out[""] = fields[4]
		case "cgroup":
			for controller := range strings.SplitSeq(rest[2], ",") {
				if controller == "cpu" || controller == "memory" {
					out[controller] = fields[4]
				}
			}
		}
	}
	return out
}

// readOwnGroups returns the group that this process is in, by controller, v2 under "".
func readOwnGroups() map[string]string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	return parseOwnGroups(string(text))
}

func parseOwnGroups(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			out[controller] = parts[2]
		}
	}
	return out
}

func readLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }
