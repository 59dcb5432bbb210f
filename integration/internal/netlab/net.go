package netlab

import "slices"

// Net says what happens between any two hosts. It is changed as a whole (Lab.Change): there
// is no moment at which half a partition is in force.
type Net struct {
	index map[string]int // of a host's name; shared, never changed
	links []Link         // from i to j at i*len(index)+j
}

// Link returns the link from one host to another, to be set.
func (n *Net) Link(from, to string) *Link {
	return &n.links[n.index[from]*len(n.index)+n.index[to]]
}

// Cut cuts both directions between two hosts.
func (n *Net) Cut(a, b string) {
	n.Link(a, b).Cut, n.Link(b, a).Cut = true, true
}

// Split cuts every host of one side from every host of the other, both ways.
func (n *Net) Split(side, other []string) {
	for _, a := range side {
		for _, b := range other {
			n.Cut(a, b)
		}
	}
}

// Heal makes every link perfect.
func (n *Net) Heal() { clear(n.links) }

func (n *Net) at(from, to int) Link { return n.links[from*len(n.index)+to] }

func (n *Net) clone() *Net { return &Net{index: n.index, links: slices.Clone(n.links)} }
