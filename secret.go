package easel

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// minSecretKey is the least length of EASEL_SECRET_KEY, in bytes: "openssl rand -hex 32" gives twice as many.
const minSecretKey = 32

// webhookSecret is what signs webhooks, as their receivers are told it. It is derived, so that
// nobody who knows it can sign anything else of ours.
func (c *Config) webhookSecret() (string, error) {
	derived, err := c.derived("easel webhook signature 1")
	if err != nil {
		return "", err
	}
	return "whsec_" + hex.EncodeToString(derived), nil
}

// pushKey signs messages to browsers (VAPID). It is derived as well, so there is none to be stored, all
// instances have the same, and a browser's subscription lasts as long as the installation's secret.
func (c *Config) pushKey() (*ecdh.PrivateKey, error) {
	for try := 1; ; try++ {
		derived, err := c.derived("easel push key " + strconv.Itoa(try))
		if err != nil {
			return nil, err
		}
		// All but one of 4 billion texts of 32 bytes are keys.
		if key, err := ecdh.P256().NewPrivateKey(derived); err == nil {
			return key, nil
		}
	}
}

// derived is 32 bytes from the installation's secret, others for every use.
func (c *Config) derived(use string) ([]byte, error) {
	key := []byte(c.SecretKey)
	if len(key) == 0 {
		var err error
		if key, err = keptKey(filepath.Join(c.DataDir, "keys")); err != nil {
			return nil, err
		}
	}
	return hkdf.Key(sha256.New, key, nil, use, sha256.Size)
}

// pushContact is whom the operators of push services may turn to; some take no message without one.
func (c *Config) pushContact() string {
	if strings.HasPrefix(c.BaseURL, "https://") {
		return c.BaseURL
	}
	return "easel@example.com"
}

// keptKey reads the key that an earlier start has drawn into a folder, or draws it. Of two
// processes that begin together both get the one that was there first.
func keptKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "secret")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := drawKey(dir, path); err != nil {
			return nil, err
		}
		key, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	key = bytes.TrimSpace(key)
	if len(key) < minSecretKey {
		return nil, fmt.Errorf("%s is shorter than %d bytes; bring back the file that was there, or remove this one", path, minSecretKey)
	}
	return key, nil
}

// drawKey writes a new key, whole or not at all.
func drawKey(dir, path string) (err error) {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	if _, err := fmt.Fprintln(f, hex.EncodeToString(key[:])); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
