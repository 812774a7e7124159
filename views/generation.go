package views

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"easel/static"
)

// Generation is one generation as the pages show it.
type Generation struct {
	ID             string
	Prompt         string
	NegativePrompt string
	Workflow       string
	Status         string // pending, generating, complete, failed, cancelled
	Model          string // empty: not told
	Error          string // a sentence; empty unless failed
	Warnings       []string
	Width, Height  int // of one picture, as asked for; never 0
	Images         []Image
	Progress       Progress
	RetryOf        string // id; empty: none
	Created        time.Time
	Finished       time.Time // zero while live
}

// Ended reports whether nothing changes any more.
func (g Generation) Ended() bool {
	return g.Status == "complete" || g.Status == "failed" || g.Status == "cancelled"
}

// Still is g with bars that stand where it is: as a page begins, before anything moves in it.
func (g Generation) Still() Generation {
	g.Progress.Reach = float64(g.Progress.Percent)
	g.Images = slices.Clone(g.Images)
	for i := range g.Images {
		p := &g.Images[i].Progress
		p.Reach = float64(p.Percent)
	}
	return g
}

// Seed is that of the first image, in decimal.
func (g Generation) Seed() string {
	if len(g.Images) == 0 {
		return ""
	}
	return g.Images[0].Seed
}

// Servers names the servers that had a part in it, each once.
func (g Generation) Servers() string {
	var names []string
	for _, image := range g.Images {
		if image.Server != "" && !slices.Contains(names, image.Server) {
			names = append(names, image.Server)
		}
	}
	return strings.Join(names, ", ")
}

// Started is when ComfyUI first began with an image of it; zero before.
func (g Generation) Started() time.Time {
	var first time.Time
	for _, image := range g.Images {
		if !image.Started.IsZero() && (first.IsZero() || image.Started.Before(first)) {
			first = image.Started
		}
	}
	return first
}

// stageRatio is about the width of the stage divided by its height, in a window on a desk.
const stageRatio = 1.33

// Layout is how many columns and rows show the pictures as large as the stage allows, 1 to 8 each,
// so that all of them are in sight at once. More than 64 would go on below.
func (g Generation) Layout() (columns, rows int) {
	shape := float64(g.Width) / float64(g.Height)
	tallest := 0.0
	for c := 1; c <= 8; c++ {
		r := max((len(g.Images)+c-1)/c, 1)
		if height := min(1/float64(r), stageRatio/float64(c)/shape); height > tallest {
			columns, rows, tallest = c, min(r, 8), height
		}
	}
	return columns, rows
}

// Cover is the first image that has a picture.
func (g Generation) Cover() (Image, bool) {
	for _, image := range g.Images {
		if image.URL != "" {
			return image, true
		}
	}
	return Image{}, false
}

// Emerging is the first image that has a live preview.
func (g Generation) Emerging() (Image, bool) {
	for _, image := range g.Images {
		if image.Preview != "" {
			return image, true
		}
	}
	return Image{}, false
}

// AtWork is the image that shows best how far a generation is: the one that emerges, else the last
// that has a picture.
func (g Generation) AtWork() (Image, bool) {
	if image, ok := g.Emerging(); ok {
		return image, true
	}
	return g.Cover()
}

// Image is one picture of a generation, finished or on its way.
type Image struct {
	Index         int // from 1
	Status        string
	Seed          string // decimal
	Server        string
	Error         string
	Width, Height int    // of the first output, else as asked for; never 0
	Color         string // ground while the picture loads, as #rrggbb
	URL           string // of the first output; empty while there is none
	Thumbnail     string
	Preview       string // URL of the latest live preview; empty when there is none
	Progress      Progress
	Started       time.Time // ComfyUI began the latest attempt; zero before
	Files         []File
}

// Source is what an img shows now: the picture, else the preview, else nothing.
func (i Image) Source() string {
	if i.URL != "" {
		return i.URL
	}
	return i.Preview
}

// File is one stored output.
type File struct {
	URL, Download string
	Use           string // where a form posts that makes an input of it
	Node          string // id of the node that gave it
	MIME          string
	Size          int64 // bytes
	Width, Height int
	SHA256        string
}

// Progress is the one number and the words beside it.
type Progress struct {
	Phase      string  // queued, setup, inference, finishing, complete, failed, cancelled
	Line       string  // what happens now: "Step 5 of 20", "Loading checkpoint"
	Percent    int     // 0 to 100, of the whole
	Known      bool    // false: the bar breathes, there is no number yet
	Reach      float64 // 0 to 100: where the bar is on its way to, Percent or a little more
	Pace       string  // how long it takes to get there, in ms, one of the steps of the stylesheet
	ETA        string  // "~45 seconds remaining"; empty while unknown
	Between    string  // how sure that is: "30 to 60 seconds"; empty while unknown
	Steps      string  // how many of the sampler's steps are done, "25%"; empty while there are none
	Pass       string  // "pass 1 of 2"; empty when there is one only
	Node       string  // title of the node at work; empty when there is none
	Cancelling bool
	Retry      string // why it is made again: "Sent again: the server lost it"; empty: it is not
}

// Badge is the phase as a sign and a word.
func (p Progress) Badge() (sign, word string) {
	switch {
	case p.Cancelling && p.Phase != "cancelled":
		return "", "Cancelling"
	case p.Phase == "setup":
		return "🔗", "Connected"
	case p.Phase == "inference":
		return "⚙️", "Inferencing"
	case p.Phase == "finishing":
		return "⚙️", "Finishing"
	case p.Phase == "complete":
		return "✅", "Complete"
	case p.Phase == "failed":
		return "", "Failed"
	case p.Phase == "cancelled":
		return "", "Cancelled"
	}
	return "", "Queued"
}

// Live reports whether something is still to come.
func (p Progress) Live() bool {
	return p.Phase != "complete" && p.Phase != "failed" && p.Phase != "cancelled"
}

// Counts reports whether the number is what tells most of p now.
func (p Progress) Counts() bool {
	return p.Known && p.Live() && p.Phase != "queued" && !p.Cancelling
}

// Valuetext is the bar in words: the number, what happens, and how long it will take.
func (p Progress) Valuetext() string {
	words := p.Line
	if p.Known {
		words = strconv.Itoa(p.Percent) + " percent, " + p.Line
	}
	if p.ETA != "" {
		words += ", " + spoken(p.ETA)
	}
	return words
}

// Spoken is what a screen reader hears of a generation: each phase, and each quarter. It changes a
// handful of times in a run, so that nobody is talked over: the phases of several images come and
// go, so of those the quarters alone are told.
func (g Generation) Spoken() string {
	_, word := g.Progress.Badge()
	if !g.Progress.Counts() {
		return word
	}
	if len(g.Images) > 1 {
		word = "Generating"
	}
	if quarter := g.Progress.Percent / 25 * 25; quarter > 0 {
		return fmt.Sprintf("%s, %d percent", word, quarter)
	}
	return word
}

// Tab is what the document's title says first while something runs: "42%", or the phase.
func (p Progress) Tab() string {
	if p.Counts() {
		return strconv.Itoa(p.Percent) + "%"
	}
	_, word := p.Badge()
	return word
}

// Icon is the file of the tab's icon: a ring that fills while something runs, else empty.
func (p Progress) Icon() string {
	if p.Counts() {
		return static.ProgressIcon(p.Percent)
	}
	return ""
}

// Ago is a time as people say it, relative to now.
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " seconds ago"
	case d < time.Hour:
		return plural(int(d.Minutes()), "minute") + " ago"
	case d < 24*time.Hour:
		return plural(int(d.Hours()), "hour") + " ago"
	case d < 7*24*time.Hour:
		return plural(int(d.Hours()/24), "day") + " ago"
	}
	return t.Format("2 January 2006")
}

// Took is a length of time as people say it, to the tenth of a second below a minute.
func Took(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// Left is the time that remains as people say it: coarse, and coarser the longer it is.
func Left(d time.Duration) string {
	seconds := int((d + time.Second - 1) / time.Second)
	switch {
	case seconds <= 5:
		return "a few seconds remaining"
	case seconds <= 50:
		return fmt.Sprintf("~%d seconds remaining", (seconds+4)/5*5)
	case seconds < 3600:
		return "~" + plural((seconds+30)/60, "minute") + " remaining"
	}
	return "~" + plural((seconds+1800)/3600, "hour") + " remaining"
}

// spoken is what Left says for whoever hears it.
func spoken(left string) string { return strings.Replace(left, "~", "about ", 1) }

// LeftBetween is the range of the time that remains, in words: "30 to 60 seconds", "2 to 4 minutes". Empty where both
// ends are the same in words.
func LeftBetween(low, high time.Duration) string {
	unit, name := time.Second, "seconds"
	switch {
	case high >= 2*time.Hour:
		unit, name = time.Hour, "hours"
	case high >= 2*time.Minute:
		unit, name = time.Minute, "minutes"
	case high >= 20*time.Second:
		unit, name = 5*time.Second, "seconds"
	}
	from, to := int(low/unit), int((high+unit-1)/unit)
	if unit == 5*time.Second {
		from, to = 5*from, 5*to
	}
	if from >= to {
		return ""
	}
	return fmt.Sprintf("%d to %d %s", from, to, name)
}

// Bytes is a size as people say it.
func Bytes(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1000*1000:
		return strconv.FormatInt((n+500)/1000, 10) + " kB"
	case n < 1000*1000*1000:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	}
	return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + " GB"
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// Short is the beginning of a text for a title, cut between characters.
func Short(text string, runes int) string {
	text = strings.Join(strings.Fields(text), " ")
	all := []rune(text)
	if len(all) <= runes {
		return text
	}
	return strings.TrimSpace(string(all[:runes])) + "…"
}

// Gallery is the list of generations, or a part of it.
type Gallery struct {
	Query   string
	Status  string // one of the filters of GalleryFilters; empty: all
	Cards   []Generation
	Older   string // URL of the older part; empty at the end
	OlderID string // id of the element that leads there: another for each part
	Fresh   string // URL of what came since, for the pill
	Now     time.Time
}

// Filtered reports whether the list leaves anything out.
func (g Gallery) Filtered() bool { return g.Query != "" || g.Status != "" }

// Filter is one entry of the gallery's row of filters.
type Filter struct{ Status, Label string }

// GalleryFilters are the states that the gallery can be narrowed to.
var GalleryFilters = []Filter{
	{"", "All"},
	{"complete", "Complete"},
	{"generating", "Generating"},
	{"pending", "Queued"},
	{"failed", "Failed"},
	{"cancelled", "Cancelled"},
}

// filterQuery is the gallery's query with one filter in place of the present one.
func (g Gallery) filterQuery(status string) url.Values {
	query := url.Values{}
	if g.Query != "" {
		query.Set("q", g.Query)
	}
	if status != "" {
		query.Set("status", status)
	}
	return query
}

// Fresh is the pill that says how many generations came in while someone reads the gallery.
type Fresh struct {
	Count int
	URL   string // of the patch that puts them on top
	Plain string // of the page that shows them, where there are no scripts
}

// Strip is the queue as the studio shows it, and the newest pictures under it.
type Strip struct {
	Queue  QueueList // what waits or runs beside the stage, in its order
	Recent []Generation
	Now    time.Time
}

// Record is what was done for a generation, attempt by attempt.
type Record struct {
	Attempts   []Attempt
	Deliveries []Delivery
}

// Attempt is one graph that was sent, and when what happened to it.
type Attempt struct {
	PromptID   string
	ImageIndex int
	Number     int
	Server     string
	State      string
	Why        string // it was made: "Sent again: the server lost it"; empty: it is the first
	Error      string
	Detail     string
	Graph      string // indented JSON
	Times      []Moment
}

// again is which attempt of its image this is, where it is not the first.
func (a Attempt) again() string {
	if a.Number < 2 {
		return ""
	}
	return ", attempt " + strconv.Itoa(a.Number)
}

// Moment is one point in the life of an attempt.
type Moment struct {
	Name string
	At   time.Time
	Took string // since the moment before; empty for the first
}

// Setting is one value of a record; Upload is the SHA-256 of the picture that it is, if it is one.
type Setting struct{ Label, Value, Upload string }

// InForce is a setting of the program: what holds, and where it came from.
type InForce struct{ Name, Value, Source string }
