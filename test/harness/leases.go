package harness

import (
	"encoding/json"
	"strings"
	"time"
)

// Lease is one taking of a server's lease, as the log tells it.
type Lease struct {
	Time   time.Time
	Server string
	Fence  int64
}

// Leases are all that the program's runs have taken.
func (e *Easel) Leases() (list []Lease) {
	for line := range strings.Lines(e.Logs()) {
		if !strings.Contains(line, `"lease taken"`) {
			continue
		}
		var l Lease
		if json.Unmarshal([]byte(line), &l) == nil {
			list = append(list, l)
		}
	}
	return list
}
