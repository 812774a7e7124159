package workflow

// TextToImage is the id of the built-in workflow that is used when none is named.
const TextToImage = "text-to-image"

// Kind says what a field holds, and with that its control in a form.
type Kind string

// The kinds, each with the Go type of its value in Values.
const (
	Text    Kind = "text"    // string
	Integer Kind = "integer" // int64
	Number  Kind = "number"  // float64
	Choice  Kind = "choice"  // string, one of Choices
	Boolean Kind = "boolean" // bool
	Seed    Kind = "seed"    // uint64; absent, empty or negative input means: random, resolved by the caller
)

// Values holds a value for each named field, of the Go type that its Kind says.
type Values map[string]any

// FormField is one field of a form: a named place in a graph, with what the servers allow there.
type FormField struct {
	Name     string // camelCase, the key in settings: steps, guidance, width, ...
	Label    string // for people: "Steps"
	Help     string
	Group    string // "main" or "more"
	Kind     Kind
	Default  any     // of the Kind's Go type; nil: none
	Min, Max float64 // bounds of numbers, inclusive; Bounded says whether they are known
	Step     float64 // 0: any
	Bounded  bool
	Choices  []string // of a Choice; empty: no server has told yet, any text is taken
}

// Form is what a person or a program can fill in for one workflow.
type Form struct {
	ID          string // the workflow's
	Title       string
	Description string
	Fields      []FormField // in the order in which they are shown; prompt and negativePrompt are among them
}

// Field finds a field by name.
func (f Form) Field(name string) (FormField, bool) {
	for _, field := range f.Fields {
		if field.Name == name {
			return field, true
		}
	}
	return FormField{}, false
}
