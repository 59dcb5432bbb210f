package ui

import (
	"strings"
)

// Cell is one value of a table or field list.
type Cell struct {
	Text  string // for people
	Raw   string // for a pipe; "" is Text
	Style Style
	Whole bool // never shortened to fit the terminal
}

// T is text that may be shortened.
func T(text string) Cell { return Cell{Text: text} }

// ID is text that is worth nothing when shortened.
func ID[S ~string](id S) Cell { return Cell{Text: string(id), Whole: true} }

// V is a value that people and programs read differently: "512 MiB" and "536870912".
func V(text, raw string) Cell { return Cell{Text: text, Raw: raw, Whole: true} }

// In returns the cell in a style.
func (c Cell) In(s Style) Cell {
	c.Style = s
	return c
}

func (c Cell) raw() string {
	if c.Raw != "" {
		return Clean(c.Raw)
	}
	return Clean(c.Text)
}

// Span is a piece of a line.
type Span struct {
	Text  string
	Style Style
}

// Page is an answer as a person reads it. A view fills it; in a pipe only its tables and
// fields are written, as tab-separated values.
type Page struct {
	// Wide asks for every column there is.
	Wide bool
	// Terminal says that the page is laid out for a person.
	Terminal bool
	// Width is the columns there are.
	Width int

	blocks []block
	names  []string
}

type block interface {
	render(w *strings.Builder, p layout)
}

// layout is what a block needs to know to render itself.
type layout struct {
	terminal bool
	color    bool
	width    int
}

func (l layout) paint(s Style, text string) string {
	if !l.color {
		return text
	}
	return s.paint(text)
}

// Name adds an id to what -o name prints.
func (p *Page) Name(id string) { p.names = append(p.names, Clean(id)) }

// Line adds a line for people; a pipe does not get it.
func (p *Page) Line(spans ...Span) { p.blocks = append(p.blocks, line(spans)) }

// Gap adds an empty line for people, unless the page is still empty.
func (p *Page) Gap() {
	if len(p.blocks) > 0 {
		p.Line()
	}
}

// Text adds a line that people and pipes get alike.
func (p *Page) Text(text string) { p.blocks = append(p.blocks, plainLine(text)) }

// Table adds a table.
func (p *Page) Table(t Table) { p.blocks = append(p.blocks, &t) }

// Fields adds names and values, one pair a line; pairs without a value are left out for
// people.
func (p *Page) Fields(f ...Field) { p.blocks = append(p.blocks, fields(f)) }

func (p *Page) render(color bool) string {
	var w strings.Builder
	l := layout{terminal: p.Terminal, color: color && p.Terminal, width: p.Width}
	for _, b := range p.blocks {
		b.render(&w, l)
	}
	return w.String()
}

type line []Span

func (ln line) render(w *strings.Builder, l layout) {
	if !l.terminal {
		return
	}
	for i, s := range ln {
		text := Clean(s.Text)
		if i == len(ln)-1 {
			text = strings.TrimRight(text, " ")
		}
		w.WriteString(l.paint(s.Style, text))
	}
	w.WriteByte('\n')
}

type plainLine string

func (t plainLine) render(w *strings.Builder, _ layout) {
	w.WriteString(Clean(string(t)))
	w.WriteByte('\n')
}

// Field is a name and its value.
type Field struct {
	Name  string
	Value Cell
}

// F is a field.
func F(name string, value Cell) Field { return Field{Name: name, Value: value} }

type fields []Field

func (fs fields) render(w *strings.Builder, l layout) {
	longest := 0
	for _, f := range fs {
		longest = max(longest, len(f.Name))
	}
	for _, f := range fs {
		if !l.terminal {
			w.WriteString(strings.ReplaceAll(f.Name, " ", "_") + "\t" + f.Value.raw() + "\n")
			continue
		}
		if f.Value.Text == "" {
			continue
		}
		name := f.Name + strings.Repeat(" ", longest-len(f.Name))
		w.WriteString(l.paint(Dim, name) + "  " + l.paint(f.Value.Style, Clean(f.Value.Text)) + "\n")
	}
}

func namesText(names []string) string {
	var w strings.Builder
	for _, name := range names {
		w.WriteString(name + "\n")
	}
	return w.String()
}
