package easel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadPrecedence(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "easel.env")
	write(t, file, "# a comment\nEASEL_LISTEN=127.0.0.1:1\nEASEL_QUOTA_QUEUED=\"7\"\nEASEL_LOG_LEVEL=debug\n")
	secret := filepath.Join(dir, "url")
	write(t, secret, "postgres://u:hidden@db/easel\n")

	c, settings, err := Load(Sources{
		Flags:   map[string]string{"EASEL_LISTEN": "127.0.0.1:3"},
		Environ: []string{"EASEL_LISTEN=127.0.0.1:2", "EASEL_LOG_LEVEL=warn", "DATABASE_URL_FILE=" + secret, "HOME=/home/u", "EASEL_DATA_DIR=" + dir},
		File:    file,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.QuotaQueued != 7 || c.LogLevel.String() != "WARN" || c.DatabaseURL != "postgres://u:hidden@db/easel" {
		t.Errorf("Load() = %+v", c)
	}
	want := map[string]string{
		"EASEL_LISTEN":       "flag",
		"EASEL_QUOTA_QUEUED": "file " + file + ":3",
		"EASEL_LOG_LEVEL":    "environment",
		"DATABASE_URL":       secret,
		"EASEL_MAX_STREAMS":  "default",
	}
	for _, s := range settings {
		if source, ok := want[s.Name]; ok && s.Source != source {
			t.Errorf("%s came from %q, want %q", s.Name, s.Source, source)
		}
		if strings.Contains(s.Value, "hidden@") {
			t.Errorf("%s shows a password: %s", s.Name, s.Value)
		}
	}
}

func TestPortKeepsLoopback(t *testing.T) {
	c, _, err := Load(Sources{Environ: []string{"PORT=9000", "EASEL_DATA_DIR=" + t.TempDir()}})
	if err != nil || c.Listen != "127.0.0.1:9000" {
		t.Errorf("Listen = %q, %v", c.Listen, err)
	}
}

// Row 41 of the bad-input matrix: the start fails with the variable, and a near miss.
func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bad.env")
	write(t, file, "EASEL_LISTEN=127.0.0.1:1\nEASEL_DATADIR=/x\n")
	for _, test := range []struct {
		name    string
		environ []string
		file    string
		want    string
	}{
		{"unknown variable", []string{"EASEL_LISTN=:1"}, "", "EASEL_LISTN is not a variable of Easel; did you mean EASEL_LISTEN?"},
		{"unknown, nothing near", []string{"EASEL_FROBNICATE=1"}, "", "'easel config' lists them"},
		{"unknown in the file", nil, file, "bad.env:2: EASEL_DATADIR is not a variable of Easel; did you mean EASEL_DATA_DIR?"},
		{"bad duration", []string{"EASEL_SHUTDOWN_TIMEOUT=soon"}, "", "EASEL_SHUTDOWN_TIMEOUT: "},
		{"negative duration", []string{"EASEL_SHUTDOWN_TIMEOUT=-1s"}, "", "is not above 0"},
		{"bad number", []string{"EASEL_QUOTA_QUEUED=many"}, "", "EASEL_QUOTA_QUEUED: "},
		{"value and file", []string{"DATABASE_URL=x", "DATABASE_URL_FILE=y"}, "", "DATABASE_URL and DATABASE_URL_FILE are both set"},
		{"unreadable file", []string{"DATABASE_URL_FILE=/nowhere/url"}, "", "DATABASE_URL_FILE: "},
		{"missing configuration file", nil, "/nowhere/easel.env", "configuration file: "},
		{"no port", []string{"EASEL_LISTEN=localhost"}, "", "is not host:port"},
		{"exposed without a word", []string{"EASEL_LISTEN=0.0.0.0:80"}, "", "set EASEL_AUTH=none"},
		{"unknown auth", []string{"EASEL_AUTH=basic"}, "", "is not auto or none"},
		{"ComfyUI without a host", []string{"COMFYUI_URL=http://"}, "", "is not an http or https address"},
		{"ComfyUI by ftp", []string{"COMFYUI_URL=ftp://host"}, "", "is not an http or https address"},
		{"ComfyUI with a bad name", []string{"COMFYUI_URL=my gpu=http://h"}, "", "the name \"my gpu\" is empty or holds a space"},
		{"ComfyUI with an empty name", []string{"COMFYUI_URL==http://h"}, "", "is empty or holds a space"},
		{"ComfyUI twice", []string{"COMFYUI_URL=http://a:1,a:1"}, "", "is named twice"},
		{"ComfyUI at link-local", []string{"COMFYUI_URL=http://169.254.169.254"}, "", "link-local"},
		{"base path", []string{"EASEL_BASE_PATH=easel"}, "", "is not a plain path"},
		{"base URL", []string{"EASEL_BASE_URL=pictures"}, "", "is not an http or https address"},
		{"embed origin with a path", []string{"EASEL_EMBED_ALLOWED_ORIGINS=https://a.example/x"}, "", "is not an origin"},
		{"embed origin breaking out", []string{"EASEL_EMBED_ALLOWED_ORIGINS=https://a.example; script-src *"}, "", "is not an origin"},
		{"no room to wait", []string{"EASEL_QUOTA_QUEUED=0"}, "", "is below 1"},
		{"log format", []string{"EASEL_LOG_FORMAT=xml"}, "", "is not auto, text or json"},
		{"bus, a near miss", []string{"EASEL_BUS=postgre"}, "", "EASEL_BUS: it is not postgres, memory or a URL; did you mean postgres?"},
		{"bus, nothing near", []string{"EASEL_BUS=kafka"}, "", "see docs/configuration.md"},
		{"bus, the wrong scheme", []string{"EASEL_BUS=reds://h:6379"}, "", "did you mean redis://...?"},
		{"bus, a scheme far off", []string{"EASEL_BUS=amqp://u:geheim@h"}, "", "none of redis, rediss, nats and tls"},
		{"bus without a host", []string{"EASEL_BUS=redis://"}, "", "the URL names no host; it looks like redis://host:port"},
		{"bus by the database's URL", []string{"EASEL_BUS=postgres://u:geheim@h/d"}, "", "the word postgres is enough"},
		{"memory for many", []string{"EASEL_BUS=memory", "DATABASE_URL=postgres://h/d"}, "", "memory reaches no other instance"},
		{"bus, a password for a scheme", []string{"EASEL_BUS=u:geheim@h://x"}, "", "see docs/configuration.md"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Load(Sources{Environ: append(test.environ, "EASEL_DATA_DIR="+dir), File: test.file})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("Load() = %v, want an error with %q and no password", err, test.want)
			}
		})
	}
}

func TestServers(t *testing.T) {
	c := Config{ComfyUIURLs: []Secret{"gpu=http://10.0.0.1:8188/", " 10.0.0.2:8188", "https://u:secret@host/comfy/"}}
	servers, err := c.Servers()
	if err != nil {
		t.Fatal(err)
	}
	want := []Server{{"gpu", "http://10.0.0.1:8188"}, {"10.0.0.2:8188", "http://10.0.0.2:8188"}, {"host", "https://u:secret@host/comfy"}}
	if fmt.Sprint(servers) != fmt.Sprint(want) {
		t.Errorf("Servers() = %v, want %v", servers, want)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	for s, want := range map[Secret]string{
		"postgres://u:hunter2@h/db":                 "postgres://(hidden)@h/db",
		"postgres://h/db?password=hunter2":          "postgres://h/db?...",
		"postgres://h:5432/db":                      "postgres://h:5432/db",
		"host=h password=hunter2":                   "(hidden)",
		"password=hunter2":                          "(hidden)",
		"hunter2==":                                 "(hidden)",
		"hunter2":                                   "(hidden)",
		"gpu=http://u:hunter2@h":                    "gpu=http://(hidden)@h",
		"hunter2:x=http://h":                        "(hidden)",
		"gpu=hunter2":                               "(hidden)",
		"http://hunter2@h":                          "http://(hidden)@h",
		"http://hunter2:@h":                         "http://(hidden)@h",
		"https://h/hook#hunter2":                    "https://h/hook",
		"http://u:hunter2@h/%zz":                    "(hidden)",
		"nats://u:hunter2@a:1,nats://u:hunter2@b:2": "(hidden)",
		"": "",
	} {
		text, _ := s.MarshalText()
		for _, shown := range []string{s.String(), fmt.Sprintf("%v %s %+v", s, s, struct{ S Secret }{s}), s.LogValue().String(), string(text)} {
			if strings.Contains(shown, "hunter2") || !strings.Contains(shown, want) {
				t.Errorf("%q is shown as %q, want %q", string(s), shown, want)
			}
		}
	}
}

func TestHookHidesItsPath(t *testing.T) {
	for h, want := range map[Hook]string{
		"https://hooks.example.com/services/hunter2":          "https://hooks.example.com/...",
		"https://hunter2:hunter2@example.com:8443/?k=hunter2": "https://example.com:8443/...",
		"https://example.com#hunter2":                         "https://example.com/...",
		"hunter2":                                             "(hidden)",
		"":                                                    "",
	} {
		text, _ := h.MarshalText()
		for _, shown := range []string{h.String(), fmt.Sprintf("%v", struct{ H Hook }{h}), h.LogValue().String(), string(text)} {
			if strings.Contains(shown, "hunter2") || !strings.Contains(shown, want) {
				t.Errorf("%q is shown as %q, want %q", string(h), shown, want)
			}
		}
	}
	_, settings, err := Load(Sources{Environ: []string{"EASEL_WEBHOOK=https://example.com/hunter2"}})
	if shown := fmt.Sprint(settings); err != nil || strings.Contains(shown, "hunter2") || !strings.Contains(shown, "https://example.com/...") {
		t.Errorf("the settings in force are %s, %v", shown, err)
	}
}

func TestBusAddress(t *testing.T) {
	for address, want := range map[BusAddress]string{
		"postgres":                       "",
		"memory":                         "reaches no other instance",
		"redis://u:hunter2@h:6379/3":     "",
		"rediss://:hunter2@h:6379":       "",
		"nats://u:hunter2@a:4222,b:4222": "",
		"nats://u:hunter2@a:4222,nats://u:hunter2@b:4222": "",
		"postgers":               "did you mean postgres?",
		"hunter2":                "not postgres, memory or a URL",
		"reddis://u:hunter2@h":   "did you mean redis://...?",
		"redis://":               "names no host",
		"redis://u:hunter2@h:x":  "names no host",
		"postgres://u:hunter2@h": "the word postgres is enough",
		"u:hunter2@h://":         "its scheme is none of",
	} {
		err := address.check(false)
		if shown := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(shown, want) || strings.Contains(shown, "hunter2") {
			t.Errorf("%s: %v, want %q", string(address), err, want)
		}
		text, _ := address.MarshalText()
		if shown := fmt.Sprint(address, address.LogValue(), string(text)); strings.Contains(shown, "hunter2") {
			t.Errorf("%s is shown as %s", string(address), shown)
		}
	}
	if shown := BusAddress("redis://u:12,34@h").String(); shown != "redis://(hidden)@h" {
		t.Errorf("shown as %s", shown)
	}
	if shown := BusAddress("nats://u:p@a:1,nats://b:2").String(); shown != "nats://(hidden)@a:1,nats://b:2" {
		t.Errorf("shown as %s", shown)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
