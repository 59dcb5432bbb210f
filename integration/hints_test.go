package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestHints: a hint that names a command names one that there is.
func TestHints(t *testing.T) {
	command := regexp.MustCompile(`grafos((?: [a-z][a-z-]*)+)`)
	found := map[string]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && slices.Contains([]string{".git", "bin", "node_modules"}, entry.Name()) {
			return filepath.SkipDir
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, hint := range hintsIn(file) {
			for _, c := range command.FindAllStringSubmatch(hint, -1) {
				found[c[1]] = path + ": " + hint
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Errorf("%d commands are named in hints: are they written as this test reads them?", len(found))
	}
	for words, where := range found {
		t.Run(strings.TrimSpace(words), func(t *testing.T) {
			wantCommand(t, append([]string{"grafos"}, strings.Fields(words)...))
			if t.Failed() {
				t.Log(where)
			}
		})
	}
}

// hintsIn lists the texts that a file gives as hints.
func hintsIn(file *ast.File) []string {
	var hints []string
	texts := func(e ast.Expr) {
		ast.Inspect(e, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					hints = append(hints, text)
				}
			}
			return true
		})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "WithHint" && len(n.Args) > 0 {
				texts(n.Args[0])
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Hint" {
				texts(n.Value)
			}
		case *ast.AssignStmt:
			if f, ok := n.Lhs[0].(*ast.SelectorExpr); ok && f.Sel.Name == "Hint" {
				texts(n.Rhs[0])
			}
		}
		return true
	})
	slices.Sort(hints)
	return slices.Compact(hints)
}
