package easel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The key of push messages is the installation's: the same at every start and on every instance that has its secret.
func TestPushKey(t *testing.T) {
	t.Parallel()
	of := func(c Config) string {
		t.Helper()
		key, err := c.pushKey()
		if err != nil {
			t.Fatal(err)
		}
		return string(key.PublicKey().Bytes())
	}
	one, another := Config{SecretKey: Key(strings.Repeat("k", minSecretKey))}, Config{DataDir: t.TempDir()}
	keys := []string{of(one), of(another)}
	if again := []string{of(one), of(another)}; !slices.Equal(again, keys) || keys[0] == keys[1] {
		t.Errorf("the keys %x, and then %x, are not those of the installations", keys, again)
	}
	for base, want := range map[string]string{"": "easel@example.com", "http://10.0.0.1": "easel@example.com", "https://pictures.example.org/easel": "https://pictures.example.org/easel"} {
		c := Config{BaseURL: base}
		if got := c.pushContact(); got != want {
			t.Errorf("pushContact() of %q = %q, want %q", base, got, want)
		}
	}
}

func TestWebhookSecret(t *testing.T) {
	t.Parallel()
	of := func(c Config) string {
		t.Helper()
		secret, err := c.webhookSecret()
		if err != nil || len(secret) != len("whsec_")+64 {
			t.Fatalf("webhookSecret() = %q, %v", secret, err)
		}
		return secret
	}
	dir := t.TempDir()
	var together [8]string
	var wg sync.WaitGroup
	for i := range together {
		wg.Go(func() {
			c := Config{DataDir: dir}
			together[i], _ = c.webhookSecret()
		})
	}
	wg.Wait()
	for _, got := range together {
		if got == "" || got != together[0] {
			t.Errorf("two processes have %q and %q", got, together[0])
		}
	}
	if again := of(Config{DataDir: dir}); again != together[0] {
		t.Error("the next start has another secret")
	}
	if other := of(Config{DataDir: t.TempDir()}); other == together[0] {
		t.Error("two installations have the same secret")
	}
	info, err := os.Stat(filepath.Join(dir, "keys", "secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys/secret: %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "keys")); len(left) != 1 {
		t.Errorf("%d files in keys", len(left))
	}
	given := Config{DataDir: t.TempDir(), SecretKey: Key(strings.Repeat("k", minSecretKey))}
	if first, second := of(given), of(given); first != second {
		t.Error("a key that is given gives two secrets")
	}
	if _, err := os.Stat(filepath.Join(given.DataDir, "keys")); err == nil {
		t.Error("a key was drawn beside the one that is given")
	}
	if err := os.WriteFile(filepath.Join(dir, "keys", "secret"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Config{DataDir: dir}
	if _, err := c.webhookSecret(); err == nil {
		t.Error("a key that was cut is taken")
	}
}

// A key has no part that may be shown, not even before a "=".
func TestKeyHidden(t *testing.T) {
	t.Parallel()
	k := Key("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0=")
	text, _ := k.MarshalText()
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %q", k, struct{ K Key }{k}, k), string(text), k.LogValue().String()} {
		if strings.Contains(shown, "c2V") {
			t.Errorf("it shows %s", shown)
		}
	}
	_, settings, err := Load(Sources{Environ: []string{"EASEL_SECRET_KEY=" + string(k)}})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(settings); strings.Contains(text, "c2V") {
		t.Error("the settings show it")
	}
	if _, _, err := Load(Sources{Environ: []string{"EASEL_SECRET_KEY=short"}}); err == nil || strings.Contains(err.Error(), "short") {
		t.Errorf("a short key: %v", err)
	}
}
