package easel

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"easel/comfy"
)

// Config is everything that can be set. The zero value is not usable; begin with Defaults or
// Load. Field tags give the variable, its default, and a line for docs/configuration.md.
type Config struct {
	Listen  string `env:"EASEL_LISTEN" envDefault:"127.0.0.1:8080" doc:"Address to listen on. PORT alone keeps 127.0.0.1."`
	BaseURL string `env:"EASEL_BASE_URL" doc:"The site's address as browsers see it, such as https://pictures.example.org/easel. Gives the base path and an allowed host name."`
	// BasePath is "" or begins with a slash and ends without one.
	BasePath            string   `env:"EASEL_BASE_PATH" doc:"Prefix of every URL; taken from EASEL_BASE_URL when empty."`
	AllowedHosts        []string `env:"EASEL_ALLOWED_HOSTS" doc:"Further host names that requests may name, comma separated. Loopback names are always allowed."`
	EmbedAllowedOrigins []string `env:"EASEL_EMBED_ALLOWED_ORIGINS" doc:"Origins that may frame /embed/..., comma separated, such as https://example.org."`
	MaxStreams          int      `env:"EASEL_MAX_STREAMS" envDefault:"0" doc:"Open streams at one time; 0 takes it from the limit of open files."`

	DataDir     string `env:"EASEL_DATA_DIR" doc:"Folder of the private database and of the pictures. Default: the XDG data folder; as root /var/lib/easel."`
	DatabaseURL Secret `env:"DATABASE_URL" doc:"A Postgres (15 or newer) to use. Empty: Easel runs its own in the data folder."`
	PGBin       string `env:"EASEL_PG_BIN" doc:"Folder with the postgres and initdb of the private database. Empty: PATH, then the usual places."`
	PGUser      string `env:"EASEL_PG_USER" doc:"User that the private database runs as when Easel runs as root. Empty: postgres, then nobody."`

	Storage     string `env:"EASEL_STORAGE" envDefault:"file:" doc:"Where the pictures lie. file: is the folder images in the data folder, file:/path another; s3://bucket/prefix?endpoint=host:port&region=...&path_style=true&insecure=true is S3-compatible storage. Several instances need the same."`
	S3AccessKey Secret `env:"EASEL_S3_ACCESS_KEY" doc:"Key of the S3 storage. Empty: AWS_ACCESS_KEY_ID and its kin, ~/.aws/credentials, the machine's role."`
	S3SecretKey Secret `env:"EASEL_S3_SECRET_KEY" doc:"The secret to EASEL_S3_ACCESS_KEY."`

	Bus BusAddress `env:"EASEL_BUS" envDefault:"postgres" doc:"How instances tell each other of changes: postgres, redis://host:6379 (rediss:// with TLS), nats://host:4222 (tls:// with TLS), or memory for a single instance on its private database."`

	ComfyUIURLs  []Secret `env:"COMFYUI_URL" doc:"One ComfyUI or more, comma separated; name=url gives a name. Empty: 127.0.0.1:8188, then :8000, then the built-in demo server."`
	QuotaQueued  int      `env:"EASEL_QUOTA_QUEUED" envDefault:"1000" doc:"Generations that one user may have waiting at one time."`
	QuotaRunning int      `env:"EASEL_QUOTA_RUNNING" envDefault:"0" doc:"Images that one user may have at work at one time, on all servers together; 0 sets no limit."`

	SecretKey       Key  `env:"EASEL_SECRET_KEY" doc:"Secret from which signatures are derived, at least 32 characters; the same on all instances. Empty: drawn once and kept in the data folder (keys/secret)."`
	Webhook         Hook `env:"EASEL_WEBHOOK" doc:"Where the end of each generation is posted that names no webhook of its own. Empty: as set on the settings page."`
	PrivateWebhooks bool `env:"EASEL_ALLOW_PRIVATE_WEBHOOKS" envDefault:"false" doc:"Allow webhooks and push services at private and loopback addresses, and by plain http."`

	Auth            string        `env:"EASEL_AUTH" envDefault:"auto" doc:"auto: no login, loopback only. none: no login on any address; must be spelled out."`
	LogLevel        slog.Level    `env:"EASEL_LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error."`
	LogFormat       string        `env:"EASEL_LOG_FORMAT" envDefault:"auto" doc:"text, json, or auto: text on a terminal, else JSON."`
	MetricsNetworks []string      `env:"EASEL_METRICS_NETWORKS" envDefault:"127.0.0.0/8,::1/128" doc:"Networks that may read /metrics, comma separated."`
	ShutdownTimeout time.Duration `env:"EASEL_SHUTDOWN_TIMEOUT" envDefault:"20s" doc:"How long a stop waits for open requests."`

	// What a mounting program hands over; no variables.
	Logger     *slog.Logger `env:"-"` // nil: slog.Default()
	DatastarJS []byte       `env:"-"` // Datastar's bundle, for builds without make generate's copy
	NoDemo     bool         `env:"-"` // never start the built-in demo server, nor look for a ComfyUI
	Version    string       `env:"-"` // shown in the footer; empty: from the build

	sources map[string]string `env:"-"` // where Load found each variable
}

// Secret is a value whose login must not be seen: it prints redacted, everywhere.
type Secret string

const hidden = "(hidden)"

// String gives the URL, and the name before it, with user and password replaced: either may be a token. What is
// no URL is hidden whole.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	name, address, named := strings.Cut(string(s), "=")
	if !named || strings.ContainsAny(name, ":/ ") {
		name, address = "", string(s)
	} else {
		name += "="
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.Contains(u.Path, "//") { // of several in one the second has a login too
		return hidden
	}
	login := ""
	if u.User != nil {
		login = hidden + "@"
	}
	shown := name + u.Scheme + "://" + login + u.Host + u.EscapedPath()
	if u.RawQuery != "" { // a libpq URL may carry password= there
		shown += "?..."
	}
	return shown
}

// LogValue keeps the value out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the value out of whatever encodes text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Hook is an address that may be a secret by itself: whoever knows the path can post to it.
type Hook string

// String gives scheme and host alone.
func (h Hook) String() string {
	if h == "" {
		return ""
	}
	u, err := url.Parse(string(h))
	if err != nil || u.Scheme == "" || u.Host == "" {
		return hidden
	}
	return u.Scheme + "://" + u.Host + "/..."
}

// LogValue keeps the value out of logs.
func (h Hook) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText keeps the value out of whatever encodes text.
func (h Hook) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Key is a secret without any part that may be shown.
type Key string

// String hides the key.
func (k Key) String() string {
	if k == "" {
		return ""
	}
	return hidden
}

// LogValue keeps the value out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps the value out of whatever encodes text.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Server is one ComfyUI of the configuration.
type Server struct {
	Name string
	URL  string // may hold userinfo
}

// Servers reads ComfyUIURLs: "url" or "name=url".
func (c *Config) Servers() ([]Server, error) {
	servers := make([]Server, 0, len(c.ComfyUIURLs))
	seen := make(map[string]bool, len(c.ComfyUIURLs))
	for _, entry := range c.ComfyUIURLs {
		text := strings.TrimSpace(string(entry))
		if text == "" {
			continue
		}
		name, address, named := strings.Cut(text, "=")
		if !named || strings.ContainsAny(name, ":/") {
			name, address = "", text
		}
		if strings.ContainsAny(name, " \t") || named && name == "" {
			return nil, fmt.Errorf("COMFYUI_URL: the name %q is empty or holds a space", name)
		}
		address, err := comfy.BaseURL(address)
		if err != nil {
			return nil, fmt.Errorf("COMFYUI_URL: %q %w", entry, err)
		}
		if name == "" {
			name = comfy.Host(address)
		}
		if seen[comfy.Redacted(address)] {
			return nil, fmt.Errorf("COMFYUI_URL: %q is named twice", entry)
		}
		seen[comfy.Redacted(address)] = true
		servers = append(servers, Server{Name: name, URL: address})
	}
	return servers, nil
}

// check fills in what follows from other fields, and says what cannot be.
func (c *Config) check() error {
	if err := c.checkAddresses(); err != nil {
		return err
	}
	if c.QuotaQueued < 1 {
		return fmt.Errorf("EASEL_QUOTA_QUEUED: %d is below 1", c.QuotaQueued)
	}
	if c.QuotaRunning < 0 {
		return fmt.Errorf("EASEL_QUOTA_RUNNING: %d is below 0", c.QuotaRunning)
	}
	if c.MaxStreams < 0 {
		return fmt.Errorf("EASEL_MAX_STREAMS: %d is below 0", c.MaxStreams)
	}
	if c.SecretKey != "" && len(c.SecretKey) < minSecretKey {
		return fmt.Errorf("EASEL_SECRET_KEY: it must be at least %d characters long", minSecretKey)
	}
	if c.ShutdownTimeout <= 0 {
		return fmt.Errorf("EASEL_SHUTDOWN_TIMEOUT: %s is not above 0", c.ShutdownTimeout)
	}
	if err := c.Bus.check(c.DatabaseURL == ""); err != nil {
		return err
	}
	switch c.LogFormat {
	case "auto", "text", "json":
	default:
		return fmt.Errorf("EASEL_LOG_FORMAT: %q is not auto, text or json", c.LogFormat)
	}
	if c.DataDir == "" {
		dir, err := defaultDataDir()
		if err != nil {
			return err
		}
		c.DataDir = dir
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("EASEL_DATA_DIR: %w", err)
	}
	c.DataDir = dir
	if err := c.checkStorage(); err != nil {
		return err
	}
	if _, err = c.metricsNetworks(); err != nil {
		return err
	}
	_, err = c.Servers()
	return err
}

func (c *Config) checkAddresses() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("EASEL_LISTEN: %q is not host:port", c.Listen)
	}
	switch c.Auth {
	case "none":
	case "auto":
		if !isLoopback(host) {
			return fmt.Errorf("EASEL_LISTEN: %s can be reached from other machines and there is no login; set EASEL_AUTH=none to allow that", c.Listen)
		}
	default:
		return fmt.Errorf("EASEL_AUTH: %q is not auto or none", c.Auth)
	}
	if c.BaseURL != "" {
		u, err := url.Parse(c.BaseURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("EASEL_BASE_URL: %q is not an http or https address", c.BaseURL)
		}
		if c.BasePath == "" {
			c.BasePath = u.Path
		}
		c.AllowedHosts = append(c.AllowedHosts, u.Hostname())
	}
	c.BasePath = strings.TrimRight(c.BasePath, "/")
	if c.BasePath != "" {
		clean, err := url.Parse(c.BasePath)
		if err != nil || clean.Path != c.BasePath || !strings.HasPrefix(c.BasePath, "/") || strings.Contains(c.BasePath, "//") || strings.ContainsAny(c.BasePath, "{}?#%") {
			return fmt.Errorf("EASEL_BASE_PATH: %q is not a plain path such as /easel", c.BasePath)
		}
	}
	for _, origin := range c.EmbedAllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") || strings.ContainsAny(origin, " ;,'\"*") {
			return fmt.Errorf("EASEL_EMBED_ALLOWED_ORIGINS: %q is not an origin such as https://example.org", origin)
		}
	}
	return nil
}

// metricsNetworks reads MetricsNetworks.
func (c *Config) metricsNetworks() ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(c.MetricsNetworks))
	for _, text := range c.MetricsNetworks {
		network, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("EASEL_METRICS_NETWORKS: %q is not a network such as 10.0.0.0/8", text)
		}
		list = append(list, network.Masked())
	}
	return list, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// defaultDataDir is the system's state folder as root, else the XDG data folder.
func defaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/easel", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "easel"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("EASEL_DATA_DIR: there is no home folder to put the data in; set it")
	}
	return filepath.Join(home, ".local", "share", "easel"), nil
}
