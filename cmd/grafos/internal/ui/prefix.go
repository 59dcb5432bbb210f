package ui

import (
	"slices"
	"strings"

	"github.com/grafos/grafos/api"
)

// maxListed bounds the ids that an ambiguity names.
const maxListed = 10

// Prefix returns the one id that is given or begins with it. Several are refused with
// invalid_argument, which lists them, none with not_found.
func Prefix[S ~string](what, given string, ids []S) (S, error) {
	var found []S
	for _, id := range ids {
		if string(id) == given {
			return id, nil
		}
		if strings.HasPrefix(string(id), given) {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	switch len(found) {
	case 0:
		return "", api.Refuse(api.NotFound, "no %s is or begins with %q", what, Clean(given))
	case 1:
		return found[0], nil
	}
	names := make([]string, 0, maxListed+1)
	for _, id := range found[:min(len(found), maxListed)] {
		names = append(names, string(id))
	}
	if len(found) > maxListed {
		names = append(names, "...")
	}
	return "", api.Refuse(api.InvalidArgument, "%s %q is ambiguous: it begins %d ids: %s",
		what, Clean(given), len(found), strings.Join(names, ", "))
}

// Closest returns the word of known that word was probably meant to be, or "".
func Closest(word string, known []string) string {
	best, least := "", max(len(word)/3, 1)+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
