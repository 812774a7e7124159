package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"time"

	"easel/db"
	"easel/test/harness"
)

// The clock of an instance jumps by an hour (P10): nothing about a lease is told to the database but how long it is
// to last, so its own clock alone says until when. That is shown by what the statements can be given; a process has
// no wall clock of its own here that a test could move. Inside an instance, times are Go's, which run on through a jump.
func TestFault35_ClockJumps(t *testing.T) {
	t.Parallel()
	for _, statement := range []any{db.ServerTakeParams{}, db.ServerRenewParams{}, db.ServerReleaseParams{}} {
		kind := reflect.TypeOf(statement)
		for field := range kind.Fields() {
			switch field.Type {
			case reflect.TypeFor[time.Time](), reflect.TypeFor[*time.Time]():
				t.Errorf("%s takes a time of the instance: %s", kind, field.Name)
			}
		}
	}
	source, err := os.ReadFile(filepath.Join(harness.Root(), "studio", "lease.go"))
	if err != nil {
		t.Fatal(err)
	}
	// What a Time loses its monotonic reading by.
	if lost := regexp.MustCompile(`\.(UTC|Round|Truncate|In|Local|Unix\w*|AddDate)\(`).Find(source); lost != nil {
		t.Errorf("studio/lease.go compares the wall clock: %s", lost)
	}
}

// Each row of the fault matrix has exactly one test with its number, which both pages name.
func TestEachRowHasOneTest(t *testing.T) {
	t.Parallel()
	rows := map[int][]string{}
	name := regexp.MustCompile(`(?m)^func (TestFault(\d\d)_\w+)\(`)
	for _, folder := range []string{"faults", "trouble"} {
		files, err := filepath.Glob(filepath.Join(harness.Root(), "test", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range name.FindAllStringSubmatch(string(source), -1) {
				row, err := strconv.Atoi(found[2])
				if err != nil {
					t.Fatal(err)
				}
				rows[row] = append(rows[row], found[1])
			}
		}
	}
	pages := map[string]string{"reliability.md": "", "failures.md": ""}
	for name := range pages {
		page, err := os.ReadFile(filepath.Join(harness.Root(), "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(page)
	}
	for row := 1; row <= 36; row++ {
		if len(rows[row]) != 1 {
			t.Errorf("row %d has the tests %v, want one", row, rows[row])
			continue
		}
		for name, page := range pages {
			if !regexp.MustCompile(fmt.Sprintf("`((trouble|faults)\\.)?%s`", rows[row][0])).MatchString(page) {
				t.Errorf("docs/%s does not name %s", name, rows[row][0])
			}
		}
	}
}
