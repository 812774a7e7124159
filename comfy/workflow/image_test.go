package workflow

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestImageField(t *testing.T) {
	sum := strings.Repeat("0123456789abcdef", 4)
	loader := graph(t, `{"1":{"class_type":"LoadImage","inputs":{"image":"photo.png"}}}`)
	field := Field{Name: "image", Label: "Image", Group: "Your picture", Kind: Image, Required: true, Targets: []Target{{"1", "image"}}}
	w, err := New("w", "W", "", loader, []Field{field})
	if err != nil {
		t.Fatal(err)
	}
	form := w.Form(stock(t))
	if ff := form.Fields[0]; len(ff.Choices) != 0 || ff.Group != "Your picture" {
		t.Errorf("the form's field is %+v", ff)
	}

	values, problems := form.Parse(settings("image", `" `+strings.ToUpper(sum)+`"`))
	if len(problems) > 0 || values["image"] != sum {
		t.Fatalf("Parse() = %v, %v", values, problems)
	}
	stored, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if values, err = ParseValues(form, stored); err != nil || values["image"] != sum {
		t.Fatalf("ParseValues() = %v, %v", values, err)
	}
	g, err := w.Apply(values)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := g["1"].Text("image")
	if got, ok := UploadSum(name); !ok || got != sum {
		t.Errorf("the node loads %q, which is UploadSum %q, %v", name, got, ok)
	}
	if _, ok := UploadSum("easel/" + sum[1:] + ".png"); ok {
		t.Error("a name that UploadName cannot make was taken for one")
	}

	for raw, want := range map[string]string{
		``:                          "Image needs an image.",
		`null`:                      "Image needs an image.",
		`" "`:                       "Image needs an image.",
		`"photo.png"`:               "64 hex digits",
		`"` + sum[1:] + `g"`:        "64 hex digits",
		`7`:                         "cannot be read",
		`"` + `../` + sum[3:] + `"`: "64 hex digits",
	} {
		if _, problems := form.Parse(settings("image", raw)); len(problems) != 1 || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: problems %v, want %q", raw, problems, want)
		}
	}
	if _, err := w.Apply(Values{"image": "../../etc/passwd"}); err == nil {
		t.Error("Apply took a name that is no upload's")
	}

	field.Required = false
	if w, err = New("w", "W", "", loader, []Field{field}); err != nil {
		t.Fatal(err)
	}
	values, problems = w.Form().Parse(nil)
	if g, err = w.Apply(values); err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	if name, _ := g["1"].Text("image"); name != "photo.png" {
		t.Errorf("without a value the node loads %q", name)
	}
}
