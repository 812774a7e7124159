package comfy

import (
	"errors"
	"strings"
	"testing"
)

func TestBaseURL(t *testing.T) {
	for typed, want := range map[string]string{
		"127.0.0.1:8188":                      "http://127.0.0.1:8188",
		" http://gpu.lan:8188/ ":              "http://gpu.lan:8188",
		"https://me:secret@host/comfy/":       "https://me:secret@host/comfy",
		"[::1]:8188":                          "http://[::1]:8188",
		"me:secret@host":                      "http://me:secret@host",
		"http://host/a%2Fb/":                  "http://host/a%2Fb",
		"ftp://host":                          "is not an http or https address",
		"":                                    "is not an http or https address",
		"http://":                             "is not an http or https address",
		"http://:8188":                        "is not an http or https address",
		"http://host:0":                       "is not an http or https address",
		"127.0.0.1:65536":                     "is not an http or https address",
		"http://..":                           "is not an http or https address",
		"http://host:":                        "http://host:",
		"http://a b:secret@host":              "is not an http or https address",
		"javascript://alert(1)":               "is not an http or https address",
		"http://169.254.169.254/latest":       "is a link-local address",
		"http://[::ffff:169.254.169.254]:80":  "is a link-local address",
		"http://me:secret@[fe80::1%25eth0]":   "is a link-local address",
		"http://[ff02::1]":                    "is a link-local address",
		"http://host?clientId=x":              "must end with its path, without query and fragment",
		"http://host/#secret":                 "must end with its path, without query and fragment",
		"http://host/?":                       "must end with its path, without query and fragment",
		"http://me:secret@host:port":          "is not an http or https address",
		"http://" + strings.Repeat("a", 3000): "http://" + strings.Repeat("a", 3000),
	} {
		got, err := BaseURL(typed)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("BaseURL(%q) = %q, want %q", typed, got, want)
		}
		if err == nil {
			if _, err := NewClient(got, ClientOptions{}); err != nil {
				t.Errorf("NewClient does not take %q: %v", got, err)
			}
		}
	}
	if _, err := BaseURL("169.254.1.1"); !errors.Is(err, ErrLinkLocal) {
		t.Errorf("error %v, want ErrLinkLocal", err)
	}
}

func TestRedacted(t *testing.T) {
	for base, want := range map[string]string{
		"https://me:secret@Host:1/comfy": "https://host:1/comfy",
		"http://host":                    "http://host",
		"http://a:secret@host:port":      "(hidden)",
		"me:secret@host":                 "(hidden)",
	} {
		if got := Redacted(base); got != want {
			t.Errorf("Redacted(%q) = %q, want %q", base, got, want)
		}
	}
}
