package easel

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"

	"easel/failpoint"
)

// maxConfigFile bounds the configuration file and files named by a *_FILE variable, in bytes.
const maxConfigFile = 1 << 20

// Sources are where a configuration comes from, strongest first.
type Sources struct {
	Flags   map[string]string // by variable name
	Environ []string          // as os.Environ gives it
	File    string            // path of a KEY=VALUE file; empty: EASEL_CONFIG of Environ, else none
}

// Setting is one variable as it is in force.
type Setting struct {
	Name   string
	Value  string // secrets redacted
	Source string // "flag", "environment", "PATH", "file PATH:LINE" or "default"
	Doc    string
}

// Defaults is the configuration of a fresh machine.
func Defaults() (Config, error) {
	c, _, err := Load(Sources{})
	return c, err
}

// Load merges the sources and checks the result: flag, environment, NAME_FILE, file, default.
// settings lists every variable in the order of Config with its value and where it came from.
// An error names the variable, and a near miss for one that is unknown.
func Load(from Sources) (c Config, settings []Setting, err error) {
	known := variables()
	if failpoint.Enabled {
		known = append(known, failpoint.Variable)
	}
	values := map[string]string{}
	sources := map[string]string{}
	environ := map[string]string{}
	for _, entry := range from.Environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			environ[name] = value
		}
	}
	path := cmp.Or(from.File, environ["EASEL_CONFIG"])
	if path != "" {
		if err := readConfigFile(path, known, values, sources); err != nil {
			return Config{}, nil, err
		}
	}
	if err := mergeEnviron(environ, known, values, sources); err != nil {
		return Config{}, nil, err
	}
	for name, value := range from.Flags {
		values[name], sources[name] = value, "flag"
	}
	if err := env.ParseWithOptions(&c, env.Options{Environment: values}); err != nil {
		return Config{}, nil, plainParseError(err)
	}
	if values["EASEL_LISTEN"] == "" && environ["PORT"] != "" {
		c.Listen = net.JoinHostPort("127.0.0.1", environ["PORT"])
		sources["EASEL_LISTEN"] = "environment (PORT)"
	}
	if err := c.check(); err != nil {
		return Config{}, nil, err
	}
	c.sources = sources
	return c, c.settings(), nil
}

// variables lists the names that Config reads, in its order.
func variables() []string {
	var names []string
	for field := range reflect.TypeFor[Config]().Fields() {
		if name := field.Tag.Get("env"); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func mergeEnviron(environ map[string]string, known []string, values, sources map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if !strings.HasPrefix(name, "EASEL_") || name == "EASEL_CONFIG" || slices.Contains(known, name) {
			continue
		}
		if base, isFile := strings.CutSuffix(name, "_FILE"); isFile && slices.Contains(known, base) {
			continue
		}
		return unknownVariable(name, known)
	}
	for _, name := range known {
		value, set := environ[name]
		file, fromFile := environ[name+"_FILE"]
		switch {
		case set && fromFile:
			return fmt.Errorf("%s and %s_FILE are both set; use one", name, name)
		case set:
			values[name], sources[name] = value, "environment"
		case fromFile:
			content, err := readBounded(file)
			if err != nil {
				return fmt.Errorf("%s_FILE: %w", name, err)
			}
			values[name], sources[name] = strings.TrimRight(string(content), "\r\n"), file
		}
	}
	return nil
}

// readConfigFile reads KEY=VALUE lines, the format of systemd's EnvironmentFile and of env_file
// in compose: # begins a comment line, and a value may stand in single or double quotes.
func readConfigFile(path string, known []string, values, sources map[string]string) error {
	content, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxConfigFile)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok:
			return fmt.Errorf("%s:%d: %q is not NAME=VALUE", path, number, line)
		case name == "PORT":
			name, value = "EASEL_LISTEN", net.JoinHostPort("127.0.0.1", value)
		case !slices.Contains(known, name):
			return fmt.Errorf("%s:%d: %w", path, number, unknownVariable(name, known))
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[name], sources[name] = value, fmt.Sprintf("file %s:%d", path, number)
	}
	return lines.Err()
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfigFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return os.ReadFile(path)
}

func unknownVariable(name string, known []string) error {
	best, distance := "", 4 // more than three edits is no near miss
	for _, candidate := range known {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return fmt.Errorf("%s is not a variable of Easel; 'easel config' lists them", name)
	}
	return fmt.Errorf("%s is not a variable of Easel; did you mean %s?", name, best)
}

// editDistance counts the single-letter changes between two short words.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// plainParseError keeps the variable's name and drops the Go types.
func plainParseError(err error) error {
	var all env.AggregateError
	if errors.As(err, &all) && len(all.Errors) > 0 {
		err = all.Errors[0]
	}
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	if field, ok := reflect.TypeFor[Config]().FieldByName(parse.Name); ok {
		return fmt.Errorf("%s: %w", field.Tag.Get("env"), parse.Err)
	}
	return parse.Err
}

// settings lists what is in force. A configuration made by hand has no sources to name.
func (c *Config) settings() []Setting {
	var settings []Setting
	for field, value := range reflect.ValueOf(c).Elem().Fields() {
		name := field.Tag.Get("env")
		if name == "-" {
			continue
		}
		text := fmt.Sprint(value.Interface())
		if value.Kind() == reflect.Slice {
			parts := make([]string, value.Len())
			for i := range parts {
				parts[i] = fmt.Sprint(value.Index(i).Interface())
			}
			text = strings.Join(parts, ",")
		}
		settings = append(settings, Setting{Name: name, Value: text, Source: cmp.Or(c.sources[name], "default"), Doc: field.Tag.Get("doc")})
	}
	return settings
}
