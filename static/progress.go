package static

import "fmt"

// progressStep is the distance between two of the icons that tell progress, in percent.
const progressStep = 5

// ProgressIcon is the name of the icon of a tab whose work is that far, 0 to 99 percent.
func ProgressIcon(percent int) string {
	return fmt.Sprintf("progress-%d.svg", percent-percent%progressStep)
}

// addProgressIcons adds a ring for every step.
func (f *Files) addProgressIcons() error {
	for percent := 0; percent < 100; percent += progressStep {
		ring := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1c1a18"/>`+
			`<g fill="none" stroke-width="6"><circle cx="16" cy="16" r="10" stroke="#5a5248"/>`+
			`<circle cx="16" cy="16" r="10" stroke="#f0b04a" pathLength="100" stroke-dasharray="%d 100" transform="rotate(-90 16 16)"/></g></svg>`, percent)
		if err := f.add(ProgressIcon(percent), []byte(ring)); err != nil {
			return err
		}
	}
	return nil
}
