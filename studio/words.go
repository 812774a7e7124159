package studio

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"easel/comfy"
)

// Phase is what s alone says of the phase.
func (s Status) Phase() comfy.Phase {
	switch s {
	case Complete:
		return comfy.PhaseComplete
	case Failed:
		return comfy.PhaseFailed
	case Cancelled:
		return comfy.PhaseCancelled
	case Generating:
		return comfy.PhaseSetup
	}
	return comfy.PhaseQueued
}

func wordOf(s Status) string {
	switch s {
	case Complete:
		return "Complete"
	case Failed:
		return "Failed"
	case Cancelled:
		return "Cancelled"
	}
	return ""
}

// words say where in the queue somebody is.
func (at place) words() string {
	switch {
	case at.held:
		return "Held back"
	case at.paused:
		return "The queue is paused"
	case at.missing != "":
		return at.missing
	case at.position <= 0:
		return "Waiting for a server"
	}
	return fmt.Sprintf("Position %d in the queue", at.position)
}

// nextImage is what is said between two images.
func nextImage(g *Generation) string {
	for i := range g.Images {
		if !g.Images[i].Status.Ended() {
			return fmt.Sprintf("Image %d of %d is next", g.Images[i].Index, len(g.Images))
		}
	}
	return "Finishing"
}

// statusLine says in a few words what a prompt that runs is doing.
func statusLine(s *comfy.Progress, phase comfy.Phase) string {
	switch {
	case s.Reused:
		return "Reused an earlier result"
	case phase == comfy.PhaseInference && s.Steps > 0:
		return fmt.Sprintf("Step %d of %d", s.Step, s.Steps)
	case s.NodeClass == "" && s.NodeTitle == "":
		return "Running" // a tracker that came late does not know more
	}
	return doing(s)
}

// finishing says what is left after the last sampler.
func finishing(s *comfy.Progress, attemptState string) string {
	switch {
	case attemptState == attemptFinalizing || s.Ended:
		return "Storing"
	case s.Reused:
		return "Reused an earlier result"
	case s.NodeClass == "" && s.NodeTitle == "":
		return "Finishing"
	}
	return doing(s)
}

// doing turns the class or title of a node into what it does. Classes are named by their authors,
// so the beginnings of names are all there is to go by; what none fits is shown by its title.
func doing(s *comfy.Progress) string {
	class := s.NodeClass
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(class, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("Checkpoint"):
		return "Loading checkpoint"
	case has("Lora", "LoRA"):
		return "Loading LoRA"
	case has("Loader", "LoadImage"):
		return "Loading"
	case has("TextEncode", "Conditioning"):
		return "Encoding the prompt"
	case has("VAEDecode"):
		return "Decoding"
	case has("VAEEncode"):
		return "Encoding the image"
	case strings.HasPrefix(class, "Empty"):
		return "Preparing the canvas"
	case has("Upscale"):
		return "Upscaling"
	case has("Save", "Preview"):
		return "Saving"
	case has("Sampler"):
		return "Preparing the sampler"
	case s.NodeTitle != "":
		return s.NodeTitle
	}
	return class
}

// asSentence makes a sentence of a message of ComfyUI's.
func asSentence(message string) string {
	message = strings.TrimSpace(message)
	if message == "" {
		return "It gave no reason."
	}
	if !strings.HasSuffix(message, ".") {
		message += "."
	}
	return strings.ToUpper(message[:1]) + message[1:]
}

// sentence says for visitors what is wrong with a server.
func sentence(err error) string {
	switch {
	case errors.Is(err, comfy.ErrNotComfyUI):
		return "Something answers there, but it is not a ComfyUI."
	case errors.Is(err, comfy.ErrTooLarge):
		return "Its answers are too large to be a ComfyUI's."
	}
	return "It does not answer."
}

// isOutOfMemory tells by the name of the exception, and by the words that allocators use.
func isOutOfMemory(e *comfy.ExecutionError) bool {
	return strings.Contains(e.ExceptionType, "OutOfMemory") ||
		strings.Contains(strings.ToLower(e.Message), "out of memory")
}

func sortedNodes(nodes map[string]comfy.NodeError) []string {
	return slices.Sorted(maps.Keys(nodes))
}

// clean makes foreign text one that can be stored and read: Postgres takes neither NUL nor broken
// UTF-8, and what turns the direction of writing would turn our own words beside it. What is
// longer than anybody reads is cut.
func clean(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	text = strings.Map(func(c rune) rune {
		switch {
		case c == '\r':
			return '\n'
		case unicode.Is(unicode.Bidi_Control, c):
			return -1
		case unicode.IsControl(c) && c != '\n' && c != '\t':
			return '\uFFFD'
		}
		return c
	}, text)
	const longest = 64 << 10
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "")
	}
	return text
}

// label is clean for what stands in one line, such as the name of a device.
func label(text string) string {
	const longest = 200
	text = strings.ReplaceAll(clean(text), "\n", " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
