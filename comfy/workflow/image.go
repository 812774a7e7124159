package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
)

// uploadDigits is the length of a SHA-256 in hex.
const uploadDigits = 64

// UploadName is the name under which an image with this SHA-256 (in hex) lies among a server's
// inputs, and what a LoadImage node is given. It ends in .png whatever the bytes are: ComfyUI
// goes by the content.
func UploadName(sum string) string { return "easel/" + sum + ".png" }

// UploadSum is the SHA-256 in a name that UploadName made; ok is false for any other name.
func UploadSum(name string) (sum string, ok bool) {
	sum = strings.TrimSuffix(strings.TrimPrefix(name, "easel/"), ".png")
	return sum, isUpload(sum) && UploadName(sum) == name
}

func isUpload(sum string) bool {
	return len(sum) == uploadDigits && strings.Trim(sum, "0123456789abcdef") == ""
}

// parseImage takes the SHA-256 of an upload. Whether there is such an upload is not known here.
func (ff *FormField) parseImage(raw json.RawMessage) (v any, complaint string) {
	text, err := TextFromJSON(raw)
	if err != nil {
		return nil, fmt.Sprintf("%s cannot be read: %s.", ff.Label, problemOf(err))
	}
	switch sum := strings.ToLower(strings.TrimSpace(text)); {
	case sum == "":
		return ff.absent(), ff.missing()
	case isUpload(sum):
		return sum, ""
	}
	return nil, ff.Label + " must be an uploaded image, named by the 64 hex digits of its SHA-256."
}

// missing is the complaint about a value that was left out; most fields can do without.
func (ff *FormField) missing() (complaint string) {
	if ff.Kind == Image && ff.Required && ff.Default == nil {
		return ff.Label + " needs an image."
	}
	return ""
}
