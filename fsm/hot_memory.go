package fsm

import "github.com/grafos/grafos/api"

// memory is what the machine decodes entries into: it is used again for each, so that commands
// and their lists are there until the next entry is decoded.
type memory struct {
	names names
	pools pools
}

// pools are the commands that a busy log is made of, and their lists.
type pools struct {
	wire     pool[wireCommand]
	commands pool[Command]

	grants  pool[GrantLeases]
	items   pool[GrantItem]
	reports pool[ReportCell]
	bound   pool[api.BoundReport]
	ended   pool[api.EndedReport]
}

// again makes all of it free.
func (p *pools) again() {
	p.wire.again()
	p.commands.again()
	p.grants.again()
	p.items.again()
	p.reports.again()
	p.bound.again()
	p.ended.again()
}

// pool cuts small lists out of a large one.
type pool[T any] struct{ list []T }

// take returns n values, which may hold anything. What there is too little of is made anew, twice
// as large; what was taken before stays where it is.
func (p *pool[T]) take(n int) []T {
	if p.list == nil || cap(p.list)-len(p.list) < n {
		p.list = make([]T, 0, max(n, min(2*cap(p.list), maxAgain)))
	}
	from := len(p.list)
	p.list = p.list[:from+n]
	return p.list[from : from+n : from+n]
}

func (p *pool[T]) again() { p.list = again(p.list) }
