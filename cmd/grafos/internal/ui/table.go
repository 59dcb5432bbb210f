package ui

import (
	"bytes"
	"slices"
	"strings"

	"github.com/cli/go-gh/v2/pkg/tableprinter"
)

// Table is rows under headings. A terminal gets aligned columns that fit its width, a
// pipe gets tab-separated values without headings, whole.
type Table struct {
	Header []string
	Rows   [][]Cell
	// Indent moves the table right on a terminal.
	Indent int
	// Sparse leaves out, on a terminal, the columns that have nothing in any row.
	Sparse bool
}

// Row adds a row.
func (t *Table) Row(cells ...Cell) { t.Rows = append(t.Rows, cells) }

func (t *Table) render(w *strings.Builder, l layout) {
	if !l.terminal {
		for _, row := range t.Rows {
			w.WriteString(tsv(row))
		}
		return
	}
	if len(t.Rows) == 0 {
		return
	}
	if t.Sparse {
		t = t.filled()
	}
	var buf bytes.Buffer
	printer := tableprinter.New(&buf, true, l.width-t.Indent)
	if len(t.Header) > 0 {
		printer.AddHeader(t.Header, tableprinter.WithTruncate(nil), tableprinter.WithColor(l.brush(Dim)))
	}
	for _, row := range t.Rows {
		for _, c := range row {
			t.field(printer, c, l)
		}
		printer.EndRow()
	}
	// Writing to a buffer cannot fail.
	_ = printer.Render()
	indent := strings.Repeat(" ", t.Indent)
	for line := range strings.Lines(buf.String()) {
		w.WriteString(strings.TrimRight(indent+line, " \n") + "\n")
	}
}

func (t *Table) field(printer tableprinter.TablePrinter, c Cell, l layout) {
	text := Clean(c.Text)
	brush := tableprinter.WithColor(l.brush(c.Style))
	if c.Whole {
		printer.AddField(text, brush, tableprinter.WithTruncate(nil))
		return
	}
	printer.AddField(text, brush)
}

// filled returns the table without the columns that are empty or "-" in every row.
func (t *Table) filled() *Table {
	out := &Table{Indent: t.Indent, Rows: make([][]Cell, len(t.Rows))}
	for col, head := range t.Header {
		empty := !slices.ContainsFunc(t.Rows, func(row []Cell) bool { return row[col].Text != "" && row[col].Text != "-" })
		if empty {
			continue
		}
		out.Header = append(out.Header, head)
		for i, row := range t.Rows {
			out.Rows[i] = append(out.Rows[i], row[col])
		}
	}
	return out
}

// brush returns a colour function for the table printer, which pads before it paints:
// the padding stays outside the colour, so that it can be trimmed.
func (l layout) brush(s Style) func(string) string {
	return func(text string) string {
		word := strings.TrimRight(text, " ")
		return l.paint(s, word) + text[len(word):]
	}
}

func tsv(row []Cell) string {
	raw := make([]string, len(row))
	for i, c := range row {
		raw[i] = c.raw()
	}
	return strings.Join(raw, "\t") + "\n"
}
