package views

import (
	"context"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"
	"go.uber.org/goleak"

	"easel/static"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testSite(t *testing.T) Site {
	t.Helper()
	files, err := static.Open([]byte("export {}"))
	if err != nil {
		t.Fatal(err)
	}
	paths := Paths{Base: "/studio"}
	return Site{Paths: paths, Assets: paths, Version: "1.2.3", Files: files}
}

func rendered(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parsed(t *testing.T, c templ.Component) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(rendered(t, c)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// text is the text of the one element that a selector finds, its white space made single.
func text(t *testing.T, doc *goquery.Document, selector string) string {
	t.Helper()
	found := doc.Find(selector)
	if found.Length() != 1 {
		t.Errorf("%q finds %d elements, want 1", selector, found.Length())
	}
	return strings.Join(strings.Fields(found.Text()), " ")
}
