package faults

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"easel/test/harness"
)

// elsewhere are the folders of tests whose name in docs/reliability.md is not that of their folder.
var elsewhere = map[string]string{"": "test/faults", "trouble": "test/trouble"}

// Each promise about what is never lost names its tests, which are there, and one of them at least says which
// promise it holds.
func TestEachPromiseHasATest(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (P\d\d)(?:, P\d\d)* \|.*\|$`).FindAllStringSubmatch(string(page), -1) {
		rows[row[1]] = row[0]
	}
	promises := []int{33, 34, 35, 36}
	for number := 1; number <= 25; number++ {
		promises = append(promises, number)
	}
	folders := map[string]map[string]string{}
	for _, number := range promises {
		promise := fmt.Sprintf("P%02d", number)
		held := false
		for _, name := range regexp.MustCompile("`(?:([\\w/]+)\\.)?((?:Test|Benchmark)\\w+)`").FindAllStringSubmatch(rows[promise], -1) {
			folder, known := elsewhere[name[1]]
			if !known {
				folder = name[1]
			}
			if folders[folder] == nil {
				folders[folder] = tests(t, folder)
			}
			text, there := folders[folder][name[2]]
			if !there {
				t.Errorf("%s: there is no %s in %s", promise, name[2], folder)
			}
			held = held || strings.Contains(text, promise)
		}
		if !held {
			t.Errorf("%s: no test of docs/reliability.md says that it holds it:\n%s", promise, rows[promise])
		}
	}
}

// tests are the tests and benchmarks of a folder, each with its comment and text.
func tests(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(harness.Root(), folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range tree.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
				from := f.Pos()
				if f.Doc != nil {
					from = f.Doc.Pos()
				}
				found[f.Name.Name] = string(source[set.Position(from).Offset:set.Position(f.End()).Offset])
			}
		}
	}
	return found
}

// Every package with tests looks for goroutines that are left when they have ended (P34); bench alone does not,
// which ends with what it measured.
func TestEveryPackageLooksForGoroutines(t *testing.T) {
	t.Parallel()
	looks := map[string]bool{}
	err := filepath.WalkDir(harness.Root(), func(path string, entry fs.DirEntry, err error) error {
		switch folder := filepath.Dir(path); {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "bench" || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			looks[folder] = looks[folder] || regexp.MustCompile(`(?s)func TestMain\(.*(goleak\.|dbtest\.Main\()`).Match(source)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(looks) < 10 {
		t.Errorf("only %d packages were found", len(looks))
	}
	for folder, does := range looks {
		if !does {
			t.Errorf("%s has tests and does not look for goroutines that are left", folder)
		}
	}
}
