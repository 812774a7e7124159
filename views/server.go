package views

import (
	"strconv"
	"time"
)

// ServersView is the page of all servers.
type ServersView struct {
	Servers []Server
	Form    ServerForm
	Now     time.Time
}

// Server is one ComfyUI.
type Server struct {
	ID, Name, URL string
	State         string // unknown, up, down, stalled, not_comfyui
	Mode          string // active, paused, draining, off
	Demo          bool
	Origin        string // why it cannot be renamed and removed here, a sentence; empty: it can
	Elsewhere     bool   // another instance cares for it
	Last          bool   // without it there is no real server
	Version       string
	Devices       []Device
	Queue         int // prompts inside it, everybody's
	Ours          int // pictures of ours inside it
	Run           *Run
	Error         string
	LastSeen      time.Time
	Report        *ServerReport // of a test that was just made
	Rename        Field         // what was typed and refused; the zero value: nothing
}

// Device is one device that computes; sizes are bytes.
type Device struct {
	Name                string
	VRAMUsed, VRAMTotal int64 // VRAMTotal 0: not known
}

// percent is how full its memory is.
func (d Device) percent() string {
	return strconv.FormatInt(100*d.VRAMUsed/max(d.VRAMTotal, 1), 10)
}

// Run is what a server makes just now.
type Run struct {
	Generation Generation
	Image      Image
}

// ServerReport is what a test found.
type ServerReport struct {
	Address string // without userinfo
	Usable  bool
	Checks  []ServerCheck
}

// ServerCheck is one thing that was looked at.
type ServerCheck struct {
	Name    string
	Verdict string // ok, warn, bad
	Words   string
}

// word says the verdict without its colour.
func (c ServerCheck) word() string {
	switch c.Verdict {
	case "ok":
		return "Well"
	case "warn":
		return "Take note"
	}
	return "Does not work"
}

// heading sums the report up.
func (r ServerReport) heading() string {
	if r.Usable {
		return "This server can be used"
	}
	return "This server cannot be used as it is"
}

// ServerForm is the form that adds a server. Names of its controls are those of the problems.
type ServerForm struct {
	URL, Name Field
	Report    *ServerReport // of the address that was typed; nil: it was not tested
	Anyway    bool          // it may be added although the test failed
	Done      string        // what has just been done, a sentence; empty: nothing
}

// Words is how a server is, in a few words.
func (s Server) Words() string {
	state := map[string]string{
		"up": "Up", "down": "Down", "stalled": "Events stalled", "not_comfyui": "Not a ComfyUI",
	}[s.State]
	if state == "" {
		state = "Not tried yet"
	}
	switch {
	case s.Mode == "off":
		return "Off"
	case s.Mode == "paused" && s.State == "up":
		return "Paused"
	case s.Mode == "paused":
		return "Paused · " + state
	case s.Mode == "draining" && s.State == "up":
		return "Draining"
	case s.Mode == "draining":
		return "Draining · " + state
	}
	return state
}

// Health is the dot for a server.
func (s Server) Health() string {
	switch {
	case s.Mode == "off":
		return "off"
	case s.State == "stalled", s.State == "unknown", s.State == "up" && s.Mode != "active":
		return "some"
	case s.State == "up":
		return "good"
	}
	return "none"
}

// Note says what the mode and the state mean for the work, and what to do; empty: all is well.
func (s Server) Note() string {
	switch s.Mode {
	case "off":
		return "Easel leaves it alone, so that its ComfyUI may be taken away. Resume it to use it again."
	case "paused":
		return "It takes nothing new until you resume it. What is inside goes on."
	case "draining":
		if s.Ours > 0 {
			return "It takes nothing new, and is off once what is inside is done: " + pictures(s.Ours) + " of ours."
		}
		return "It takes nothing new, and is off in a moment."
	}
	return ""
}

// Trouble says what is wrong with it, and what comes of it.
func (s Server) Trouble() string {
	if s.Mode == "off" {
		return ""
	}
	switch s.State {
	case "stalled":
		return "It answers, but its events do not arrive. Pictures are still made there and nothing is lost, but steps and previews are missing, and each end shows a few seconds late. Restarting that ComfyUI cures it."
	case "down":
		return orElse(s.Error, "It does not answer.") + " Easel keeps trying; nothing is lost."
	case "not_comfyui":
		return orElse(s.Error, "Something answers there, but it is not a ComfyUI.") + " Look at the address, or at what stands in front of ComfyUI."
	}
	return s.Error
}

// fate says what becomes of what is inside when the server goes.
func (s Server) fate() string {
	if s.Ours == 0 {
		return "Nothing of ours is inside."
	}
	return "What is inside (" + pictures(s.Ours) + ") goes back into the queue, and is made elsewhere."
}

func pictures(n int) string { return plural(n, "picture") }

// answers: what it said of itself holds now.
func (s Server) answers() bool {
	return s.Mode != "off" && (s.State == "up" || s.State == "stalled")
}

// renameField is the control of the new name.
func (s Server) renameField() Field {
	f := s.Rename
	f.Name = "name-" + s.ID // ids are those of the page, where there are several
	if f.Error == "" {
		f.Value = s.Name
	}
	return f
}
