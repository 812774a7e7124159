package packaging

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"easel"
)

// known are the variables that Easel reads.
func known(t *testing.T) []string {
	t.Helper()
	_, settings, err := easel.Load(easel.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"EASEL_CONFIG", "PORT"}
	for _, s := range settings {
		names = append(names, s.Name, s.Name+"_FILE")
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Every variable in the files exists: an unknown one would stop the start.
func TestVariablesExist(t *testing.T) {
	t.Parallel()
	names := known(t)
	variable := regexp.MustCompile(`\b(EASEL_[A-Z_]+|DATABASE_URL(?:_FILE)?|COMFYUI_URL)\b`)
	for _, file := range []string{"easel.service", "Dockerfile", "compose.yaml"} {
		found := variable.FindAllString(read(t, file), -1)
		if len(found) == 0 {
			t.Errorf("%s sets nothing", file)
		}
		for _, name := range found {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s is not a variable of Easel", file, name)
			}
		}
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	type service struct {
		Image       string
		Environment map[string]string
		Healthcheck struct{ Test []string }
		Secrets     []string
		Ports       []string
		Volumes     []string
		ReadOnly    bool                                  `yaml:"read_only"`
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	var file struct {
		Services map[string]service
		Volumes  map[string]any
		Secrets  map[string]struct{ File string }
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")))
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for name, s := range file.Services {
		if len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
		for _, secret := range s.Secrets {
			if file.Secrets[secret].File == "" {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
		for _, volume := range s.Volumes {
			if from, _, _ := strings.Cut(volume, ":"); !has(file.Volumes, from) {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		for variable, value := range s.Environment {
			if strings.Contains(strings.ToLower(variable), "password") && !strings.HasPrefix(value, "/run/secrets/") {
				t.Errorf("%s: %s is no file of a secret", name, variable)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s is published as %s, beyond this machine, without a login", name, port)
			}
		}
	}
	app := file.Services["app"]
	if !app.ReadOnly || app.DependsOn["postgres"].Condition != "service_healthy" || file.Services["postgres"].Image != "postgres:18" {
		t.Errorf("the services are not as docs/operations.md says: %+v", file.Services)
	}
}

func has(m map[string]any, key string) bool {
	_, ok := m[key]
	return ok
}

// What linters of Dockerfiles ask for: pinned bases, no root at the end, lists for commands, a health check.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	user := ""
	said := map[string]string{}
	for line := range strings.Lines(strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[word] = rest
		switch word {
		case "FROM":
			base, _, _ := strings.Cut(rest, " ")
			if _, tag, tagged := strings.Cut(base, ":"); !tagged || tag == "latest" {
				t.Errorf("the base %s is not pinned", base)
			}
		case "USER":
			user = rest
		case "ENTRYPOINT":
			if !strings.HasPrefix(rest, "[") {
				t.Errorf("%s runs in a shell, which the image does not have", line)
			}
		}
	}
	if user != "nonroot" {
		t.Errorf("it runs as %q", user)
	}
	if !strings.Contains(said["HEALTHCHECK"], `["/app", "healthcheck"]`) {
		t.Errorf("HEALTHCHECK is %q", said["HEALTHCHECK"])
	}
	if _, added := said["ADD"]; added {
		t.Error("COPY says what ADD guesses")
	}
}

// The unit holds what docs/operations.md promises of it.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := read(t, "easel.service")
	for _, want := range []string{
		"Type=notify", "WatchdogSec=60", "KillMode=mixed", "Restart=always", "StateDirectory=easel", "NoNewPrivileges=yes",
		"ProtectSystem=strict", "SystemCallFilter=@system-service", "UMask=0077", "EnvironmentFile=-/etc/easel/easel.env",
	} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}
