package views

import "strconv"

// badgeWord is the word of a phase's badge.
func badgeWord(p Progress) string {
	_, word := p.Badge()
	return word
}

// imageName is the text that stands for a picture: what was asked for, and which of several.
func imageName(g Generation, image Image) string {
	name := Short(g.Prompt, 200)
	if name == "" {
		name = "Picture without a prompt"
	}
	if image.URL == "" {
		name = "Preview: " + name
	}
	if len(g.Images) > 1 {
		name += ", image " + strconv.Itoa(image.Index)
	}
	return name
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
